"""A corpus: one row per clip, what is known about it, its origin, and what was refused.

Columns that every table has, all text: ``clip`` (identifies the clip, unique), ``path``,
``emotion`` (one of :data:`EMOTIONS`), ``label`` (the corpus's own word or code), ``speaker`` (empty
when unknown) and ``corpus``. Where the source tells: ``gender`` ("female" or "male"), ``age``,
``text``, ``intensity``, ``statement``, ``repetition``, ``channel`` ("speech" or "song"),
``modality``, ``split``; and of a clip that is part of a file ``start`` and ``end`` (seconds, NaN for
its beginning and end) and ``audio_channel`` ("left", "right", "3" …, empty for the mix). A
:class:`Corpus` adds ``unique_speaker``: the speaker, after the name of the corpus where the table
has clips of several, so that equal names in two corpora are two speakers.

A path may hold bytes that are not UTF-8 (as Python's surrogate escapes); every other column can be
printed and written.
"""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import pandas as pd

from .. import corpora
from ..audio.excerpt import parse_channel
from ..audio.opening import ENDINGS, STORES, URL, refusal
from ..corpora import COLUMNS, CorpusInfo, Row, as_table, list_audio
from ..errors import AudioError, CorpusError, UnknownNameError, check_known
from ..files import printable, sentence
from ..labels import EMOTIONS, WITHOUT_SPEECH, canonical, explain, folded
from . import folder, ratings, rows, speakers, times
from .clips import Corpus, Reading, SpeakerOrigin, combine, numbered

__all__ = ["COLUMNS", "EMOTIONS", "Corpus", "Reading", "SpeakerOrigin", "combine", "load"]

_NO_NAME = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")  # what no path can hold


def load(
    *sources: str | os.PathLike[str], labels: Mapping[str, str] | None = None,
    speaker: str | None = None, one_speaker: bool = False, channel: str | None = None,
    part: str | None = None,
) -> Corpus:  # fmt: skip
    """Load a corpus, or several as one; files without a label are in its ``rejected``.

    Parameters
    ----------
    *sources : str or path-like
        Each a folder of a corpus that emoscope knows, a folder with one folder per emotion, or a
        manifest as :mod:`emoscope.corpus.rows` reads it; a CorpusError when no clip can be read.
    labels, speaker, one_speaker, channel
        What the source does not say, as :class:`Reading` has it.
    part : str, optional
        "speech", "song" or "both", of a corpus that has these parts; by default all that is there.
    """
    reading = Reading(labels or {}, speaker, one_speaker, channel)
    several = _only(part, [_load(source, reading) for source in sources])
    names = [corpus.name for corpus in several]
    for n, corpus in enumerate(several):
        if names.count(corpus.name) > 1 and corpus.name not in corpora.names():  # two called "wav"
            path = printable(os.fspath(sources[n]))
            renamed = corpus.table.assign(corpus=path)
            several[n] = dataclasses.replace(corpus, name=path, table=renamed)
    loaded = several[0] if len(several) == 1 else combine(several)
    found = set(map(folded, loaded.table["label"])) if reading.labels else set()
    unused = ", ".join(f"'{word}'" for word in reading.labels if folded(word) not in found)
    note = f"{loaded.name}: no clip has the label {unused}, which an option maps"
    return loaded.noting(note) if unused else loaded


def _only(part: str | None, loaded: list[Corpus]) -> list[Corpus]:
    """The corpora with one part alone of those that have parts."""
    if part is None:
        return loaded
    check_known("part", corpora.PARTS, part)
    if not any("channel" in corpus.table for corpus in loaded):
        names = ", ".join(corpus.name for corpus in loaded)
        raise CorpusError(f"--part {part}: {names} does not come in parts; RAVDESS does")
    if part == "both":
        return loaded
    return [c.select(channel=part) if "channel" in c.table else c for c in loaded]


def _load(source: str | os.PathLike[str], reading: Reading) -> Corpus:
    root = Path(source)
    found: Corpus | list[Path] | None = rows.find(source)
    if searched := found is None and root.is_dir():
        found = folder.read(root, reading.labels)
    if found is None and str(source) in corpora.names():
        key = "downloadable_corpus" if corpora.get(str(source)).downloads else "name_of_corpus"
        raise CorpusError(sentence(key, source=source))
    if found is None:
        why = sentence("unreadable_kind", suffix=root.suffix, layouts=folder.LAYOUTS)
        raise CorpusError(f"{source}: {why if root.exists() else 'no such folder or manifest'}")
    in_names = isinstance(found, Corpus)
    corpus = found if isinstance(found, Corpus) else _load_rows(found, reading.labels)
    if searched and not in_names:
        corpus = _with_the_rest(corpus, root)
    if reading.channel is not None:
        corpus = corpus.of_channel(reading.channel, source)
    if corpus.citation and in_names and reading.origin is None:
        return corpus  # a published corpus, whose rule tells who speaks or that names do not
    root = root if root.is_dir() else root.parent
    return speakers.settle(corpus, root, reading, guess=in_names)


def _with_the_rest(corpus: Corpus, root: Path) -> Corpus:
    """The corpus, noting the recordings in its folder that no table there names."""
    named = {os.path.abspath(path) for path in corpus.table["path"]}
    named |= {os.path.abspath(str(error.path).partition(", row ")[0]) for error in corpus.rejected}
    rest = [path for path in list_audio(root)[0] if os.path.abspath(path) not in named]
    if not rest:
        return corpus
    first = printable(str(rest[0]))
    return corpus.noting(sentence("not_in_tables", n=len(rest), first=first, root=root))


def _load_rows(files: Sequence[Path], labels: Mapping[str, str]) -> Corpus:
    """The corpus that files of rows list: the clips of usable rows, a reason for every other."""
    words = {**rows.label_map(files[0]), **labels}
    listing = rows.read(files, labels=words)
    unnamed = sum(not row.get("corpus") for row in listing.rows)
    if 0 < unnamed < len(listing.rows):
        raise CorpusError(sentence("no_corpus", file=files[0], n=unnamed, of=len(listing.rows)))
    known = corpora.registry.members()
    usable, foreign, rejected, notes = _sorted_out(listing, words, str(files[0]))
    settled, ties, agreements = ratings.settle(
        usable, listing.name, rated=not listing.contradictions, foreign=foreign
    )
    rejected += ties
    clips = dict[str, Row]()
    for row, emotion in settled:
        clip = _as_clip(row, emotion, known.get(row.get("corpus", "").lower()), listing.name)
        free = (name for name in numbered(clip["clip"]) if name not in clips)
        name = next(free)  # another one for a file that is listed in two splits
        clips[name] = {**clip, "clip": name}
    if not clips:
        first = [f"; the first: {error}" for error in rejected[:1]]
        why = "".join(first or [f"; {note}" for note in notes])
        raise CorpusError(f"{files[0]}: none of its {len(listing.rows)} rows can be used{why}")
    table = as_table(clips.values()).astype(object)
    names = pd.unique(table["corpus"])
    name = names[0] if len(names) == 1 else listing.name
    origin = SpeakerOrigin("rule" if (table["speaker"] != "").any() else "none")
    if any(row.get("speaker") for row in listing.rows):
        origin = SpeakerOrigin("column", "the column of speakers")
    info = known.get(name)
    licence, citation = (info.licence, info.citation) if info else ("", "")
    rejected = [*listing.contradictions, *listing.rejected, *rejected]
    notes, licence = [*notes, *map(str, agreements)], listing.licence or licence
    return Corpus(name, table, licence, citation, rejected, origin, notes, agreements)


def _sorted_out(
    listing: rows.Listing, words: Mapping[str, str], source: str
) -> tuple[list[tuple[Row, str]], list[Row], list[AudioError], list[str]]:
    """Usable rows with their emotions, those of other words, a reason for each unused one, and notes."""
    known, unknown, without_speech = corpora.registry.members(), Counter[str](), 0
    usable, foreign, rejected = list[tuple[Row, str]](), list[Row](), list[AudioError]()
    for number, row in enumerate(listing.rows, start=1):
        info, label = known.get(row.get("corpus", "").lower()), row["label"]
        emotion = canonical(label, words) or (info.label_map.get(label) if info else None)
        if emotion is None and label in WITHOUT_SPEECH and row.get("end"):
            without_speech += 1
        elif reason := _reason(row, emotion):
            if reason.startswith("label "):
                unknown[printable(label)] += 1
                foreign.append(row)
            place = [printable(row["path"])] if row["file"] else []
            if not place or row.get("start") or row.get("end"):
                place.append(f"row {number}")
            rejected.append(AudioError(", ".join(place), reason))
        else:
            usable.append((row, str(emotion)))
    if unknown and unknown.total() == len(listing.rows) - without_speech:
        raise CorpusError(f"{source}: {explain(unknown)}")
    said = [explain(unknown)] if unknown else []
    if listing.rows and {"confidence", "uncertain"} <= set(listing.rows[0]):
        said.append("its emotions were predicted by a model, not annotated by people")
    if without_speech:
        said.append(f"{without_speech} parts without speech are left out")
    notes = [*listing.notes, *(f"{listing.name}: {note}" for note in said)]
    open_ended = [row["path"] for row, _ in usable if row.get("start") and not row.get("end")]
    if over := len(open_ended) - len(set(open_ended)):
        notes.append(sentence("no_ends", name=listing.name, n=over))
    return usable, foreign, rejected, notes


def _reason(row: rows.Row, emotion: str | None) -> str:
    """Why a row cannot be used; empty when it can."""
    if not row["file"]:
        return "names no file"
    if URL.match(row["path"]):  # on the web a manifest would choose which hosts this machine asks
        if reason := refusal(row["path"], STORES):
            return reason
    elif _NO_NAME.search(row["path"]):
        return "this is not a valid file name"
    if not row["label"]:
        return "unlabelled: the manifest gives no emotion"
    if emotion is None:
        return f"label '{printable(row['label'])}' is not a known emotion"
    try:
        parse_channel(row.get("audio_channel", ""))
    except UnknownNameError as error:
        return str(error)
    return times.problem(row.get("start", ""), row.get("end", ""))


def _as_clip(row: rows.Row, emotion: str, info: CorpusInfo | None, corpus: str) -> Row:
    """The row of a corpus table; what the file names of a known corpus tell fills what is missing."""
    told = (info.row(PurePath(row["file"])) or {}) if info else {}
    further = {k: v for k, v in row.items() if k != "file" and (v != "" or k not in told)}
    name, start, end = told.get("clip") or printable(row["file"]), row.get("start"), row.get("end")
    if start or end:  # of a part of a file: ``s03#0.00-1.61``
        stem, ending = os.path.splitext(name)
        last = f"{float(end):.2f}" if end else "end"
        name = f"{stem if ending[1:].lower() in ENDINGS else name}#{float(start or 0):.2f}-{last}"
    own = {"emotion": emotion, "label": printable(row["label"])}
    own["corpus"] = info.name if info else row.get("corpus") or corpus
    own["clip"] = name if told.get("clip") else row.get("clip") or name
    return {"speaker": "", **told, **further, **own}
