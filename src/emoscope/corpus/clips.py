"""A corpus in memory, its columns as :mod:`emoscope.corpus` has them; what a user says of a source."""

import dataclasses
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal

import pandas as pd

from .. import corpora
from ..audio import Excerpt, each_channel
from ..audio.excerpt import channel_name, parse_channel
from ..corpora import COLUMNS
from ..errors import AudioError, CorpusError, check_known
from ..files import sentence
from ..labels import EMOTIONS, canonical, in_order
from ..protocols import VOICES
from ..unseen import HeldOut, held_out
from .ratings import Agreement

Kind = Literal["rule", "column", "option", "one", "guess", "none"]

EACH = "each"  # every channel is a clip of its own
_FOLDER = re.compile(r"folder:(-?[1-9]\d*)")


@dataclasses.dataclass(frozen=True)
class SpeakerOrigin:
    """Where the speakers of a corpus come from.

    ``kind`` is "rule" (the corpus's own naming), "column" (of a table), "option" (``--speaker``),
    "one" (``--one-speaker``), "guess" (from names that nobody has explained) or "none" (unknown).
    """

    kind: Kind
    pattern: str = ""  # in words: the rule, the column, the expression, or what was guessed
    doubt: str = ""  # why these cannot be people who speak, in words

    def held_out(self, protocol: str = "") -> HeldOut:
        """What folds by speaker, or of a protocol, hold out."""
        return held_out(self.kind, self.doubt, protocol)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a user says of a source that it does not say itself; an EmoscopeError where it cannot be."""

    #: Words of the source, as written → emotions.
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: What tells the speaker: a regular expression on the path below the source, with or without its
    #: ending (the group named ``speaker``, or all groups joined by hyphens, or else all of it), or
    #: ``folder:N``, the N-th folder below the source; ``folder:-1`` is the one the file lies in.
    speaker: str | None = None
    one_speaker: bool = False  # all clips are of one voice
    channel: str | None = None  # "left", "right", "1", "2" …, "each" or "mix"

    def __post_init__(self) -> None:
        check_known("emotion", EMOTIONS, *filter(None, self.labels.values()))
        if self.channel is not None and self.channel.strip().lower() != EACH:
            parse_channel(self.channel)
        if self.speaker is not None and self.one_speaker:
            raise CorpusError("--speaker and --one-speaker cannot be combined")
        try:
            re.compile(self.speaker or "")
        except re.error as error:
            fault = sentence("no_expression", given=self.speaker, error=error)
            raise CorpusError(fault) from None

    @property
    def origin(self) -> SpeakerOrigin | None:
        """Where speakers come from when this tells them; None when the source has to."""
        if self.one_speaker:
            return SpeakerOrigin("one", "declared as one speaker")
        return SpeakerOrigin("option", self.speaker) if self.speaker is not None else None

    def speaker_of(self, path: PurePath) -> str | None:
        """The speaker of a path below the source; None when the expression does not match it."""
        if self.one_speaker:
            return "1"
        assert self.speaker is not None
        if folder := _FOLDER.fullmatch(self.speaker):
            folders, number = path.parts[:-1], int(folder[1])
            return folders[number - (number > 0)] if abs(number) <= len(folders) else None
        without_ending = path.with_suffix("").as_posix()
        match = re.search(self.speaker, without_ending) or re.search(self.speaker, path.as_posix())
        if match is None:
            return None
        named = match.groupdict().get("speaker") or "-".join(filter(None, match.groups()))
        return named if match.re.groups else match[0] or None


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Clips with their emotions and speakers; a CorpusError when the table cannot be one of clips."""

    name: str
    table: pd.DataFrame  # one row per clip; the module's docstring describes the columns
    licence: str = ""
    citation: str = ""
    #: Files that are not in the table, each with the reason.
    rejected: list[AudioError] = dataclasses.field(default_factory=list)
    speakers_from: SpeakerOrigin = SpeakerOrigin("none")
    #: What whoever reads the corpus should know of how it was read, in sentences.
    notes: list[str] = dataclasses.field(default_factory=list)
    #: Where clips have several ratings, how far their raters agree, for each source.
    agreements: list[Agreement] = dataclasses.field(default_factory=list)
    voices: str = ""  # outcome of comparing its voices, in sentences; empty when not compared

    def __post_init__(self) -> None:
        table, name = self.table, f"corpus '{self.name}'"
        if missing := [column for column in COLUMNS if column not in table]:
            lacks, needed = ", ".join(missing), ", ".join(COLUMNS)
            raise CorpusError(sentence("lacks_columns", name=name, lacks=lacks, needed=needed))
        if table.empty:
            raise CorpusError(f"{name}: contains no clips")
        if empty := [column for column in COLUMNS if table[column].isna().any()]:
            raise CorpusError(f"{name}: missing values in {', '.join(empty)}")
        check_known("emotion", EMOTIONS, *map(str, pd.unique(table["emotion"])))
        for clip in table["clip"][table["clip"].duplicated()]:
            raise CorpusError(f"{name}: clip '{clip}' occurs twice; give only one of its sources")
        speakers = table["speaker"].astype(str)
        if self.speakers_from.kind == "none" and (speakers != "").all():
            origin = SpeakerOrigin("column", "the column of speakers")
            object.__setattr__(self, "speakers_from", origin)
        if table["corpus"].nunique() > 1:
            speakers = table["corpus"].astype(str) + "/" + speakers
        if VOICES in table:  # groups by voice stand for speakers that nobody knows
            speakers = speakers.where(table["speaker"] != "", table[VOICES])
        table = table.assign(unique_speaker=speakers.astype(object))
        texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
        table[texts] = table[texts].where(table[texts].notna(), "")
        for column in {"start", "end"} & set(table):
            table[column] = pd.to_numeric(table[column].replace("", math.nan)).astype(float)
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return len(self.table)

    def noting(self, *notes: str, **changes: Any) -> "Corpus":
        """The corpus with further notes, and changes of its other fields."""
        return dataclasses.replace(self, notes=[*self.notes, *notes], **changes)

    @property
    def emotions(self) -> list[str]:
        """The emotions that occur, in the order of :data:`EMOTIONS`."""
        return in_order(self.table["emotion"])

    @property
    def speakers(self) -> list[str]:
        """The speakers that occur, sorted; the empty name of unknown speakers is not one."""
        return sorted(set(self.table["speaker"]) - {""})

    @property
    def excerpts(self) -> list[Excerpt]:
        """What is read for each clip: its file, or the part and the channel that the table names."""
        return excerpts(self.table)

    def select(
        self, *, emotions: Iterable[str] | None = None, **columns: str | int | Sequence[str | int]
    ) -> "Corpus":
        """The clips that have the given values, in the same order.

        Of `emotions` other words are understood; other columns are given by name, e.g.
        ``channel="speech"`` or ``speaker=["01", "02"]``. An UnknownNameError for what does not exist, a
        CorpusError when no clip is left.
        """
        keep = pd.Series(True, index=self.table.index)
        if emotions is not None:
            chosen = [canonical(emotion) or emotion for emotion in emotions]
            check_known("emotion", EMOTIONS, *chosen)
            if lacking := [emotion for emotion in chosen if emotion not in self.emotions]:
                there = ", ".join(self.emotions)
                raise CorpusError(sentence("no_clips", name=self.name, of=lacking[0], there=there))
            keep &= self.table["emotion"].isin(chosen)
        check_known("column", [str(column) for column in self.table], *columns)
        for column, value in columns.items():
            values = [value] if isinstance(value, str | int) else list(value)
            keep &= self.table[column].isin(values)
        if not keep.any():
            raise CorpusError(f"corpus '{self.name}': this selection leaves no clips")
        return dataclasses.replace(self, table=self.table[keep])

    def of_channel(self, channel: str, source: object) -> "Corpus":
        """The clips of that channel, or with "each" a clip for each of several.

        A clip to which the `source` gives a channel keeps it: its label is of that one.
        """
        told = self.table.get("audio_channel", pd.Series("", self.table.index))
        own, table = self.table[told != ""], self.table[told == ""]
        notes = [sentence("own_channel", n=len(own), source=source)] if len(own) else []
        if channel.strip().lower() != EACH:
            named = told.mask(told == "", channel_name(parse_channel(channel)))
            return self.noting(*notes, table=self.table.assign(audio_channel=named))
        rows, unread = [own] if len(own) else [], list[AudioError]()
        for path, clips in table.groupby("path", sort=False):
            try:
                numbers = [part.channel for part in each_channel(str(path))]
            except AudioError as error:
                unread.append(error)
                continue
            for name in map(channel_name, numbers if len(numbers) > 1 else [None]):
                clip = clips["clip"] + (f"#{name}" if name else "")
                rows.append(clips.assign(audio_channel=name, clip=clip))
        if not rows:
            raise CorpusError(sentence("none_read", n=len(unread), first=unread[0]))
        table = pd.concat(rows, ignore_index=True)
        return self.noting(*notes, table=table, rejected=[*self.rejected, *unread])


def numbered(name: str) -> Iterator[str]:
    """The name, then ``name#2``, ``name#3`` …, of which the first that is free is taken."""
    yield name
    yield from (f"{name}#{number}" for number in itertools.count(2))


def excerpts(table: pd.DataFrame) -> list[Excerpt]:
    """What is read for each row of a table with the columns of a corpus."""
    told = table.reindex(columns=["path", "start", "end", "audio_channel"])
    channels = told["audio_channel"].astype(object).where(told["audio_channel"].notna(), "")
    told = told.assign(start=told["start"].fillna(0.0), audio_channel=channels)
    return [
        Excerpt(os.fspath(path), start, None if math.isnan(end) else end, parse_channel(channel))
        for path, start, end, channel in told.itertuples(index=False)
    ]


def combine(parts: Sequence[Corpus]) -> Corpus:
    """Put several corpora into one, e.g. to train on some and test on another.

    Clips and speakers are prefixed with the name of their corpus. Parts of one corpus that emoscope
    knows, such as RAVDESS's speech and song, stay one corpus; two others of one name are a CorpusError.
    """
    if not parts:
        raise CorpusError("no corpus to combine")
    tables = [part.table.astype(object) for part in parts]
    for table, part in zip(tables, parts, strict=True):
        if table["corpus"].nunique() == 1:
            table["corpus"] = part.name
    named = [name for table in tables for name in pd.unique(table["corpus"])]
    names = list(dict.fromkeys(named))
    for name in names:
        if named.count(name) > 1 and name not in corpora.names():
            raise CorpusError(sentence("two_of_one_name", name=name))
    table = pd.concat(tables, ignore_index=True)
    if len(names) > 1:
        for column in ("clip", "speaker"):
            full = table["corpus"] + "/" + table[column]
            table[column] = full.where(table[column] != "", "")
    origins = [part.speakers_from for part in parts]
    patterns = dict.fromkeys(origin.pattern for origin in origins if origin.pattern)
    doubts = dict.fromkeys(origin.doubt for origin in origins if origin.doubt)
    least: tuple[Kind, ...] = ("none", "guess", "column", "option", "one", "rule")
    kind = min((origin.kind for origin in origins), key=least.index)
    return Corpus(
        name="+".join(names),
        table=table,
        licence="; ".join(dict.fromkeys(f"{part.name}: {part.licence}" for part in parts)),
        citation="\n".join(dict.fromkeys(part.citation for part in parts if part.citation)),
        rejected=[error for part in parts for error in part.rejected],
        speakers_from=SpeakerOrigin(kind, "; ".join(patterns), "; ".join(doubts)),
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
        agreements=[agreement for part in parts for agreement in part.agreements],
    )
