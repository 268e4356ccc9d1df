"""What an audit is given: which clips train and which test, read from whatever says so.

A source is a manifest with a column of splits (or of folds, each of which is tested once), an
audformat database, an audio folder as Hugging Face lays it out, a folder
with EmoBox-style ``…train….jsonl`` and ``…test….jsonl`` files (one pair, or one per subfolder), two
files (lists of recordings, one per line, or manifests), or the folder of a saved result. Nothing is
left out: a clip that is listed twice is what an audit looks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from .. import corpora
from ..corpora.base import list_audio
from ..corpora.folders import SPLITS
from ..corpus import audformat, manifests
from ..corpus.manifests import ALIASES, as_text, split_in
from ..corpus.references import SUFFIXES, read_rows, read_text
from ..errors import CorpusError
from ..evaluation.result import Result
from ..files import printable
from ..labels import canonical

COLUMNS = (
    "clip", "identity", "path", "listed", "side", "speaker", "emotion", "text", "start", "end",
)  # fmt: skip
#: Names of a column of folds.
FOLD_NAMES = ("fold", "cv_fold", "kfold")


@dataclass(frozen=True)
class Split:
    """One division into training and test.

    Attributes
    ----------
    name : str
        E.g. the fold; empty when there is one.
    clips : DataFrame
        One row per listed clip: ``clip`` (what it is called here), ``identity`` (its name where
        the source or a known corpus gives it one, else empty), ``path`` (empty where there is no
        recording), ``listed`` (the file as the source writes it, or where it was found), ``side``
        (``"train"`` or ``"test"``; development clips train), ``speaker`` (with the corpus before it
        where there are several), ``emotion, text`` (empty where unknown), ``start, end`` (seconds;
        NaN for whole files).
    record : mapping
        What a saved result says of how it was made.
    """

    name: str
    clips: pd.DataFrame
    record: Mapping[str, Any] = field(default_factory=dict)


def read(
    source: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    *,
    audio: str | os.PathLike[str] | None = None,
) -> list[Split]:
    """Read the splits of a source.

    Parameters
    ----------
    source : path
        See the module; the training side when `test` is given.
    test : path, optional
        A second file: the test side.
    audio : path, optional
        Folder below which recordings are looked for that are not where the source says.

    Raises
    ------
    CorpusError
        When the source cannot be read or does not say what trains and what tests.
    """
    path = Path(source)
    if not path.exists():
        raise CorpusError(f"{path}: no such file or folder")
    if test is not None:
        if not Path(test).is_file():
            raise CorpusError(f"{test}: no such file")
        splits = [_joined("", {"train": path, "test": Path(test)})]
    elif path.is_dir() and (path / "results.json").is_file():
        splits = _result(path)
    elif path.name == audformat.HEADER:
        splits = _manifest(path)
    elif path.is_dir():
        splits = _folder(path) or _manifest(path)
    else:
        splits = _by_column(path, _listed(path))
    places = _Places(audio)
    return [Split(s.name, _completed(s.clips, places), s.record) for s in splits]


def _joined(name: str, sides: Mapping[str, Path]) -> Split:
    """A split whose sides are files of their own."""
    parts = [_listed(file).assign(side=side) for side, file in sides.items()]
    return Split(name, pd.concat(parts, ignore_index=True))


def _folder(folder: Path) -> list[Split]:
    """One split per folder that holds a training and a test file, as EmoBox has them; or none."""
    found: dict[Path, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*.jsonl")):
        side = split_in(file.stem)
        if side in ("train", "test") and file.is_file():
            found.setdefault(file.parent, {})[side] = file
    pairs = {place: sides for place, sides in found.items() if set(sides) == {"train", "test"}}
    several = len(pairs) > 1
    return [_joined(place.name if several else "", sides) for place, sides in pairs.items()]


def _manifest(source: Path) -> list[Split]:
    """The splits of an audformat database, or of a folder as Hugging Face lays it out."""
    files = manifests.find(source)
    if files is None:
        raise CorpusError(
            f"{source}: holds neither results.json nor a pair of …train….jsonl and …test….jsonl nor "
            "another manifest"
        )
    if files[0].name == audformat.HEADER:
        rows = audformat.read(files[0].parent).rows
        return _by_column(files[0], _as_listed([_renamed(row) for row in rows], files[0]))
    parts = []
    for file in files:
        part = _listed(file)
        told = split_in(file.stem) or split_in(file.parent.name)
        parts.append(part if "split" in part else part.assign(split=told))
    return _by_column(source, pd.concat(parts, ignore_index=True).fillna(""))


def _by_column(file: Path, clips: pd.DataFrame) -> list[Split]:
    """The splits that one column of a table tells."""
    if "split" in clips and clips["split"].ne("").any():
        side = clips["split"].str.lower().map(SPLITS)
        unknown = sorted(set(clips.loc[side.isna(), "split"]) - {""})
        if unknown:
            raise CorpusError(
                f"{file}: split '{unknown[0]}' is none of {', '.join(dict.fromkeys(SPLITS))}"
            )
        clips = clips.assign(side=side.replace("dev", "train"))[side.notna()]
        return [_both_sides(file, Split("", clips))]
    fold = next((name for name in FOLD_NAMES if name in clips), None)
    if fold is None:
        raise CorpusError(
            f"{file}: no column that says what trains and what tests; it may be called "
            f"{', '.join(ALIASES['split'] + FOLD_NAMES)}"
        )
    folds = sorted(set(clips[fold]) - {""})
    if not folds:
        raise CorpusError(f"{file}: the column '{fold}' is empty")
    return [
        _both_sides(
            file, Split(value, clips.assign(side=(clips[fold] == value).map(_TRAIN_OR_TEST)))
        )
        for value in folds
    ]


_TRAIN_OR_TEST = {True: "test", False: "train"}


def _both_sides(file: Path, split: Split) -> Split:
    if set(split.clips["side"]) != {"train", "test"}:
        present = ", ".join(sorted(set(split.clips["side"]))) or "nothing"
        raise CorpusError(f"{file}: needs clips that train and clips that test; found: {present}")
    return split


def _listed(file: Path) -> pd.DataFrame:
    """The rows of a list or a manifest, with the column names of an audit and values as text."""
    if file.suffix.lower() not in SUFFIXES:
        lines = read_text(file).splitlines()
        rows = [{"path": text} for text in map(str.strip, lines) if text and text[0] != "#"]
    else:
        rows = [_renamed(row) for row in read_rows(file)]
    return _as_listed(rows, file)


def _as_listed(rows: Sequence[Mapping[str, str]], file: Path) -> pd.DataFrame:
    """Rows as a table whose paths are as seen from here."""
    if not rows:
        raise CorpusError(f"{file}: no clip")
    table = pd.DataFrame(rows, dtype=object)
    if "path" not in table:
        raise CorpusError(f"{file}: no column of files; it may be: {', '.join(ALIASES['path'])}")
    table["path"] = _texts(_placed(path, file) for path in table["path"])
    return table


def _renamed(raw: Mapping[str, Any]) -> dict[str, str]:
    row = {printable(str(key).strip().lower()): as_text(v) for key, v in raw.items()}
    for column, names in ALIASES.items():
        name = next((name for name in names if name in row), None)
        if name is not None:
            row["emotion" if column == "label" else column] = row[name]
    return {key: value if key == "path" else printable(value) for key, value in row.items()}


def _placed(path: str, file: Path) -> str:
    """The path as seen from here: relative ones start at the manifest or a folder above it."""
    bases = [file.parent, *file.resolve().parents[1:5]]
    return next((str(base / path) for base in bases if (base / path).is_file()), path)


def _result(folder: Path) -> list[Split]:
    """The folds of a saved result, under the protocol that it is about."""
    result = Result.load(folder)
    protocol = result.protocol
    rows = result.rows(result.leaderboard()[0].model)
    clips = rows[["clip", "speaker", "emotion"]].assign(path="")
    if "text" in rows:
        clips["text"] = rows["text"]
    recorded = {str(f["fold"]): f for f in _fold_records(folder, result, protocol)}
    splits = []
    for fold in dict.fromkeys(rows["fold"]):
        tested = rows["fold"] == fold
        record = recorded.get(str(fold), {})
        table = clips.assign(side=tested.map(_TRAIN_OR_TEST))
        if "train_speakers" in record:
            speakers = {str(speaker) for speaker in record["train_speakers"]}
            # Clips that no fold tests are not in the predictions; their speakers are recorded.
            table = table[tested | table["speaker"].isin(speakers)]
            unseen = sorted(speakers - set(table.loc[table["side"] == "train", "speaker"]))
            extra = pd.DataFrame({"speaker": unseen, "side": "train", "path": "", "clip": ""})
            table = pd.concat([table, extra], ignore_index=True)
        whole = {
            **result.config,
            "runs": [run.to_json() for run in result.runs],
            "protocol": protocol,
        }
        splits.append(Split(str(fold), table, whole))
    return splits


def _fold_records(folder: Path, result: Result, protocol: str) -> list[dict[str, Any]]:
    folds = result.config.get("folds", {})
    records: list[dict[str, Any]] = folds.get(protocol, []) if isinstance(folds, dict) else []
    if not isinstance(records, list) or not all(map(_is_record, records)):
        raise CorpusError(
            f"{folder}: not a saved result: what it records of its folds names no speakers"
        )
    return records


def _is_record(record: Any) -> bool:
    known = isinstance(record, dict) and "fold" in record
    return known and isinstance(record.get("train_speakers", []), list)


class _Places:
    """Finds recordings below a folder by the last parts of their paths."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.by_stem: dict[str, list[Path]] = {}
        for path in list_audio(folder)[0] if folder is not None else []:
            self.by_stem.setdefault(path.stem, []).append(path)

    def find(self, path: str, clip: str) -> str:
        """A recording of that path or clip; empty when there is none, or several fit alike."""
        if path and Path(path).is_file():
            return path
        wanted = PurePath(path or clip)
        found = self.by_stem.get(wanted.stem) or self.by_stem.get(wanted.name) or []
        if len(found) > 1:
            found = [p for p in found if p.parts[-2:-1] == wanted.parts[-2:-1]]
        return str(found[0]) if len(found) == 1 else ""


def _completed(clips: pd.DataFrame, places: _Places) -> pd.DataFrame:
    """Fill in what file names of known corpora tell, and where the recordings are."""
    table = clips.reindex(columns=[*COLUMNS, "corpus"]).reset_index(drop=True)
    for column in ("clip", "path", "speaker", "emotion", "text", "corpus"):
        table[column] = table[column].astype(object).where(table[column].notna(), "")
    for column in ("start", "end"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    named = [
        PurePath(path or clip) for path, clip in zip(table["path"], table["clip"], strict=True)
    ]
    told = _told_by_names(named)
    for column in ("clip", "speaker", "emotion", "text"):
        if told and (table[column] == "").any():
            fill = [row.get(column, "") for row in told]
            pairs = zip(table[column], fill, strict=True)
            table[column] = _texts(have or new for have, new in pairs)
    table["emotion"] = _texts(canonical(label) or label for label in table["emotion"])
    table["identity"] = table["clip"]
    table["clip"] = table["clip"].where(table["clip"] != "", table["path"])
    if table["corpus"].nunique() > 1 and (table["corpus"] != "").all():
        known = table["speaker"] != ""
        table["speaker"] = (table["corpus"] + "/" + table["speaker"]).where(known, "")
        own = table["identity"] != ""
        table["identity"] = (table["corpus"] + "/" + table["identity"]).where(own, "")
    found = [places.find(path, clip) for path, clip in table[["path", "clip"]].to_numpy()]
    named_as = zip(found, table["path"], table["clip"], strict=True)
    table["listed"] = _texts(
        os.path.realpath(at) if at else path or clip for at, path, clip in named_as
    )
    table["path"] = _texts(found)
    return table[list(COLUMNS)]


def _texts(values: Iterable[str]) -> pd.Series[str]:
    """A column of Python's text: names of files may hold what Arrow's cannot."""
    return pd.Series(list(values), dtype=object)


def _told_by_names(paths: Sequence[PurePath]) -> list[Mapping[str, Any]]:
    """What the known corpus says whose rule most of the names follow; empty when none fits."""
    best: list[Mapping[str, Any]] = []
    n_best = len(paths) // 2
    for info in corpora.registry.members().values():
        rows: list[Mapping[str, Any]] = [info.row(path) or {} for path in paths]
        n_told = sum(bool(row) for row in rows)
        if n_told > n_best:
            best, n_best = rows, n_told
    return best
