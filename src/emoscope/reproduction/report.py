"""A reproduction as one self-contained HTML page: nothing is loaded from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._version import __version__
from ..modelfile.about import NOT_FELT

if TYPE_CHECKING:
    from . import Reproduction


def render(reproduction: Reproduction) -> str:
    """The page as HTML."""
    from ..report import page, plots

    rows = reproduction.rows
    columns = {"published": "published", "reproduced": "reproduced", "honest": "unseen speakers"}
    table = pd.DataFrame(map(vars, rows), index=[row.short_name for row in rows])
    scores = table[list(columns)].rename(columns=columns) / 100
    return page.template("reproduction.html.j2").render(
        css=page.asset("base.css"),
        version=__version__,
        meaning=NOT_FELT,
        about=reproduction.about,
        rows=rows,
        verdicts=reproduction.verdicts,
        sentences=sentences(reproduction),
        figure=plots.to_svg(
            lambda ax: plots.dumbbell(scores, ax=ax), size=(9, 1.0 + 0.3 * len(rows))
        ),
    )


def sentences(reproduction: Reproduction) -> list[str]:
    """What the rows say together, in sentences made from their numbers."""
    rows = reproduction.rows
    gap = np.array([row.reproduced - row.honest for row in rows])
    off = np.array([row.reproduced - row.published for row in rows])
    best_then = max(rows, key=lambda row: row.published)
    best_now = max(rows, key=lambda row: row.honest)
    said = [
        f"Reproduced, the {len(rows)} results are {abs(off.mean()):.1f} points "
        f"{'below' if off.mean() < 0 else 'above'} the published ones on average "
        f"(from {off.min():+.1f} to {off.max():+.1f}).",
        f"On unseen speakers they lose a further {gap.mean():.1f} points on average, at most "
        f"{gap.max():.1f} ({rows[int(gap.argmax())].short_name}).",
        f"Highest as published: {best_then.short_name}, {best_then.published:.1f} %; on "
        f"unseen speakers it has {best_then.honest:.1f} %. Highest there: "
        f"{best_now.short_name}, {best_now.honest:.1f} %.",
    ]
    inside = [
        row.reproduced_low <= row.published <= row.reproduced_high
        for row in rows
        if row.reproduced_low is not None and row.reproduced_high is not None
    ]
    if inside:
        said.append(
            f"{sum(inside)} of the {len(inside)} published values for which the split was repeated "
            "lie within the range that other seeds of the same split give."
        )
    return said
