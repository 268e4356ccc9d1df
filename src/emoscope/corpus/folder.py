"""Reads a folder of recordings: known corpora, a table beside its recordings, or folders of emotions."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

import pandas as pd

from .. import corpora
from ..audio.opening import ENDINGS
from ..corpora import SPLITS, Match, Row, as_table, is_film, list_audio
from ..errors import AudioError, CorpusError
from ..files import printable, sentence, shipped_table
from ..labels import canonical, explain
from . import rows
from .clips import Corpus, SpeakerOrigin, combine

_TEXTS = shipped_table("layouts.toml")
LAYOUTS: str = _TEXTS["can_read"]
_AGREEMENT = 0.95  # of the emotions that names and folders tell, for names to be a corpus's


def read(root: Path, labels: Mapping[str, str]) -> Corpus | list[Path]:
    """The corpus in a folder, or the files that list its recordings; `labels` are further words."""
    paths, unreadable = list_audio(root, ENDINGS)
    if not paths:
        if annotations := rows.annotated(root):
            return annotations
        why = f" ({unreadable[0]})" if unreadable else ""
        raise CorpusError(f"{root}: no audio files in this folder{why}. {LAYOUTS}")
    recordings = [path for path in paths if not is_film(path)] or paths
    by_folder = by_emotion(root, recordings, labels)
    told = dict(zip(by_folder["path"], by_folder["emotion"], strict=True))
    found, alike = corpora.matches(paths)
    notes = list[str]()
    for match in alike:
        n, why = len(match.foreign), match.difference() or "unknown combinations"
        all_of = n + len(match.rows)
        notes.append(sentence("named_alike", n=n, of=all_of, info=match.info, why=why))
    known: list[Match] = []
    for match in found:
        pairs = ((row["emotion"], told.get(str(path))) for path, row in match.rows.items())
        same = [named == folder for named, folder in pairs if named and folder]
        if sum(same) >= _AGREEMENT * len(same):
            clips = match.info.annotated(root, match.rows, labels)
            known.append(dataclasses.replace(match, rows=clips))
        else:
            notes.append(f"file names of {match.info.name} contradict the folders, which are used")
    n_labelled = sum(bool(row["emotion"]) for match in known for row in match.rows.values())
    if n_labelled >= max(1, len(by_folder)):
        corpus = _corpora(root, known, alike, paths)
        if own := sorted(set(told) & {str(error.path) for error in corpus.rejected}):
            told = {"corpus": corpus.name, "first": printable(own[0])}
            notes.append(sentence("beside_corpus", n=len(own), **told))
    elif tables := _one(root, beside := rows.beside(root), by_folder.empty) or (
        rows.annotated(root) if by_folder.empty else []
    ):
        return tables
    elif by_folder.empty:
        raise CorpusError(f"{root}: {_why(known, notes, root, recordings)}")
    else:
        rule = "unlabelled: its folder is not named after an emotion"
        rejected = [AudioError(path, rule) for path in recordings if str(path) not in told]
        corpus = Corpus(by_folder["corpus"].iloc[0], by_folder, rejected=rejected)
        notes += [sentence("unused_table", name=printable(path.name)) for path in beside]
        notes += _on_films(set(paths) - set(recordings))
        words = _folders(root, [error.path for error in rejected], told)
        notes += [f"folders are named after {explain(words)}"] if words else []
    return corpus.noting(*notes, rejected=[*unreadable, *corpus.rejected])


def by_emotion(root: Path, paths: Sequence[Path], labels: Mapping[str, str]) -> pd.DataFrame:
    """The table of those `paths` that lie, at any depth, in a folder named after an emotion."""
    found, name = list[Row](), printable(root.resolve().name)
    for path in paths:
        relative = path.relative_to(root)
        above = relative.parts[:-1]
        named = [folder for folder in above if canonical(folder, labels)]
        if not named:
            continue
        clip = printable(str(relative.with_suffix("")))
        row: Row = {"clip": clip, "path": str(path), "speaker": "", "corpus": name}
        row |= {"emotion": canonical(named[-1], labels), "label": printable(named[-1])}
        splits = [SPLITS[folder.lower()] for folder in above if folder.lower() in SPLITS]
        found.append(row | ({"split": splits[0]} if splits else {}))
    count = Counter(row["clip"] for row in found)
    for row in found:
        if count[row["clip"]] > 1:  # clips that differ in their ending alone
            row["clip"] += printable(Path(row["path"]).suffix)
    return as_table(sorted(found, key=lambda row: str(row["clip"])))


def _one(root: Path, beside: Mapping[Path, Sequence[rows.Row]], needed: bool) -> list[Path]:
    """The tables of one list of recordings: one, or one for each split; none where it is not plain."""
    tables = [path for path, part in beside.items() if part]
    if len(tables) < 2 or all(rows.split_in(path.stem) for path in tables):
        return tables
    if not needed:
        return []
    names = ", ".join(printable(path.name) for path in tables)
    raise CorpusError(sentence("several_tables", root=root, n=len(tables), names=names))


def _folders(root: Path, unlabelled: Iterable[object], labelled: Iterable[str]) -> Counter[str]:
    """The names of folders in which recordings without a label lie, and none with one."""
    known = {part for path in labelled for part in Path(path).relative_to(root).parts}
    parts = (Path(str(path)).relative_to(root).parts[:-1] for path in unlabelled)
    found = (part for names in parts for part in names)
    return Counter(printable(part) for part in found if part not in {*known, *SPLITS, "data"})


def _why(
    known: Sequence[Match], notes: Sequence[str], root: Path, recordings: Sequence[Path]
) -> str:
    """Why a folder has no clip with a label."""
    if known:
        info = known[0].info
        unknown = Counter(printable(row["label"]) for row in known[0].rows.values())
        if without := unknown.pop("", 0):
            return f"{without} clips of {info.name}, unlabelled: {info.no_emotion['']}"
        return f"clips of {info.name}, whose labels are {explain(unknown)}"
    if notes:
        return f"{notes[0]}. {_TEXTS['others']}"
    words = _folders(root, recordings, ())
    found = f"; folders are named after {explain(words)}" if len(words) > 1 else ""
    return sentence("no_labels", n=len(recordings), found=found, layouts=LAYOUTS)


def _corpora(
    root: Path, known: Sequence[Match], alike: Sequence[Match], paths: Sequence[Path]
) -> Corpus:
    """The known corpora of a folder, with a reason for each recording that is not used."""
    parts, notes, reasons = list[Corpus](), list[str](), dict[PurePath, str]()
    for match in known:
        info = match.info
        labelled = {path: row for path, row in match.rows.items() if row["emotion"]}
        for path in match.rows.keys() - labelled.keys():
            label = match.rows[path]["label"]
            reasons[path] = f"unlabelled: {info.no_emotion[label]}"
            if label:
                words = {"label": printable(label), "meant": info.no_emotion[label]}
                reasons[path] = sentence("unknown_label", **words)
        if not labelled:
            continue
        table = info.table(labelled)
        told = SpeakerOrigin("rule", f"file names of {info.name}: {info.file_names}")
        origin = told if table["speaker"].ne("").any() else SpeakerOrigin("none")
        parts.append(Corpus(info.name, table, info.licence, info.citation, speakers_from=origin))
        names, doubles = set(table["clip"]), labelled.keys() - set(map(PurePath, table["path"]))
        for path in doubles:
            if (clip := labelled[path]["clip"]) in names:
                reasons[path] = f"duplicate of the clip {clip}, which is used once"
        if others := len(doubles - reasons.keys()):
            notes.append(sentence("films_too", name=info.name, n=others))
    for match in [*known, *alike]:
        for path in match.foreign if match in known else match.rows | match.foreign:
            why = match.difference([path]) or f"similar files are not from {match.info.name}"
            reasons.setdefault(path, f"named as in {match.info.name}, but {why}")
    infos = [match.info for match in known]
    rules = [f"{i.name} names files by {i.file_names}, e.g. {i.example}" for i in infos]
    claimed = reasons.keys() | {path for match in known for path in match.rows}
    rest = [path for path in paths if path not in claimed]
    reasons |= {path: f"unlabelled: {'; '.join(rules)}" for path in rest if not is_film(path)}
    if len(parts) > 1:
        counts = ", ".join(f"{part.name} {len(part)}" for part in parts)
        notes.append(f"{root}: clips of {len(parts)} corpora: {counts}")
    notes += _on_films(rest)
    rejected = [AudioError(path, reasons[path]) for path in paths if path in reasons]
    found = parts[0] if len(parts) == 1 else combine(parts)
    return dataclasses.replace(found, rejected=rejected, notes=notes)


def _on_films(paths: Iterable[Path]) -> list[str]:
    """A note on those of the paths that are films, which no rule makes clips."""
    if not (names := sorted(path.name for path in paths if is_film(path))):
        return []
    return [f"{len(names)} films are ignored, e.g. {names[0]}: no rule turns them into clips"]
