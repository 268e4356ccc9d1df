"""Times as people write them, and the columns of a table that say from when to when a clip is."""

import math
import re
from collections.abc import Mapping
from typing import TypeAlias

from ..files import shipped_table

# Column → its key in a row, and how many seconds a plain number in it counts.
Columns: TypeAlias = Mapping[str, tuple[str, float]]

_UNITS: Mapping[str, float] = {"ms": 0.001, "milliseconds": 0.001}  # any other is the second
_TOLD = shipped_table("columns.toml")["times"]
_WORDS: Mapping[str, str] = _TOLD["names"]
_NAMES = {c: re.compile(_TOLD["before"] + word + _TOLD["after"]) for c, word in _WORDS.items()}
_PAIRS = (("from", "to"), ("von", "bis"))  # alone they may be anything
_COUNTED = re.compile(_TOLD["counted"])

_NUMBER = re.compile(r"([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?) ?(s|sec|ms)?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:([+-]?\d+) days?,? ?)?([+-]?)(?:(\d+):)?(\d+):(\d+(?:[.,]\d*)?)")
_DAYS = re.compile(r"([+-]?\d+) days?")
_MISSING = ("", "nat", "nan", "none", "null", "<na>")


def seconds(text: str, unit: float = 1.0) -> float:
    """Seconds of ``1.5``, ``1,5``, ``1500 ms``, ``1:02.5``, ``00:01:02,500``, ``0 days 00:00:01.5``.

    A plain number counts `unit` seconds; a missing value is NaN. A ValueError says what it is not.
    """
    word = text.strip().lower()
    if word in _MISSING:
        return math.nan
    if number := _NUMBER.fullmatch(word):
        value = float(number[1].replace(",", "."))
        if math.isfinite(value):
            return round(value * (_UNITS.get(number[2], 1.0) if number[2] else unit), 9)
    elif clock := _CLOCK.fullmatch(word):
        days, sign, hours, minutes, rest = clock.groups(default="0")
        time = 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(",", "."))
        return 86400 * int(days) + (-time if sign == "-" else time)
    elif days_alone := _DAYS.fullmatch(word):
        return 86400.0 * int(days_alone[1])
    raise ValueError(f"'{text}' is not a time; write seconds (1.5) or 00:01:02,500")


def columns(keys: Mapping[str, str]) -> Columns:
    """Which of the keys of rows, by their names in lower case, are ``start``, ``end``, ``duration``.

    A duration counts only with a start and no end; a ValueError for what may be something else.
    """
    found: dict[str, tuple[str, float]] = {}
    for name in sorted(keys, key=len, reverse=True):  # of several the shortest counts
        word = re.sub(r"[\s.()\[\]-]+", "_", name).strip("_")
        for column, pattern in _NAMES.items():
            if match := pattern.fullmatch(word):
                found[column] = keys[name], _UNITS.get(match[1], 1.0)
    if {"season", "episode"} <= set(keys):  # as in MELD: these are times of the episode
        return {}
    for first, last in _PAIRS:
        if not found and {first, last} <= set(keys):
            found = {"start": (keys[first], 1.0), "end": (keys[last], 1.0)}
    if not found and (counted := [n for n in keys if _COUNTED.fullmatch(n.replace(" ", "_"))]):
        raise ValueError(f"'{counted[0]}' counts samples or frames; give start and end in seconds")
    if "start" not in found and "offset" in found.get("end", ("",))[0].lower():
        if "duration" not in found:  # with which it is a start
            raise ValueError("'offset' may be where a clip starts or ends; rename it start or end")
        found["start"] = found.pop("end")
    if "start" not in found or "end" in found:
        found.pop("duration", None)
    return found


def problem(start: str, end: str) -> str:
    """Why a clip cannot be from `start` to `end`, seconds as text or empty; empty when it can."""
    try:
        first, last = seconds(start), seconds(end)
    except ValueError as error:
        return str(error)
    if first < 0 or last < 0:
        return f"from {start or 0} s to {end or 'the end'}: a part cannot start before its file"
    if last <= first or last == 0:
        return f"from {start or 0} s to {end} s: a part must end after it starts"
    return ""
