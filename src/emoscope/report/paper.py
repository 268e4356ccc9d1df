"""What a paper takes over from a result: a sentence, a LaTeX table and BibTeX entries."""

import re
from collections.abc import Mapping
from typing import Any

from .. import corpora, evaluation
from .._version import __version__
from ..evaluation.result import Result
from . import summary

TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
TEX |= {character: f"\\{character}" for character in "&%$#_{}"}
CITATION = re.compile(r"(?P<who>.+?) \((?P<year>\d{4})\)[.,] (?P<what>.+?)\.?( (?P<url>http\S+))?")


def tex(text: object) -> str:
    """A text for LaTeX, in which none of its characters is a command."""
    return re.sub(r"[\\~^&%$#_{}]", lambda found: TEX[found[0]], str(text))


def sentence(result: Result, protocol: str) -> str:
    """What came out, with corpus, protocol and interval; empty without a model worth naming."""
    corpus, said = result.corpus, summary.verdict(result)
    speakers, n_emotions = corpus.get("n_speakers"), len(summary.tested_emotions(result))
    return said and evaluation.sentence(
        "paper", corpus=corpus, speakers=speakers or "unknown", n_emotions=n_emotions,
        result=result, protocol=protocol, said=said, version=__version__,
    )  # fmt: skip


def entries(corpus: Mapping[str, Any]) -> list[dict[str, str]]:
    """The fields of BibTeX entries of a result's corpus or corpora, from their citations."""
    citations = [line for line in str(corpus.get("citation") or "").splitlines() if line.strip()]
    return [_entry(line.strip(), f"corpus{n}") for n, line in enumerate(citations, 1)]


def _entry(citation: str, key: str) -> dict[str, str]:
    if (parts := CITATION.fullmatch(citation)) is None:
        return {"key": key, "note": tex(citation)}
    known = {info.citation: info.title for info in corpora.registry.own.values()}
    names = [name.removesuffix(" et al.") for name in parts["who"].split(", ")]
    people = [
        re.sub(r" ([A-Z]+)$", lambda m: ", " + " ".join(f"{c}." for c in m[1]), n) for n in names
    ]
    title, _, where = parts["what"].rpartition(". ")
    doi = (parts["url"] or "").partition("doi.org/")[2]
    fields = {
        "key": re.sub(r"\W", "", names[0].split(" ")[0].lower()) + parts["year"],
        "author": tex(" and ".join(people + ["others"] * parts["who"].endswith("et al."))),
        "title": tex(title or known.get(citation, "")), "howpublished": tex(where),
        "year": parts["year"], "doi": doi, "url": "" if doi else parts["url"] or "",
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value}
