"""What an audit is given: which clips train and which test, read from whatever says so.

Nothing is left out: a clip that is listed twice is what an audit looks for.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from .. import corpora
from ..corpora import SPLITS, list_audio
from ..corpus import rows
from ..corpus.rows import ALIASES, split_in
from ..errors import CorpusError, check_known
from ..evaluation.result import Result
from ..files import sentence
from ..labels import EMOTIONS, canonical
from ..modelfile import SUFFIX
from ..protocols import sentences

COLUMNS = (
    "clip", "identity", "path", "listed", "side", "speaker", "emotion", "text", "start", "end",
    "intensity", "corpus",
)  # fmt: skip
FOLD_NAMES = ("fold", "cv_fold", "kfold")  # of a column
_NO_LISTS = (".toml", ".html", ".svg")  # endings of text that emoscope writes
_TRAIN_OR_TEST = {True: "test", False: "train"}


@dataclass(frozen=True)
class Split:
    """One division into training and test, e.g. a fold, with what a saved result says of it."""

    name: str
    #: A row per listed clip, unknown text empty: ``identity`` is its name where one is given, ``listed``
    #: its file as written or found, ``side`` train (so are development clips) or test.
    clips: pd.DataFrame
    record: Mapping[str, Any] = field(default_factory=dict)


def audible(clips: pd.DataFrame) -> pd.DataFrame:
    """The clips of a known emotion that are at hand, as a corpus has them."""
    known = clips[(clips["path"] != "") & clips["emotion"].isin(EMOTIONS)].reset_index(drop=True)
    return known.assign(clip=known.index.astype(str).astype(object), label=known["emotion"])


def read(
    source: str | os.PathLike[str], test: str | os.PathLike[str] | None = None, *,
    audio: str | os.PathLike[str] | None = None,
) -> list[Split]:  # fmt: skip
    """Read the splits of a source, with the parameters and errors of :func:`emoscope.audit.audit`."""
    path = Path(source)
    if not path.exists():
        raise CorpusError(f"{path}: no such file or folder")
    if test is not None:
        if not Path(test).is_file():
            raise CorpusError(f"{test}: no such file")
        splits = [_joined("", {"train": path, "test": Path(test)})]
    elif path.is_dir() and (path / "results.json").is_file():
        splits = _result(path)
    elif not (splits := _pairs(path)):
        files = rows.find(path) if path.is_dir() else [path]
        if files is None:
            raise CorpusError(sentence("no_split", path=path))
        splits = _by_column(path, _listed(files))
    by_stem = defaultdict[str, list[Path]](list)
    for recording in list_audio(audio)[0] if audio is not None else []:
        by_stem[recording.stem].append(recording)
    return [Split(s.name, _completed(s.clips, by_stem), s.record) for s in splits]


def _listed(files: Sequence[Path]) -> pd.DataFrame:
    if files[0].suffix.lower() in (*_NO_LISTS, SUFFIX):
        key = "model_audited" if files[0].suffix.lower() == SUFFIX else "no_list_audited"
        raise CorpusError(f"{files[0]}: {sentence(key)}; {sentence('audited')}")
    listing = rows.read(files, labelled=False)
    if not listing.rows:
        raise CorpusError(f"{files[0]}: lists no clips")
    table = pd.DataFrame(listing.rows, dtype=object).fillna("")
    places = zip(table["path"], table["file"], strict=True)
    table["path"] = _texts(path if os.path.isfile(path) else file for path, file in places)
    return table.rename(columns={"label": "emotion"})


def _pairs(folder: Path) -> list[Split]:
    """One split per folder that holds a training and a test file, as EmoBox has them; or none."""
    sides = defaultdict[Path, dict[str, Path]](dict)
    for file in sorted(folder.rglob("*.jsonl")):
        side = split_in(file.stem)
        if side in ("train", "test") and file.is_file():
            sides[file.parent][side] = file
    pairs = {place: files for place, files in sides.items() if set(files) == {"train", "test"}}
    return [_joined(place.name if len(pairs) > 1 else "", files) for place, files in pairs.items()]


def _joined(name: str, sides: Mapping[str, Path]) -> Split:
    parts = [_listed([file]).assign(side=side) for side, file in sides.items()]
    return Split(name, pd.concat(parts, ignore_index=True))


def _by_column(file: Path, clips: pd.DataFrame) -> list[Split]:
    if "split" in clips and clips["split"].ne("").any():
        side = clips["split"].map(SPLITS)
        check_known(f"split in {file}", SPLITS, *sorted(set(clips["split"]) - {""}))
        clips = clips.assign(side=side.replace("dev", "train"))[side.notna()]
        splits = [Split("", clips)]
    else:
        if (fold := next((name for name in FOLD_NAMES if name in clips), None)) is None:
            valid = ", ".join([*ALIASES["split"], *FOLD_NAMES])
            raise CorpusError(sentence("no_split_column", file=file, valid=valid))
        if not (folds := sorted(set(clips[fold]) - {""})):
            raise CorpusError(f"{file}: the column '{fold}' is empty")
        sides = {value: (clips[fold] == value).map(_TRAIN_OR_TEST) for value in folds}
        splits = [Split(value, clips.assign(side=side)) for value, side in sides.items()]
    for split in splits:
        present = sorted(set(split.clips["side"]))
        if present != ["test", "train"]:
            found = ", ".join(present) or "nothing"
            raise CorpusError(f"{file}: needs both training and test clips; found only: {found}")
    return splits


def _result(folder: Path) -> list[Split]:
    """The folds of a saved result, under the protocol that it is about."""
    result = Result.load(folder)
    tested_clips = result.rows(result.leaderboard()[0].model)
    columns = ["clip", "speaker", "emotion", "text", "intensity"]
    clips = tested_clips.reindex(columns=columns).assign(path="")
    recorded = _fold_records(folder, result)
    whole = {
        **result.config, "runs": [run.to_json() for run in result.runs], "protocol": result.protocol,
        "speakers": result.corpus.get("speakers"),
    }  # fmt: skip
    splits = []
    for fold in dict.fromkeys(tested_clips["fold"]):
        tested = tested_clips["fold"] == fold
        record = recorded.get(str(fold), {})
        table = clips.assign(side=tested.map(_TRAIN_OR_TEST))
        if "train_speakers" in record:
            speakers = record["train_speakers"]
            # Clips that no fold tests are not in the predictions; their speakers are recorded.
            table = table[tested | table["speaker"].isin(speakers)]
            if "train_sentences" in record:
                said = np.isin(sentences(table), list(record["train_sentences"]))
                table = table[(table["side"] == "test") | said]
            unseen = sorted(speakers - set(table.loc[table["side"] == "train", "speaker"]))
            extra = pd.DataFrame({"speaker": unseen, "side": "train", "path": "", "clip": ""})
            table = pd.concat([table, extra], ignore_index=True)
        if "train" not in set(table["side"]):
            raise CorpusError(sentence("no_record", folder=folder, protocol=result.protocol))
        splits.append(Split(str(fold), table, whole))
    return splits


def _fold_records(folder: Path, result: Result) -> dict[str, dict[str, set[str]]]:
    """By fold, the speakers and sentences that trained, as far as a result records them."""
    parts = {"train_speakers", "train_sentences"}
    records = (result.config.get("folds") or {}).get(result.protocol, [])
    try:
        return {str(r["fold"]): {p: set(map(str, r[p])) for p in parts & set(r)} for r in records}
    except (AttributeError, KeyError, TypeError) as error:
        raise CorpusError(sentence("no_fold_speakers", folder=folder)) from error


def _recording(path: str, name: str, by_stem: Mapping[str, list[Path]]) -> str:
    """The recording at that path or of that name; empty when none or several fit alike."""
    if path and Path(path).is_file():
        return path
    listed = PurePath(name)
    same = by_stem.get(listed.stem) or by_stem.get(listed.name) or []
    if len(same) > 1:
        same = [path for path in same if path.parent.name == listed.parent.name]
    return str(same[0]) if len(same) == 1 else ""


def _completed(clips: pd.DataFrame, by_stem: Mapping[str, list[Path]]) -> pd.DataFrame:
    """Fill in what file names of known corpora tell, and where the recordings are."""
    table = clips.reindex(columns=list(COLUMNS)).reset_index(drop=True)
    texts = ["clip", "path", "speaker", "emotion", "text", "intensity", "corpus"]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    table[["start", "end"]] = table[["start", "end"]].apply(pd.to_numeric, errors="coerce")
    names = [path or clip for path, clip in zip(table["path"], table["clip"], strict=True)]
    paths = [PurePath(name) for name in names]
    found, _ = corpora.matches(set(paths))
    rows_of = {path: row for match in found for path, row in match.rows.items()}
    if 2 * len(rows_of) > len(set(paths)):  # else the names are not those of a known corpus
        told = pd.DataFrame([rows_of.get(path, {}) for path in paths]).fillna("")
        for column in {"clip", "speaker", "emotion", "text", "intensity"} & set(told):
            table[column] = table[column].where(table[column] != "", told[column])
    table["emotion"] = _texts(canonical(label) or label for label in table["emotion"])
    table["identity"] = table["clip"]
    table["clip"] = table["clip"].where(table["clip"] != "", table["path"])
    if table["corpus"].nunique() > 1 and (table["corpus"] != "").all():
        for column in ("speaker", "identity"):
            full = table["corpus"] + "/" + table[column]
            table[column] = full.where(table[column] != "", "")
    found_at = [_recording(*place, by_stem) for place in zip(table["path"], names, strict=True)]
    listed = (os.path.realpath(p) if p else name for p, name in zip(found_at, names, strict=True))
    return table.assign(path=_texts(found_at), listed=_texts(listed))[list(COLUMNS)]


def _texts(values: Iterable[str]) -> "pd.Series[str]":
    """A column of Python's text: names of files may hold what Arrow's cannot."""
    return pd.Series(list(values), dtype=object)
