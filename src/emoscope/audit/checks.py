"""What an audit looks for in one split: each check yields what it found.

Severities are explained in :mod:`emoscope.audit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from .fingerprint import Match
from .sources import Split

Severity = Literal["leak", "caution", "note"]
Evidence = list[dict[str, Any]]
Pairs = Sequence[tuple[str, str, Match]]

#: The commonest emotion may have this many times the clips of the rarest before it is worth a note.
IMBALANCE = 3.0
#: What a result may have recorded of the clips that a step saw, and must not have.
SAW_TEST = ("all", "test", "everything", "whole corpus", "train+test")
#: Steps before the test whose clips a result may record.
STEPS = ("scaling", "selection", "feature_selection", "early_stopping")


@dataclass(frozen=True)
class Found:
    """What one check found in one split.

    Attributes
    ----------
    kind, severity
        As in :class:`emoscope.audit.Finding`.
    one, many : str
        The sentence for one piece of evidence, and for several, with ``{n}`` for their number.
    evidence : list of dict
        Every piece.
    """

    kind: str
    severity: Severity
    one: str
    many: str
    evidence: Evidence


def of_split(split: Split, pairs: Pairs) -> Iterable[Found]:
    """Check the clips of one split.

    Parameters
    ----------
    split : Split
        What trains and what tests.
    pairs : sequence of (path, path, Match)
        Recordings, of any split, that hold the same sound.

    Yields
    ------
    Found
        Only what has evidence.
    """
    train, test = (split.clips[split.clips["side"] == side] for side in ("train", "test"))
    found = [
        _speakers(train, test),
        _nameless(split.clips),
        _same_clips(train, test),
        *_across(train, test, pairs),
        *_within(train, test, pairs),
        _segments(train, test),
        _sentences(train, test),
        _missing_emotions(train, test),
        _imbalance(split.clips),
    ]
    yield from (one for one in found if one.evidence)


def of_record(record: Mapping[str, Any]) -> Iterable[Found]:
    """Check what a saved result says of scaling, selection and adaptation."""
    seen = [
        {"step": step, "saw": str(part[step]), "model": part.get("model", "all models")}
        for part in (record, *record.get("runs", []))
        for step in STEPS
        if str(part.get(step, "")).lower() in SAW_TEST
    ]
    if seen:
        yield Found(
            "test-clips-seen",
            "leak",
            "One step before the test, such as scaling or selection, saw test clips.",
            "{n} steps before the test, such as scaling or selection, saw test clips.",
            seen,
        )
    protocol, _, adapted = str(record.get("protocol", "")).partition("+")
    if adapted:
        text = (
            f"Features were standardised on unlabelled clips of the test "
            f"{adapted.removesuffix('-adapted')}: the score holds where such clips are at hand."
        )
        yield Found("adapted", "caution", text, text, [{"protocol": f"{protocol}+{adapted}"}])


def _speakers(train: pd.DataFrame, test: pd.DataFrame) -> Found:
    counts = [frame["speaker"].value_counts() for frame in (train, test)]
    evidence = [
        {"speaker": s, "train_clips": int(counts[0][s]), "test_clips": int(counts[1][s])}
        for s in sorted((set(train["speaker"]) & set(test["speaker"])) - {""})
    ]
    one, many = "One speaker is in training and test.", "{n} speakers are in training and test."
    return Found("shared-speakers", "leak", one, many, evidence)


def _nameless(clips: pd.DataFrame) -> Found:
    evidence = [{"clip": clip} for clip in clips.loc[clips["speaker"] == "", "clip"]]
    return Found(
        "unknown-speakers",
        "caution",
        "The speaker of one clip is unknown.",
        "The speakers of {n} clips are unknown: voices on both sides may go unseen.",
        evidence,
    )


def _same_clips(train: pd.DataFrame, test: pd.DataFrame) -> Found:
    """Clips that both sides list, by name or by file; two segments of one file are two clips."""
    both: set[str] = set()
    for column in ("identity", "listed"):
        sides = []
        for frame in (train, test):
            named = frame[frame[column] != ""]
            ends = [named[end].fillna(-1.0) for end in ("start", "end")]
            sides.append(
                dict(zip(zip(named[column], *ends, strict=True), named["clip"], strict=True))
            )
        both |= {sides[1][key] for key in set(sides[0]) & set(sides[1])}
    evidence = [{"clip": clip} for clip in sorted(both)]
    one, many = "One clip is in training and test.", "{n} clips are in training and test."
    return Found("same-clip", "leak", one, many, evidence)


_ACROSS = {
    "identical-audio": (
        "One training recording and one test recording are identical.",
        "{n} pairs of a training and a test recording are identical.",
    ),
    "near-identical-audio": (
        "One training recording and one test recording are the same sound, stored anew.",
        "{n} pairs of a training and a test recording are the same sound, stored anew.",
    ),
    "excerpt": (
        "One training recording and one test recording hold the same passage.",
        "{n} pairs of a training and a test recording hold the same passage.",
    ),
}
_WITHIN = {
    "identical-audio": (
        "Two recordings on one side are identical.",
        "{n} pairs of recordings on one side are identical.",
    ),
    "near-identical-audio": (
        "Two recordings on one side are the same sound, stored anew.",
        "{n} pairs of recordings on one side are the same sound, stored anew.",
    ),
    "excerpt": (
        "Two recordings on one side hold the same passage.",
        "{n} pairs of recordings on one side hold the same passage.",
    ),
}
_KIND = {"identical": "identical-audio", "same": "near-identical-audio"}


def _across(train: pd.DataFrame, test: pd.DataFrame, pairs: Pairs) -> Iterable[Found]:
    sides = [dict(zip(frame["path"], frame["emotion"], strict=True)) for frame in (train, test)]
    found: dict[str, Evidence] = {kind: [] for kind in _ACROSS}
    for first, second, match in pairs:
        for one, other in ((first, second), (second, first)):
            if one in sides[0] and other in sides[1]:
                about = _about(match, sides[0][one], sides[1][other])
                kind = _KIND.get(match.relation, "excerpt")
                found[kind].append({"train": one, "test": other, **about})
    for kind, (one, many) in _ACROSS.items():
        yield Found(kind, "leak", one, many, found[kind])


def _within(train: pd.DataFrame, test: pd.DataFrame, pairs: Pairs) -> Iterable[Found]:
    found: dict[str, Evidence] = {kind: [] for kind in _WITHIN}
    for frame in (train, test):
        side = dict(zip(frame["path"], frame["emotion"], strict=True))
        for one, other, match in pairs:
            if one in side and other in side:
                about = _about(match, side[one], side[other])
                kind = _KIND.get(match.relation, "excerpt")
                found[kind].append({"clips": [one, other], **about})
    for kind, (one, many) in _WITHIN.items():
        yield Found(f"{kind}-on-one-side", "note", one, many, found[kind])


def _about(match: Match, first: str, second: str) -> dict[str, Any]:
    about: dict[str, Any] = {"difference": round(match.difference, 3)}
    return about if first == second else {**about, "emotions": [first, second]}


def _segments(train: pd.DataFrame, test: pd.DataFrame) -> Found:
    """Segments of one file that overlap in time."""
    timed = [frame[frame["start"].notna() & frame["end"].notna()] for frame in (train, test)]
    both = timed[0].merge(timed[1], on="listed", suffixes=("_train", "_test"))
    first_end = both[["end_train", "end_test"]].min(axis=1)
    last_start = both[["start_train", "start_test"]].max(axis=1)
    evidence = [
        {
            "file": row["listed"],
            "train": [row["start_train"], row["end_train"]],
            "test": [row["start_test"], row["end_test"]],
        }
        for _, row in both[first_end > last_start].iterrows()
    ]
    return Found(
        "overlapping-segments",
        "leak",
        "One test segment overlaps a training segment of its recording.",
        "{n} test segments overlap training segments of their recordings.",
        evidence,
    )


def _sentences(train: pd.DataFrame, test: pd.DataFrame) -> Found:
    said = [{" ".join(str(t).casefold().split()) for t in f["text"]} - {""} for f in (train, test)]
    return Found(
        "same-sentence",
        "caution",
        "One sentence is spoken in training and test: other words are not tested.",
        "{n} sentences are spoken in training and test: other words are not tested.",
        [{"sentence": sentence} for sentence in sorted(said[0] & said[1])],
    )


def _missing_emotions(train: pd.DataFrame, test: pd.DataFrame) -> Found:
    sides = [set(frame["emotion"]) - {""} for frame in (train, test)]
    evidence: Evidence = []
    if all(sides):
        evidence = [
            {"emotion": emotion, "only_in": "train" if emotion in sides[0] else "test"}
            for emotion in sorted(sides[0] ^ sides[1])
        ]
    return Found(
        "missing-emotion",
        "caution",
        "One emotion is on one side only: it cannot be learned, or is never tested.",
        "{n} emotions are on one side only: they cannot be learned, or are never tested.",
        evidence,
    )


def _imbalance(clips: pd.DataFrame) -> Found:
    counts = clips["emotion"][clips["emotion"] != ""].value_counts()
    evidence: Evidence = []
    text = ""
    if len(counts) > 1 and counts.iloc[0] > IMBALANCE * counts.iloc[-1]:
        times = counts.iloc[0] / counts.iloc[-1]
        text = (
            f"{counts.index[0]} has {times:.1f} times the clips of {counts.index[-1]}: "
            "read UAR, not accuracy."
        )
        evidence = [{"emotion": emotion, "clips": int(n)} for emotion, n in counts.items()]
    return Found("class-imbalance", "note", text, text, evidence)
