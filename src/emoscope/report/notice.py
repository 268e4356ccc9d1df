"""A notice for participants, and how the EU's AI Act classes a use: ``data/ai_act.toml`` has it all."""

from typing import Any

from ..errors import UnknownNameError
from ..files import shipped_table
from ..modelfile.card import Card
from .page import asset, template


def uses() -> dict[str, dict[str, Any]]:
    """The uses that are told apart, by name: title, verdict, why, sources and cases, if any."""
    table = shipped_table("ai_act.toml")
    cases = [(case["use"], case["text"]) for case in table["case"]]
    return {
        name: {**use, "cases": [text for of, text in cases if of == name]}
        for name, use in table["use"].items()
    }


def render(card: Card, use: str | None = None, *, html: bool = False) -> str:
    """The notice and all uses, or one use alone, as Markdown or as a page that loads nothing."""
    table, known = shipped_table("ai_act.toml"), uses()
    if use is not None and use not in known:
        raise UnknownNameError("use", use, known)
    told = {"meaning": card.about.meaning, "source": card.about.source, "worth": card.worth}
    parts = [{**part, "text": part["text"].format(**told)} for part in table["notice"]]
    chosen = {use: known[use]} if use else known
    return template("notice.html.j2" if html else "notice.md.j2").render(
        css=asset("base.css"), law=table, notice=() if use else parts, uses=chosen
    )
