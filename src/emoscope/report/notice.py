"""A notice for participants, and how the EU's AI Act classes a use of emotion recognition.

All that is said stands in ``data/ai_act.toml``, with how far its sources were read.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from ..errors import UnknownNameError
from ..files import shipped_table
from ..modelfile.card import Card
from .page import asset, template


@dataclasses.dataclass(frozen=True)
class Use:
    """A use of emotion recognition: the verdict of ``ai_act.toml``, and why."""

    title: str
    verdict: str
    why: str
    sources: tuple[str, ...]
    cases: tuple[str, ...]  # examples, most of them the Commission's


def uses() -> dict[str, Use]:
    """The uses that are told apart, by name."""
    table = shipped_table("ai_act.toml")
    cases: dict[str, list[str]] = {}
    for case in table["case"]:
        cases.setdefault(case["use"], []).append(case["text"])
    told = {name: {**use, "cases": cases.get(name, [])} for name, use in table["use"].items()}
    return msgspec.convert(told, dict[str, Use])


def render(card: Card, use: str | None = None, *, html: bool = False) -> str:
    """The notice and all uses, or one use alone, as Markdown or as a page that loads nothing."""
    table, known = shipped_table("ai_act.toml"), uses()
    if use is not None and use not in known:
        raise UnknownNameError("use", use, known)
    told: dict[str, Any] = {"meaning": card.about.meaning, "source": card.about.source}
    told["worth"] = card.worth
    parts = [{**part, "text": part["text"].format(**told)} for part in table["notice"]]
    chosen = {use: known[use]} if use else known
    return template("notice.html.j2" if html else "notice.md.j2").render(
        css=asset("base.css"), law=table, notice=() if use else parts, uses=chosen
    )
