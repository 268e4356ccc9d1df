"""How a picture gets into a page: as SVG that follows the page's colours, or as a pair of PNGs."""

import io
from collections.abc import Callable

from matplotlib.figure import Figure

from emoscope.report import plots


def svg(draw: Callable, caption: str, *, size: tuple[float, float] = (8.0, 4.0)) -> str:
    """A figure for a Markdown page; light and dark are the same picture in other colours."""
    drawn = plots.to_svg(draw, size=size)
    return (
        '\n<figure class="picture"><div class="scroll">\n'
        f"{drawn.strip()}\n</div><figcaption>{caption}</figcaption></figure>\n"
    )


def pair(name: str, caption: str) -> str:
    """A figure of two static images, ``name-light.png`` and ``name-dark.png``."""
    images = "".join(
        f'<img class="{mode}" alt="{caption}" src="../../_static/{name}-{mode}.png">'
        for mode in ("light", "dark")
    )
    return f'\n<figure class="picture">{images}<figcaption>{caption}</figcaption></figure>\n'


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG; the same picture always gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
