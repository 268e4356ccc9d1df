"""Writes tables as ARFF, the format of Weka and of openSMILE's own output.

Numbers are numeric attributes; the emotion is the last attribute and nominal, as classifiers in that
world expect; every other column is text. Format: the Weka manual's chapter on ARFF.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

_ESCAPED = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def text(table: pd.DataFrame, *, relation: str, label: str = "emotion") -> str:
    """A table as ARFF.

    Parameters
    ----------
    table : DataFrame
        One row per clip.
    relation : str
        What the table is called.
    label : str
        The column to predict; it is moved to the end.

    Returns
    -------
    str
        Missing values are ``?``; float32 numbers keep all their digits.
    """
    columns = [name for name in table if name != label] + [label]
    numeric = {name for name in columns if pd.api.types.is_numeric_dtype(table[name])}
    lines = [f"@relation {_quoted(relation)}", ""]
    for name in columns:
        if name == label:
            kind = "{" + ",".join(map(_quoted, sorted(set(table[name])))) + "}"
        else:
            kind = "numeric" if name in numeric else "string"
        lines.append(f"@attribute {_quoted(str(name))} {kind}")
    cells = [
        map(_number, table[name]) if name in numeric else _texts(table[name]) for name in columns
    ]
    rows = (",".join(row) for row in zip(*cells, strict=True))
    return "\n".join([*lines, "", "@data", *rows]) + "\n"


def _quoted(name: str) -> str:
    return "'" + "".join(_ESCAPED.get(c, c) for c in name) + "'"


def _texts(values: Iterable[object]) -> Iterable[str]:
    return ("?" if pd.isna(value) else _quoted(str(value)) for value in values)


def _number(value: object) -> str:
    return "?" if pd.isna(value) else str(value)
