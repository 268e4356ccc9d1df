"""A corpus: one row per clip, what is known about it, its origin, and what was refused.

Columns that every table has, all text: ``clip`` (identifies the clip, unique), ``path``,
``emotion`` (one of :data:`EMOTIONS`), ``label`` (the corpus's own word or code), ``speaker`` (empty
when unknown) and ``corpus``. Where the source tells: ``gender`` ("female" or "male"), ``age``,
``text``, ``intensity``, ``statement``, ``repetition``, ``channel``, ``modality``, ``split``. A
:class:`Corpus` adds ``unique_speaker``: the speaker, after the name of the corpus where the table
has clips of several, so that equal names in two corpora are two speakers.

A path may hold bytes that are not UTF-8 (as Python's surrogate escapes); every other column can be
printed and written.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

import pandas as pd

from .. import corpora
from ..audio.opening import STORES, URL, refusal
from ..corpora import CorpusInfo, folders
from ..corpora.base import COLUMNS, Row, as_table, list_audio
from ..errors import AudioError, CorpusError, UnknownNameError
from ..files import printable
from ..labels import EMOTIONS, canonical, in_order
from . import rows

__all__ = ["COLUMNS", "EMOTIONS", "Corpus", "combine", "load"]


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Clips with their emotions and speakers.

    Raises
    ------
    CorpusError
        When the table lacks a column, names a clip twice, or holds no clip.
    UnknownNameError
        When an emotion is not one of :data:`EMOTIONS`.
    """

    name: str
    table: pd.DataFrame  # one row per clip; the module's docstring describes the columns
    licence: str = ""
    citation: str = ""
    #: Files that are not in the table, each with the reason.
    rejected: list[AudioError] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.table]
        if missing:
            raise CorpusError(
                f"corpus '{self.name}': the table lacks {', '.join(missing)}; "
                f"it needs the columns {', '.join(COLUMNS)}"
            )
        if self.table.empty:
            raise CorpusError(f"corpus '{self.name}': no clip")
        empty = [column for column in COLUMNS if self.table[column].isna().any()]
        if empty:
            raise CorpusError(f"corpus '{self.name}': missing values in {', '.join(empty)}")
        for emotion in pd.unique(self.table["emotion"]):
            if emotion not in EMOTIONS:
                raise UnknownNameError("emotion", str(emotion), EMOTIONS)
        twice = self.table["clip"][self.table["clip"].duplicated()]
        if len(twice):
            raise CorpusError(f"corpus '{self.name}': clip '{twice.iloc[0]}' occurs twice")
        speakers = self.table["speaker"].astype(str)
        if self.table["corpus"].nunique() > 1:
            speakers = self.table["corpus"].astype(str) + "/" + speakers
        table = self.table.assign(unique_speaker=speakers.astype(object))
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def emotions(self) -> list[str]:
        """The emotions that occur, in the order of :data:`EMOTIONS`."""
        return in_order(self.table["emotion"])

    @property
    def speakers(self) -> list[str]:
        """The speakers that occur, sorted; the empty name of unknown speakers is not one."""
        return sorted(set(self.table["speaker"]) - {""})

    def select(
        self, *, emotions: Iterable[str] | None = None, **columns: str | int | Sequence[str | int]
    ) -> Corpus:
        """Return the corpus with those clips only that have the given values, in the same order.

        Parameters
        ----------
        emotions : iterable of str, optional
            Emotions to keep; other words for them are understood.
        **columns
            Other columns by name, e.g. ``channel="speech"`` or ``speaker=["01", "02"]``.

        Raises
        ------
        UnknownNameError
            When an emotion or a column does not exist.
        CorpusError
            When no clip is left.
        """
        keep = pd.Series(True, index=self.table.index)
        if emotions is not None:
            chosen = [canonical(emotion) or emotion for emotion in emotions]
            for emotion in chosen:
                if emotion not in EMOTIONS:
                    raise UnknownNameError("emotion", emotion, EMOTIONS)
                if emotion not in self.emotions:
                    lack = f"has no clip of '{emotion}'; it has {', '.join(self.emotions)}"
                    raise CorpusError(f"corpus '{self.name}' {lack}")
            keep &= self.table["emotion"].isin(chosen)
        for column, value in columns.items():
            if column not in self.table:
                raise UnknownNameError("column", column, [str(c) for c in self.table])
            values = [value] if isinstance(value, str | int) else list(value)
            keep &= self.table[column].isin(values)
        if not keep.any():
            raise CorpusError(f"corpus '{self.name}': no clip is left by this selection")
        return dataclasses.replace(self, table=self.table[keep])


def load(source: str | os.PathLike[str], *, labels: Mapping[str, str] | None = None) -> Corpus:
    """Load a corpus from a folder or a manifest; files without a label are in its ``rejected``.

    Parameters
    ----------
    source : str or path-like
        A folder of a corpus that emoscope knows, a folder with one folder per emotion, or a
        manifest as :mod:`emoscope.corpus.rows` reads it.
    labels : mapping of str to str, optional
        Words of the manifest or names of the folders → emotions, for words emoscope does not know.

    Raises
    ------
    CorpusError
        When there is no such source, no clip in it, or nothing that tells a label.
    UnknownNameError
        When no label of a manifest means an emotion; the message lists the emotions.
    """
    for emotion in (labels or {}).values():
        if emotion not in EMOTIONS:
            raise UnknownNameError("emotion", emotion, EMOTIONS)
    if files := rows.find(source):
        return _load_rows(files, labels or {})
    root = Path(source)
    if root.is_dir():
        return _load_folder(root, labels)
    if str(source) in corpora.names():
        downloads = corpora.get(str(source)).downloads
        fetch = f", or fetch it: emoscope get {source}" if downloads else ""
        hint = f"is the name of a corpus; give the folder that holds it{fetch}"
        raise CorpusError(f"'{source}' {hint}")
    raise CorpusError(f"{source}: {_LAYOUTS if root.exists() else 'no such folder or manifest'}")


def combine(parts: Sequence[Corpus]) -> Corpus:
    """Put several corpora into one, e.g. to train on some and test on another.

    Clips and speakers are prefixed with the name of their corpus, so that they stay distinct.

    Raises
    ------
    CorpusError
        When there is nothing to combine, or two corpora have the same name.
    """
    names = [part.name for part in parts]
    if not parts or len(set(names)) < len(names):
        raise CorpusError(f"corpora to combine need different names; found: {', '.join(names)}")
    tables = [
        part.table.assign(
            clip=[f"{part.name}/{clip}" for clip in part.table["clip"]],
            speaker=[f"{part.name}/{s}" if s else "" for s in part.table["speaker"]],
            corpus=part.name,
        ).astype(object)
        for part in parts
    ]
    return Corpus(
        name="+".join(names),
        table=pd.concat(tables, ignore_index=True).astype(object),
        licence="; ".join(f"{part.name}: {part.licence}" for part in parts),
        citation="\n".join(part.citation for part in parts if part.citation),
        rejected=[error for part in parts for error in part.rejected],
    )


def _load_folder(root: Path, labels: Mapping[str, str] | None) -> Corpus:
    """The corpus whose file names most of a folder's clips follow, else emotions by folder."""
    paths, rejected = list_audio(root)
    if not paths:
        why = f" ({rejected[0]})" if rejected else ""
        raise CorpusError(f"{root}: no audio file in this folder{why}. {_LAYOUTS}")
    info, clips = corpora.recognise(paths)
    table = folders.scan(root, paths, labels)
    if known := len(clips) >= max(1, len(table)):
        table = info.table(root, clips)
        rule = f"in {info.name} a file is named by {info.file_names}, such as {info.example}"
    elif table.empty:
        raise CorpusError(
            f"{root}: {len(paths)} audio files, and none has a label that can be read. {_LAYOUTS}"
        )
    else:
        clips, rule = {}, "it lies in no folder named after an emotion"
    used = set(table["path"])
    for path in paths:
        if path in clips and str(path) not in used:
            reason = f"another copy of the clip {clips[path]['clip']}, which is used once"
            rejected.append(AudioError(path, reason))
        elif str(path) not in used:
            rejected.append(AudioError(path, f"unlabelled: {rule}"))
    if known:
        return Corpus(info.name, table, info.licence, info.citation, rejected)
    return Corpus(table["corpus"].iloc[0], table, rejected=rejected)


def _load_rows(files: Sequence[Path], labels: Mapping[str, str]) -> Corpus:
    """The corpus that files of rows list: the clips of usable rows, a reason for every other."""
    listing = rows.read(files)
    unnamed = sum(not row.get("corpus") for row in listing.rows)
    if 0 < unnamed < len(listing.rows):
        raise CorpusError(
            f"{files[0]}: {unnamed} of {len(listing.rows)} rows name no corpus; with some rows "
            "named and others not, one speaker would count as two"
        )
    known = corpora.registry.members()
    words = {**rows.label_map(files[0]), **labels}
    clips: dict[str, Row] = {}
    rejected: list[AudioError] = []
    splits: dict[str, set[str]] = {}  # path → the splits that list it
    for number, row in enumerate(listing.rows, start=1):
        info = known.get(row.get("corpus", "").lower())
        label, split = row["label"], row.get("split", "")
        emotion = canonical(label, words) or (info.label_map.get(label) if info else None)
        repeated = split in splits.setdefault(row["path"], set())
        if reason := _reason(row, emotion, repeated):
            place = printable(row["path"]) if row["file"] else f"row {number}"
            rejected.append(AudioError(place, reason))
        else:
            splits[row["path"]].add(split)
            clip = _as_clip(row, str(emotion), info, listing.name)
            name, count = clip["clip"], 1
            while clip["clip"] in clips:  # a file listed in two splits becomes two clips
                count += 1
                clip["clip"] = f"{name}#{count}"
            clips[clip["clip"]] = clip
    if not clips and rejected and all(error.reason.startswith("label ") for error in rejected):
        raise UnknownNameError("emotion", printable(listing.rows[0]["label"]), EMOTIONS)
    if not clips:
        why = f", the first because it is {rejected[0]}" if rejected else ""
        raise CorpusError(f"{files[0]}: none of its {len(rejected)} rows can be used{why}")
    table = as_table(clips.values()).astype(object)
    table = table.where(table.notna(), "")
    names = pd.unique(table["corpus"])
    name = names[0] if len(names) == 1 else listing.name
    info = known.get(name)
    licence = listing.licence or (info.licence if info else "")
    citation = info.citation if info else ""
    return Corpus(name, table, licence, citation, [*listing.contradictions, *rejected])


def _reason(row: rows.Row, emotion: str | None, repeated: bool) -> str:
    """Why a row cannot be used; empty when it can.

    A manifest may come from anybody. What it names in an object store is asked of the host that the
    user has set up; with an address on the web it would choose which hosts this machine asks.
    """
    if not row["file"]:
        return "names no file"
    if URL.match(row["path"]):
        if reason := refusal(row["path"], STORES):
            return reason
    elif not _may_be_a_name(row["path"]):
        return "no file can have this name"
    if not row["label"]:
        return "unlabelled: the manifest gives no emotion"
    if emotion is None:
        return f"label '{printable(row['label'])}' is not an emotion emoscope knows"
    return "listed more than once; its first row is used" if repeated else ""


def _may_be_a_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _as_clip(row: rows.Row, emotion: str, info: CorpusInfo | None, corpus: str) -> Row:
    """The row of a corpus table; what the file names of a known corpus tell fills what is missing."""
    told = (info.row(PurePath(row["file"])) or {}) if info else {}
    further = {k: v for k, v in row.items() if k != "file" and (v != "" or k not in told)}
    return {
        **told,
        **further,
        "path": row["path"],
        "emotion": emotion,
        "label": printable(row["label"]),
        "corpus": info.name if info else row.get("corpus") or corpus,
        "speaker": further.get("speaker", told.get("speaker", "")),
        "clip": told.get("clip") or row.get("clip") or printable(row["file"]),
    }


_LAYOUTS = (
    "emoscope understands: a folder of one of the corpora it knows (emoscope corpora lists them); "
    "one folder per emotion (happy/…, sad/…); a manifest .csv, .parquet or .jsonl with the columns "
    "file, emotion and speaker; a folder with metadata.csv (Hugging Face) or db.yaml (audformat)"
)
