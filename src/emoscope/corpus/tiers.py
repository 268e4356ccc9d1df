"""Reads the rows of annotation files: Praat TextGrid, ELAN, SubRip, WebVTT and Label Studio's exports.

Parts without text are left out: nobody has annotated them. Formats: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html,
https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf, https://www.w3.org/TR/webvtt1/,
https://labelstud.io/guide/export
"""

import contextlib
import glob
import itertools
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from ..corpora import is_film
from ..errors import CorpusError
from ..files import printable, sentence
from ..labels import canonical
from .tables import MAX_ROWS, RawRow, check_rows, names_recording, read_text

_TIER_OF_EMOTIONS = re.compile(
    r"(?:^|[\W_]+)(?:emotion(?:s|en)?|emo|affect|gefühle?)(?=$|[\W_])[\W_]*", re.IGNORECASE
)
_MARKS = re.compile(r"\??( \d+%)?$")  # of doubt and confidence, behind labels that emoscope wrote
_SAMPLE = 100  # rows that tell whether a table is an export
_MOST = 0.5  # share of the words of a tier that are emotions where its name does not say so


def read(path: Path) -> list[RawRow]:
    """The annotated parts of a file with one of :data:`SUFFIXES`."""
    text = read_text(path)
    try:
        rows = list(itertools.islice(_READERS[path.suffix.lower()](text), MAX_ROWS + 1))
    except (KeyError, ValueError, RecursionError, ElementTree.ParseError) as error:
        why = f"it refers to {error}, which is missing" if isinstance(error, KeyError) else error
        raise CorpusError(f"{path}: not a readable {path.suffix[1:]} file: {why}") from None
    check_rows(path, len(rows))
    same = f"{glob.escape(path.stem)}.*"
    beside = [p.name for p in _recordings(path.parent, same)]
    if not beside and not any(_recordings(path.parent, "*")):
        above = _recordings(path.parent / "..", f"*/{same}")
        apart = [p for p in above if not p.with_suffix(path.suffix).exists()]
        beside = [os.path.relpath(p, path.parent) for p in apart if len(above) == 1]
    file = min(beside, key=_rank, default="")
    return [{**row, "file": row["file"] or file} for row in rows if str(row["label"]).strip()]


def _recordings(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.glob(pattern) if names_recording(path.name)]


def _rank(name: str) -> tuple[bool, str]:
    return is_film(Path(name)), name


def _row(file: str, start: object, end: object, label: str, tier: str, speaker: str = "") -> RawRow:
    return dict(file=file, start=start, end=end, label=label, tier=tier, speaker=speaker)


# Praat reads free-standing numbers, quoted texts and flags; whatever else a line holds is a remark.
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<!\S)(-?[\d.]+(?:e[+-]?\d+)?)(?!\S)|(?<!\S)<(\w+)>|![^\n]*', re.IGNORECASE
)


def _textgrid(text: str) -> Iterator[RawRow]:
    """The intervals of all tiers, in the long or the short form; points have no length."""
    matches = (match for match in _TOKEN.finditer(text) if match.lastindex)
    tokens = (match[match.lastindex or 0].replace('""', '"') for match in matches)

    def take(kind: Callable[[str], Any] = str) -> Any:
        word = next(tokens, None)
        if word is None:
            raise ValueError("it is truncated")
        return kind(word)

    if [next(tokens, ""), next(tokens, "")] != ["ooTextFile", "TextGrid"]:
        raise ValueError("it is not a TextGrid saved as text (in Praat: Save as text file)")
    take(float), take(float)
    for _ in range(take(int) if take() == "exists" else 0):
        kind, tier = take(), take()
        take(float), take(float)
        if kind not in ("IntervalTier", "TextTier"):
            raise ValueError(f"'{printable(kind)}' is not a kind of tier")
        for _ in range(take(int)):
            start, end = take(float), take(float) if kind == "IntervalTier" else None
            label = take()
            if end is not None:
                yield _row("", start, end, label, tier)


def _eaf(text: str) -> Iterator[RawRow]:
    """The annotations of all tiers; one that refers to another has its times."""
    if re.search(r"<!(DOCTYPE|ENTITY)", text):  # entities can unfold into more than memory holds
        raise ValueError("it declares XML entities, which ELAN never writes")
    root = ElementTree.fromstring(text)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ValueError(f"it begins with <{printable(root.tag)}>, not <ANNOTATION_DOCUMENT>")
    slots = [(s.attrib["TIME_SLOT_ID"], s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")]
    aligned = {n: float(value) / 1000 for n, (_, value) in enumerate(slots) if value is not None}
    # A slot without a time lies between its neighbours, as ELAN draws it.
    times = np.interp(range(len(slots)), list(aligned), list(aligned.values())) if aligned else ()
    time_of = {name: float(time) for (name, _), time in zip(slots, times, strict=False)}
    aligned_parts = (part.attrib for part in root.iter("ALIGNABLE_ANNOTATION"))
    refs = ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
    spans = {told["ANNOTATION_ID"]: [time_of[told[ref]] for ref in refs] for told in aligned_parts}
    referring = (part.attrib for part in root.iter("REF_ANNOTATION"))
    parents = {told["ANNOTATION_ID"]: told["ANNOTATION_REF"] for told in referring}
    described = root.iter("MEDIA_DESCRIPTOR")
    media = [m.get("RELATIVE_MEDIA_URL", "") or m.get("MEDIA_URL", "") for m in described]
    files = [unquote(re.sub(r"^file:/+(?=[A-Za-z]:)|^file://", "", medium)) for medium in media]
    file = min(filter(None, files), key=_rank, default="")
    for tier in root.iter("TIER"):
        for part in tier.iterfind("ANNOTATION/*"):
            name, depth = part.attrib["ANNOTATION_ID"], 0
            while name in parents and (depth := depth + 1) < 100:
                name = parents[name]
            told = tier.get("TIER_ID", ""), tier.get("PARTICIPANT", "")
            start, end = spans[name]
            yield _row(file, start, end, part.findtext("ANNOTATION_VALUE", ""), *told)


_CUE = re.compile(
    r"^[ \t]*(\S+)[ \t]+-->[ \t]+(\S+)[^\n]*\n(.*?)(?=\n[ \t]*\n|\Z)", re.MULTILINE | re.DOTALL
)
_VOICE = re.compile(r"<v(?:\.\S+)?\s+([^>]+)>")


def _cues(text: str) -> Iterator[RawRow]:
    """The cues of subtitles, without their mark-up; WebVTT may name who speaks."""
    cues = list(_CUE.finditer(text))
    for cue in cues:
        if cue[1] == cue[2]:  # no part of a recording: what emoscope says of its own labels
            continue
        voice = _VOICE.search(cue[3])
        label = " ".join(re.sub(r"<[^>]*>|\{\\[^}]*\}", "", cue[3]).split())
        yield _row("", cue[1], cue[2], label, "", voice[1].strip() if voice else "")
    if arrows := text.count("-->") - len(cues):
        raise ValueError(f"{arrows} of its lines with --> are not valid times")


_READERS: Mapping[str, Callable[[str], Iterator[RawRow]]] = {
    ".textgrid": _textgrid, ".eaf": _eaf, ".srt": _cues, ".vtt": _cues,
}  # fmt: skip
SUFFIXES = tuple(_READERS)


def regions(rows: Sequence[RawRow], path: Path) -> list[RawRow] | None:
    """The parts that rows of Label Studio's JSON, JSON-MIN or CSV exports hold; None for other rows."""
    try:
        if any(_of_studio(row) for row in rows[:_SAMPLE]):
            return [part for row in rows for part in _of_studio(row) if part["label"]]
    except (AttributeError, TypeError):
        raise CorpusError(f"{path}: not a readable export of Label Studio") from None
    return None


def _of_studio(row: RawRow) -> list[RawRow]:
    data, tasks = row.get("data"), row.get("annotations") or row.get("completions")
    names = filter(names_recording, (data if isinstance(data, dict) else row).values())
    regions: list[tuple[object, Any]] = []
    for annotation in tasks if isinstance(data, dict) and isinstance(tasks, list) else ():
        results = () if annotation.get("was_cancelled") else annotation.get("result", ())
        regions += [(item.get("from_name", ""), item.get("value", {})) for item in results]
    for tier, value in row.items():
        if isinstance(value, str) and value.startswith("[{"):
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(value)
        parts = value if isinstance(value, list) else ()
        regions += [(tier, v) for v in parts if isinstance(v, dict) and {"start", "end"} <= set(v)]
    file = str(next(names, ""))
    return [_row(file, v.get("start"), v.get("end"), _words(v), str(tier)) for tier, v in regions]


def _words(value: Mapping[str, Any]) -> str:
    """The labels, choices or text of a region; in what emoscope predicted, its emotion."""
    told = [value[key] for key in ("emotion", "label") if isinstance(value.get(key), str)]
    return ", ".join(map(str, next((v for v in value.values() if isinstance(v, list)), told)))


def emotions(
    rows: Sequence[RawRow], labels: Mapping[str, str], where: str
) -> tuple[list[RawRow], str]:
    """The rows of the tiers whose words are emotions, and in a sentence what to know of them.

    Several tiers are of several speakers, unless they are about the same parts: then of several raters.
    """
    by_tier = defaultdict[str, list[RawRow]](list)
    for row in rows:
        label = str(row["label"])
        row = row if label in labels else {**row, "label": _MARKS.sub("", label)}
        by_tier[str(row["tier"])].append(row)
    known = {
        tier: np.mean([canonical(str(part["label"]), labels) is not None for part in parts])
        for tier, parts in by_tier.items()
    }
    named = [tier for tier in by_tier if _TIER_OF_EMOTIONS.search(tier) and known[tier]]
    if nameless := sum(not row["file"] for row in rows):
        raise CorpusError(sentence("nameless", where=where, n=nameless, stem=Path(where).stem))
    chosen = named or [tier for tier in by_tier if known[tier] >= _MOST]
    if not chosen:
        words = Counter(str(row["label"]) for row in rows).most_common(5)
        examples = ", ".join(f"'{printable(word[:40])}'" for word, _ in words) or "none"
        raise CorpusError(sentence("no_tier", where=where, examples=examples))
    spans = Counter((row["file"], row["start"], row["end"]) for t in chosen for row in by_tier[t])
    people = len(chosen) > 1 and sum(n > 1 for n in spans.values()) < len(spans) / 2
    found = [row for tier in chosen for row in by_tier[tier]]
    if people:
        names = {tier: _TIER_OF_EMOTIONS.sub("", tier) for tier in chosen}
        found = [{**row, "speaker": row["speaker"] or names[str(row["tier"])]} for row in found]
    used = ", ".join(f"'{printable(tier)}'" for tier in chosen)
    others = ", ".join(f"'{printable(tier)}'" for tier in by_tier if tier not in chosen)
    said = [f"labels from tier {used}; not used: {others}"] if others else []
    written = {str(row["label"]) for row in rows if str(row["tier"]) in chosen}
    if any("?" in label and label not in labels for label in written):
        said.append("labels with a question mark count as without it")
    return found, "; ".join(said)
