"""Corpora in the forms of others: audformat databases, Hugging Face audio folders, plain manifests.

What is written here :func:`emoscope.corpus.load` reads back. Databases and audio folders hold their
recordings; one that lies elsewhere is linked or copied into their folder ``audio``.

https://audeering.github.io/audformat/data-format.html, https://huggingface.co/docs/datasets/audio_dataset
"""

import contextlib
import dataclasses
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .. import audio
from ..audio.opening import URL
from ..corpora import COLUMNS
from ..errors import AudioError, CorpusError, check_known, installed
from ..files import encodable, printable, sentence, write_atomically
from . import Corpus
from .audformat import HEADER
from .clips import numbered
from .rows import ALIASES

METADATA, AUDIO = "metadata.csv", "audio"
SPLITS = ("train", "dev", "test")
ABOUT_SPEAKER = ("gender", "age")


def write(corpus: Corpus, target: str | os.PathLike[str], *, format: str | None = None) -> Corpus:
    """Write what is known of a corpus as audformat, huggingface, csv, parquet or jsonl.

    Returns what was written, with the recordings' new paths; ``rejected`` are those not to be placed.
    """
    path = Path(target)
    chosen = format or path.suffix.lstrip(".").lower()
    check_known("format", _WRITERS, chosen)
    parts = _parts(corpus.table)
    if chosen == "huggingface" and parts.any():
        raise CorpusError(sentence("whole_files", n=parts.sum(), of=len(parts)))
    if _WRITERS[chosen] is not _manifest:
        _refuse_another(corpus, path)
        corpus = _gathered(corpus, path)
    _WRITERS[chosen](corpus, path)
    return corpus


def _parts(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which clips are less than their files."""
    told = table.reindex(columns=["start", "end", "audio_channel"]).replace("", None)
    return told.notna().any(axis=1)


def _refuse_another(corpus: Corpus, folder: Path) -> None:
    """Refuse a folder that describes a corpus already, unless these are its recordings."""
    root = folder.resolve()
    described = [name for name in (HEADER, METADATA) if os.path.lexists(folder / name)]
    if described and not any(_lies_in(root, path) for path in corpus.table["path"]):
        raise CorpusError(f"{folder}: contains a corpus ({described[0]}); choose a new folder")


def _audformat(corpus: Corpus, folder: Path) -> None:
    table = _described(corpus, folder)
    kind, index = "filewise", ["file"]
    if "start" in table or "end" in table:
        kind, index = "segmented", ["file", "start", "end"]
        times = table.reindex(columns=index[1:]).fillna({"start": 0.0})
        table = table.assign(**{c: pd.to_timedelta(times[c], unit="s").astype(str) for c in times})
    divided = "split" in table and bool(table["split"].isin(SPLITS).all())
    found = [s for s in SPLITS if divided and s in set(table["split"])]
    splits = {name: {"type": name} for name in found}
    facts = table[["speaker", *(c for c in ABOUT_SPEAKER if c in table)]].astype(object)
    first = facts[facts["speaker"] != ""].groupby("speaker").first().to_dict("index")
    told = {str(s): {c: fact for c, fact in row.items() if str(fact)} for s, row in first.items()}
    labels = {"emotion": corpus.emotions, "speaker": told}
    elsewhere = [*index, "emotion", *ABOUT_SPEAKER, *(["split"] if splits else [])]
    about_files = [column for column in table if column not in elsewhere]
    columns = {name: {"scheme_id": "speaker"} if name == "speaker" else {} for name in about_files}
    schemes = {name: {"dtype": "str", "labels": of_all} for name, of_all in labels.items()}
    header: dict[str, Any] = {
        "name": corpus.name, "source": corpus.citation or corpus.name, "usage": "other",
        "license": corpus.licence, "schemes": schemes,
        "tables": {"files": {"type": kind, "columns": columns}},
    }  # fmt: skip
    write_table(folder / "db.files.csv", table[[*index, *about_files]])
    for name in splits or [""]:
        key, split = (f"emotion.{name}", {"split_id": name}) if name else ("emotion", {})
        column = {"emotion": {"scheme_id": "emotion"}}
        header["tables"][key] = {"type": kind, **split, "columns": column}
        rows = table[table["split"] == name] if name else table
        write_table(folder / f"db.{key}.csv", rows[[*index, "emotion"]])
    header |= {"splits": splits} if splits else {}
    write_atomically(folder / HEADER, yaml.safe_dump(header, sort_keys=False, allow_unicode=True))


def _hugging_face(corpus: Corpus, folder: Path) -> None:
    table = _described(corpus, folder)
    # A reader takes the first column that may name files for theirs; none but ours may.
    names = {name: f"listed_{name}" for name in ALIASES["file"]} | {"file": "file_name"}
    write_table(folder / METADATA, table.rename(columns=names))
    about = folder / "README.md"
    if not about.exists():  # one that is there was written by somebody who knows more
        front = {"license": "other", "license_name": corpus.licence or "not stated"}
        head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
        write_atomically(about, f"---\n{head}---\n\n# {corpus.name}\n\n{corpus.citation}\n")


def _manifest(corpus: Corpus, path: Path) -> None:
    """Paths are relative to the manifest where they lie below it, else absolute."""
    write_table(path, _described(corpus, path.parent))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, JSON Lines or, by any other ending, CSV."""
    if path.suffix.lower() == ".parquet":
        installed("pyarrow", "a Parquet file", "parquet")
        write_atomically(path, table.to_parquet(index=False))
    elif path.suffix.lower() == ".jsonl":
        write_atomically(path, table.to_json(orient="records", lines=True, force_ascii=False))
    else:
        write_atomically(path, table.to_csv(index=False, lineterminator="\n"))


def _gathered(corpus: Corpus, folder: Path) -> Corpus:
    """The clips with recordings that lie in `folder`; those from elsewhere are placed there."""
    root = folder.resolve()
    listed = corpus.table["path"]
    placed: dict[str, str | None] = {p: p if _lies_in(root, p) else None for p in listed}
    names = {Path(os.path.realpath(p)).name.casefold() for p in placed.values() if p}
    # Links in the folder that lead elsewhere are read until they are placed.
    names |= {Path(p).name.casefold() for p in listed if _lies_in(root, os.path.dirname(p) or ".")}
    refused: dict[str, AudioError] = {}
    names_of = corpus.table["clip"].mask(_parts(corpus.table), [Path(path).stem for path in listed])
    for clip, path in zip(names_of, listed, strict=True):
        if placed[path] is None and path not in refused:
            safe = "".join(c if c.isalnum() or c in "-_.#" else "_" for c in printable(str(clip)))
            free = (f"{name}{Path(path).suffix}" for name in numbered(safe))
            name = next(name for name in free if name.casefold() not in names)
            names.add(name.casefold())  # file systems may ignore case
            try:
                placed[path] = str(_placed(path, root / AUDIO / name))
            except AudioError as error:
                refused[path] = error
    table = corpus.table.assign(path=[placed[path] for path in listed]).dropna(subset="path")
    rejected = list(refused.values())
    if table.empty:
        raise CorpusError(f"{folder}: no recording could be written there; first: {rejected[0]}")
    return dataclasses.replace(corpus, table=table, rejected=corpus.rejected + rejected)


def _described(corpus: Corpus, folder: Path) -> pd.DataFrame:
    """The table of the corpus with files as `folder` names them, without what a reader finds out."""
    root = folder.resolve()
    first = ["emotion", "speaker", "clip", "corpus"]
    further = [c for c in corpus.table if c not in (*COLUMNS, "unique_speaker")]
    table = corpus.table[[*first, *further]].reset_index(drop=True)
    real = [path if URL.match(path) else os.path.realpath(path) for path in corpus.table["path"]]
    below = [Path(p).relative_to(root).as_posix() if _lies_in(root, p) else p for p in real]
    table.insert(0, "file", list(map(encodable, below)))
    return table


def _lies_in(folder: Path, path: str) -> bool:
    return not URL.match(path) and Path(os.path.realpath(path)).is_relative_to(folder)


def _placed(path: str, target: Path) -> Path:
    if URL.match(path):
        raise AudioError(path, "is not on this machine; download it first")
    audio.rate_of(path)  # decodes its beginning: a manifest may want others' files published
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(os.path.realpath(path), temporary)  # a link would lead elsewhere from there
        except OSError:
            shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise CorpusError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):  # also of two links to one file, which stay two
            temporary.unlink(missing_ok=True)
    return target


_WRITERS: Mapping[str, Callable[[Corpus, Path], None]] = {
    "audformat": _audformat,
    "huggingface": _hugging_face,
    **dict.fromkeys(("csv", "parquet", "jsonl"), _manifest),
}
