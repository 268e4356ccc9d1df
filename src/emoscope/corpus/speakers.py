"""Who speaks in a corpus: as the user says, else as the source says, else as far as names tell.

A level of folders and a part of the file names are candidates when they have several values that
occur with several emotions each. One is taken only when its values look like people (``anna``,
``spk03``, ``F1`` beside ``M1``) or when it is the only one and a number on a folder above those of the
emotions. All others are shown, each with the option that would take it.
"""

import dataclasses
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from ..corpora import SPLITS
from ..errors import AudioError, CorpusError
from ..files import printable, said, sentence, shipped_table
from ..labels import canonical, folded
from ..protocols import sentences
from .clips import Corpus, Reading, SpeakerOrigin

_OWN = 0.8  # share of clips with a speaker of their own from which on the speakers are rather files
_FEWEST = 4  # clips from which on that share means anything
SHOWN = 30  # speakers that a result records with their clips
OPTIONS = "--speaker 'REGEX' (matched in the path), --speaker folder:N or --one-speaker"
_WORDS = shipped_table("name_words.toml")
_SEXES = frozenset(_WORDS["sexes"].split())
_GIVEN = frozenset(_WORDS["given"].split())
_PEOPLE = re.compile(rf"({'|'.join(_WORDS['people'].split())})[\W_]*\w{{1,12}}")
_SEX_AND_NUMBER = re.compile(r"(f|w|m|female|male|woman|man)[\W_]*\d+")
_NO_PEOPLE: dict[str, re.Pattern[str]] = {
    looks: re.compile(rf"({'|'.join(words.split())})[\W_]*[a-z]?\d*[a-z]?")
    for looks, words in _WORDS["no_people"].items()
}
_RUN = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
#: What a candidate looks like that could be the speaker → what to mind when it is offered.
PLAUSIBLE: dict[str, str] = _WORDS["plausible"]
_ORDINALS = [*_WORDS["ordinals"].split(), *(f"{n}th" for n in range(7, 100))]
_OFFERED = 5  # candidates


def record(corpus: Corpus) -> dict[str, Any]:
    """What ``results.json`` keeps of the speakers; of the first :data:`SHOWN` the clips, and one."""
    clips = corpus.table[corpus.table["speaker"] != ""].groupby("unique_speaker", sort=True)["clip"]
    counts, first = clips.size(), clips.first()
    return {
        **dataclasses.asdict(corpus.speakers_from),
        "n": len(counts),
        "clips": {str(name): int(count) for name, count in counts[:SHOWN].items()},
        "examples": {str(name): printable(str(clip)) for name, clip in first[:SHOWN].items()},
    }


def settle(corpus: Corpus, root: Path, reading: Reading, *, guess: bool) -> Corpus:
    """The corpus with its speakers, where they come from, and what has to be said of that.

    Of a table, whose writer could have named the speakers, names only offer candidates: no `guess`.
    """
    if reading.origin is not None:
        corpus = _as_told(corpus, root, reading, reading.origin)
    elif (corpus.table["speaker"] == "").all():
        corpus = _from_names(corpus, root, guess)
    doubt = "" if corpus.speakers_from.kind == "rule" else doubt_of(corpus.table)
    if not doubt:
        return corpus
    origin = dataclasses.replace(corpus.speakers_from, doubt=doubt)
    return corpus.noting(sentence("doubtful", doubt=doubt, options=OPTIONS), speakers_from=origin)


def doubt_of(table: pd.DataFrame) -> str:
    """Why the speakers of a table cannot be people, in words; empty when they can."""
    speakers = table["speaker"].astype(str)
    counts = speakers[speakers != ""].value_counts()
    names = {name.casefold() for name in counts.index}
    if not names or len(speakers) < _FEWEST:
        return ""
    own = int((counts == 1).sum())
    shown = ", ".join(map(printable, sorted(counts.index)[:4]))
    if own >= _OWN * len(speakers):
        return f"{own} of {len(speakers)} clips have a speaker of their own, as if these were file names"
    if names <= _SEXES:
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
    known, option = speakers.notna(), f"--speaker '{reading.speaker}'"
    if not known.any():
        found = f"matches none of {len(known)} clips of {corpus.name}"
        raise CorpusError(f"{option} {found}; the first is {printable(below[0])}")
    reason = f"{option} does not match its path"
    rejected = [*corpus.rejected, *(AudioError(p, reason) for p in corpus.table["path"][~known])]
    table = corpus.table[known].assign(speaker=speakers[known].map(printable))
    return dataclasses.replace(corpus, table=table, rejected=rejected, speakers_from=origin)


def _from_names(corpus: Corpus, root: Path, guess: bool) -> Corpus:
    """The speakers that names tell for certain; else what they offer, as notes."""
    paths = [PurePath(os.path.relpath(path, root)) for path in corpus.table["path"]]
    emotions, labels = (corpus.table[name].astype(str).tolist() for name in ("emotion", "label"))
    found = candidates(paths, emotions, labels)
    taken = surest(found) if guess else None
    if taken is not None:
        table = corpus.table.assign(speaker=list(map(printable, taken.values)))
        note = f"speakers are guessed from {taken.words}. If these are not the speakers, give {OPTIONS}"
        return corpus.noting(note, table=table, speakers_from=SpeakerOrigin("guess", taken.where))
    if not found:
        return corpus.noting(f"speakers are unknown: none are found in the names. Give {OPTIONS}")
    looks = {name: f"; it looks like {mind}" if mind else "" for name, mind in PLAUSIBLE.items()}
    offers = [f"  --speaker '{c.option}' for {c.words}{looks[c.looks]}" for c in found[:_OFFERED]]
    return corpus.noting(sentence("candidates"), *offers, f"  or {OPTIONS}")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A level of folders or a part of the file names that could be the speaker."""

    where: str  # in words
    option: str  # what ``--speaker`` takes for it
    values: tuple[str, ...]  # of each clip
    looks: str  # one of :data:`PLAUSIBLE`, the likeliest first, or what it is instead
    leads: bool = False  # whether it is a folder, or the first part of the file names
    above: bool = False  # whether it is a folder above those of the emotions

    @property
    def words(self) -> str:
        """Where it stands, and its values: ``…: anna (12 clips), ben (11) and 3 more``."""
        counts = [(printable(name), n) for name, n in sorted(Counter(self.values).items())]
        return said("candidate", where=self.where, counts=counts)


def candidates(
    paths: Sequence[PurePath], emotions: Sequence[str], labels: Sequence[str]
) -> list[Candidate]:
    """What could be the speaker in paths below a source, likeliest first; `labels` are as written."""
    seen: dict[tuple[int, ...], Candidate] = {}
    for found in (*_folders(paths, labels), *_fields(paths)):
        division = tuple(pd.factorize(np.array(found.values, dtype=object))[0].tolist())
        if division not in seen and _varies(division, emotions):
            seen[division] = found
    if any(found.looks == "a session" for found in seen.values()):
        sexed = {key: found for key, found in seen.items() if found.looks == "sex and number"}
        seen |= {key: dataclasses.replace(found, looks="turn") for key, found in sexed.items()}
    plausible = (found for found in seen.values() if found.looks in PLAUSIBLE)
    typed = [c for c in plausible if c.option.isprintable() and "'" not in c.option]
    told = (tuple(map(Reading(speaker=c.option).speaker_of, paths)) for c in typed)
    usable = [found for found, values in zip(typed, told, strict=True) if values == found.values]
    return sorted(usable, key=lambda found: list(PLAUSIBLE).index(found.looks))


def surest(found: Sequence[Candidate]) -> Candidate | None:
    """The candidate that is the speaker as far as names tell; None when that is not plain."""
    people = [c for c in found if c.looks == "people" or (c.looks == "sex and number" and c.leads)]
    likely = [candidate for candidate in found if candidate.looks in ("word", "number", "code")]
    if people or len(likely) != 1:
        return people[0] if len(people) == 1 else None
    [only] = likely
    participants = only.looks == "code" and all(value[0] in "pP" for value in only.values)
    return only if only.above and (only.looks == "number" or participants) else None


def _varies(values: Sequence[int], emotions: Sequence[str]) -> bool:
    """Whether there are several values, almost each with several clips and several emotions."""
    spoken = pd.Series(emotions, dtype=object).groupby(list(values))
    several = (spoken.nunique() > 1).mean() >= 0.8
    return len(spoken) > 1 and bool(several and spoken.size().median() >= 2)


def _looks(values: Sequence[str], before: str = "") -> str:
    """What values look like; `before` is the constant word in front of them, if any."""
    names = {value.casefold() for value in values}
    whole = {f"{before} {name}".strip() for name in names}
    if all(map(_PEOPLE.fullmatch, whole)):
        return "people"
    for looks, pattern in _NO_PEOPLE.items():
        if all(map(pattern.fullmatch, whole)):
            return looks
    if names <= _SEXES:
        return "the sex"
    if names <= set(SPLITS):
        return "a part of the data"
    if len(names & _GIVEN) >= len(names) / 2:
        return "people"
    if all(matches := [_SEX_AND_NUMBER.fullmatch(name) for name in names]):
        return "sex and number" if len({m[1][0] == "m" for m in matches if m}) == 2 else "code"
    if all(name.isdecimal() for name in names):
        if all(len(n) in (6, 8) or (len(n) == 4 and n[:2] in ("19", "20")) for n in names):
            return "a date"
        ordered = sorted(names, key=int)
        running = int(ordered[0]) <= 1 and int(ordered[-1]) < 2 * len(ordered) + 1
        return "count" if running and len(ordered[0]) < 4 else "number"
    if all(len(name) == 1 for name in names):
        return "a letter, such as those of takes"
    if sum(len(re.findall(r"[^\W\d_]+", name)) > 2 for name in names) > len(names) / 2:
        return "a sentence"
    return "word" if all(re.sub(r"[\W_]", "", name).isalpha() for name in names) else "code"


def _folders(paths: Sequence[PurePath], labels: Sequence[str]) -> Iterator[Candidate]:
    above = min(
        max((n for n, part in enumerate(path.parts[:-1]) if printable(part) == label), default=0)
        for path, label in zip(paths, labels, strict=True)
    )
    for level in range(min(len(_ORDINALS), *(len(path.parts) - 1 for path in paths))):
        values = tuple(path.parts[level] for path in paths)
        if any(canonical(value) or value.lower() in SPLITS for value in values):
            continue
        where, option = f"the {_ORDINALS[level]} folder", f"folder:{level + 1}"
        yield Candidate(where, option, values, _looks(values), True, level < above)


def _fields(paths: Sequence[PurePath]) -> Iterator[Candidate]:
    """The parts of the file names between separators, and runs of letters or digits within them.

    Nothing where names are of different forms.
    """
    columns = _columns(paths)
    ends = [-1, *(n for n, runs in enumerate(columns) if not runs[0].isalnum()), len(columns)]
    parts = [range(end + 1, following) for end, following in itertools.pairwise(ends)]
    for place, part in enumerate(filter(None, parts[: len(_ORDINALS)])):
        which = "last" if part.stop == len(columns) else _ORDINALS[place]
        where = f"the {which} part of the file names"
        for runs in [part, *(range(n, n + 1) for n in part if len(part) > 1)]:
            values = tuple(map("".join, zip(*(columns[n] for n in runs), strict=True)))
            at = runs.start - (2 if runs is part else 1)  # a part has its separator in front
            before = columns[at] if at >= 0 else ("",)
            fixed = before[0].casefold() if len(set(before)) == 1 and before[0].isalpha() else ""
            if runs is not part:
                where = f"'{printable(values[0])}' in {printable(paths[0].stem)}"
            option = _expression(columns, runs)
            yield Candidate(where, option, values, _looks(values, fixed), place == 0)


def _columns(paths: Sequence[PurePath]) -> list[tuple[str, ...]]:
    """The runs of the file names, one tuple for each place; nothing where the kinds differ."""
    split = [_RUN.findall(path.stem) for path in paths]
    shapes = {tuple((run.isalpha(), run.isdecimal()) for run in runs) for runs in split}
    return list(zip(*split, strict=True)) if len(shapes) == 1 else []


def _expression(columns: Sequence[tuple[str, ...]], wanted: range) -> str:
    """The regular expression whose group is the wanted runs, up to the end of the name."""
    tokens = []
    for runs in columns:
        letters = "[A-Za-z]+" if all(run.isascii() for run in runs) else r"[^\W\d_]+"
        token = r"\d+" if runs[0].isdecimal() else letters if runs[0].isalpha() else r"[\W_]+"
        tokens.append(re.escape(runs[0]) if len(set(runs)) == 1 else token)
    tokens[wanted.start] = f"({tokens[wanted.start]}"
    tokens[wanted.stop - 1] += ")"
    return "".join(tokens[max(wanted.start - 1, 0) :]) + "$"
