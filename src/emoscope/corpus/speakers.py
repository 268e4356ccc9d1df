"""Who speaks in a corpus: as the user says, else as the source says, else as far as names tell."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import AudioError, CorpusError
from ..files import printable
from ..labels import canonical, folded
from ..protocols import sentences
from . import guessing
from .reading import Reading, SpeakerOrigin

if TYPE_CHECKING:
    from .clips import Corpus

_OWN = 0.8  # share of clips with a speaker of their own from which on the speakers are rather files
_FEWEST = 4  # clips from which on that share means anything
SHOWN = 30  # speakers that a result records with their clips
OPTIONS = "--speaker 'REGEX' (matched in the path), --speaker folder:N or --one-speaker"


def record(corpus: Corpus) -> dict[str, Any]:
    """What ``results.json`` keeps of the speakers; of the first :data:`SHOWN` the clips, and one."""
    known = corpus.table[corpus.table["speaker"] != ""]
    clips = known.groupby("unique_speaker", sort=True)["clip"]
    counts, first = clips.size(), clips.first()
    return {
        **dataclasses.asdict(corpus.speakers_from),
        "n": len(counts),
        "clips": {str(name): int(count) for name, count in counts[:SHOWN].items()},
        "examples": {str(name): printable(str(clip)) for name, clip in first[:SHOWN].items()},
    }


def settle(corpus: Corpus, root: Path, reading: Reading, *, guess: bool) -> Corpus:
    """The corpus with its speakers, where they come from, and what has to be said of that.

    In a table, whose writer could have named the speakers, nothing is taken from names; what they
    offer is shown.
    """
    if reading.origin is not None:
        corpus = _as_told(corpus, root, reading, reading.origin)
    elif (corpus.table["speaker"] == "").all():
        corpus = _from_names(corpus, root, guess)
    doubt = "" if corpus.speakers_from.kind == "rule" else doubt_of(corpus.table)
    if not doubt:
        return corpus
    note = (
        f"warning: {doubt}. Test voices may occur in training, so no result will call them unseen. "
        f"To name the speakers, give {OPTIONS}"
    )
    origin = dataclasses.replace(corpus.speakers_from, doubt=doubt)
    return dataclasses.replace(corpus, speakers_from=origin, notes=[*corpus.notes, note])


def doubt_of(table: pd.DataFrame) -> str:
    """Why the speakers of a table cannot be people, in words; empty when they can."""
    speakers = table["speaker"].astype(str)
    counts = speakers[speakers != ""].value_counts()
    names = {str(name).casefold() for name in counts.index}
    if not names or len(speakers) < _FEWEST:
        return ""
    own = int((counts == 1).sum())
    shown = ", ".join(printable(str(name)) for name in sorted(counts.index)[:4])
    if own >= _OWN * len(speakers):
        return f"{own} of {len(speakers)} clips have a speaker of their own, as if these were file names"
    if names <= guessing.SEXES:
        return f"the speakers are {shown}: sexes, not people"
    if alike := _alike(table.get("unique_speaker", speakers)[speakers != ""]):
        return f"the speakers {alike} are probably the same person"
    if all(canonical(name) for name in names):
        return f"the speakers are {shown}: emotions, not people"
    spoken = pd.Series(sentences(table), table.index)
    words = set(spoken) - {""}
    pairs = pd.DataFrame({"speaker": speakers, "words": spoken}).drop_duplicates()
    one_each = len(pairs) == len(counts) == len(words) > 1
    if one_each or all(len(name.split()) > 3 for name in names):
        return f"the speakers are {shown} …: sentences, not people"
    return ""


def _alike(speakers: pd.Series) -> str:
    """Two names that differ in case, separators or leading zeros alone; empty without such."""
    seen: dict[str, str] = {}
    for name in sorted(map(str, set(speakers))):
        runs = re.findall(r"[^\W\d_]+|\d+", folded(name))
        plain = " ".join(run.lstrip("0") for run in runs) or name
        if plain in seen:
            return f"'{printable(seen[plain])}' and '{printable(name)}'"
        seen[plain] = name
    return ""


def _as_told(corpus: Corpus, root: Path, reading: Reading, origin: SpeakerOrigin) -> Corpus:
    below = [os.path.relpath(path, root) for path in corpus.table["path"]]
    told = [reading.speaker_of(PurePath(path)) for path in below]
    speakers = pd.Series(told, corpus.table.index, dtype=object)
    known = speakers.notna()
    if not known.any():
        raise CorpusError(
            f"--speaker '{reading.speaker}' matches none of {len(known)} clips of {corpus.name}; "
            f"the first is {printable(below[0])}"
        )
    reason = f"--speaker '{reading.speaker}' does not match its path"
    rejected = [*corpus.rejected, *(AudioError(p, reason) for p in corpus.table["path"][~known])]
    table = corpus.table[known].assign(speaker=speakers[known].map(printable))
    return dataclasses.replace(corpus, table=table, rejected=rejected, speakers_from=origin)


def _from_names(corpus: Corpus, root: Path, guess: bool) -> Corpus:
    """The speakers that names tell for certain; else what they offer, as notes."""
    paths = [PurePath(os.path.relpath(path, root)) for path in corpus.table["path"]]
    emotions, labels = (corpus.table[name].astype(str).tolist() for name in ("emotion", "label"))
    found = guessing.candidates(paths, emotions, labels)
    taken = guessing.surest(found, emotions) if guess else None
    if taken is not None:
        table = corpus.table.assign(speaker=list(map(printable, taken.values)))
        guessed = f"speakers are guessed from {taken.words}"
        notes = [*corpus.notes, f"{guessed}. If these are not the speakers, give {OPTIONS}"]
        origin = SpeakerOrigin("guess", taken.where)
        return dataclasses.replace(corpus, table=table, speakers_from=origin, notes=notes)
    offers = [
        f"  --speaker '{candidate.option}' for {candidate.words}"
        + (f"; it looks like {mind}" if (mind := guessing.PLAUSIBLE[candidate.looks]) else "")
        for candidate in found[: guessing.SHOWN]
    ]
    notes = [f"speakers are unknown, and no name reveals them. Give {OPTIONS}"]
    if offers:
        start = "speakers are unknown, because file names do not clearly identify them. Candidates:"
        notes = [start, *offers, f"  or {OPTIONS}"]
    return dataclasses.replace(corpus, notes=[*corpus.notes, *notes])
