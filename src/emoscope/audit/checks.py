"""What an audit looks for in one split: each check gives the evidence it finds, by kind."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import pandas as pd

from ..audio.fingerprint import Match
from ..corpus import Corpus
from ..corpus.clips import excerpts
from ..corpus.speakers import doubt_of
from ..dataset import extraction, voices
from ..dataset.store import Store
from ..features import get
from ..files import shipped_table
from ..protocols import adaptation_of, sentences
from ..unseen import speakers_of
from ..voices import VoiceCheck
from .sources import Split, audible

Severity = Literal["leak", "caution", "note"]
Evidence: TypeAlias = dict[str, Any]
"""One piece of evidence as it goes into JSON; its keys depend on the kind of finding."""
Pairs = Sequence[tuple[str, str, Match]]

MAX_IMBALANCE = 3.0  # clips of the commonest emotion to the rarest, before it is worth a note
#: What a result may have recorded of the clips that a step saw, and must not have.
SAW_TEST = ("all", "test", "everything", "whole corpus", "train+test")
#: Steps before the test whose clips a result may record.
STEPS = ("scaling", "selection", "feature_selection", "early_stopping")

_SAME_SOUND = ("identical-audio", "near-identical-audio", "excerpt")
_RELATIONS = {"identical": "identical-audio", "same": "near-identical-audio"}  # else an excerpt
KINDS: Mapping[str, Mapping[str, str]] = shipped_table("audit_findings.toml")


@dataclass(frozen=True)
class SharedSentences:
    """How far the words of test clips are those of training clips, over all splits."""

    n_tested: int  # sentences
    n_shared: int  # of these, the sentences that are also spoken in training
    share: float  # of the test clips with known words: those whose sentence is spoken in training


def shared_sentences(splits: Sequence[Split]) -> SharedSentences | None:
    """The figures of the splits' sentences; None where no sentence of a test clip is known."""
    tested, shared, n_clips, n_known = set[str](), set[str](), 0, 0
    for split in splits:
        is_test = (split.clips["side"] == "test").to_numpy()
        spoken = sentences(split.clips)
        known = spoken[is_test & (spoken != "")]
        in_training = known[np.isin(known, spoken[~is_test])]
        tested, shared = tested | set(known), shared | set(in_training)
        n_clips, n_known = n_clips + len(in_training), n_known + len(known)
    return SharedSentences(len(tested), len(shared), n_clips / n_known) if n_known else None


def assess(
    kind: str, evidence: Sequence[Evidence], n: int, spoken: SharedSentences | None
) -> tuple[Severity, str]:
    """What was found, given the evidence of one split and the number of pieces in all."""
    found = KINDS[kind]
    text = found.get("text") or found["one" if n == 1 else "several"]
    first, last = evidence[0], evidence[-1]
    times = first["clips"] / last["clips"] if kind == "class-imbalance" else 0.0
    group = adaptation_of(str(first.get("protocol"))).removesuffix("-adapted")
    share = spoken.share if spoken else 0.0
    words = {"N": "One", "s": "", "are": "is"} if n == 1 else {"N": n, "s": "s", "are": "are"}
    words |= {"n": n, "first": first, "last": last, "times": times, "group": group, "share": share}
    return cast(Severity, found["severity"]), text.format(**words)


def of_split(split: Split, pairs: Pairs) -> dict[str, list[Evidence]]:
    """The evidence in the clips of one split, by kind; `pairs` are recordings of the same sound."""
    train, test = (split.clips[split.clips["side"] == side] for side in ("train", "test"))
    unknown = split.clips.loc[split.clips["speaker"] == "", "clip"]
    doubt = doubt_of(split.clips)
    spoken = set(sentences(train)) & set(sentences(test))
    parts = (side[side["end"].notna() & (side["speaker"] == "")] for side in (train, test))
    unknown_in = [set(part["listed"]) - {""} for part in parts]
    return {
        "shared-speakers": _shared_speakers(train, test),
        "unknown-speakers": [{"clip": clip} for clip in unknown],
        "doubtful-speakers": [{"reason": doubt[0].upper() + doubt[1:]}] if doubt else [],
        "same-clip": [{"clip": clip} for clip in _same_clips(train, test)],
        **_same_sound(train, test, pairs),
        "overlapping-segments": list(_overlapping_segments(train, test)),
        "shared-recordings": [{"file": file} for file in sorted(unknown_in[0] & unknown_in[1])],
        "same-sentence": [{"sentence": words} for words in sorted(spoken - {""})],
        "missing-emotion": _missing_emotions(train, test),
        "class-imbalance": _imbalance(split.clips),
    }


def of_record(record: Mapping[str, Any]) -> dict[str, list[Evidence]]:
    """The evidence in what a saved result says of scaling, selection and adaptation, by kind."""
    seen = [
        {"step": step, "saw": str(part[step]), "model": part.get("model", "all models")}
        for part in (record, *record.get("runs", []))
        for step in STEPS
        if str(part.get(step, "")).lower() in SAW_TEST
    ]
    protocol = str(record.get("protocol", ""))
    adapted = [{"protocol": protocol}] if adaptation_of(protocol) else []
    speakers = speakers_of(record)
    guessed = [{"from": speakers.get("pattern")}] if speakers["kind"] == "guess" else []
    guessed = [{"from": "the sound of the clips"}] if protocol.startswith("voice-") else guessed
    return {"test-clips-seen": seen, "adapted": adapted, "guessed-speakers": guessed}


def check_speakers(
    splits: Sequence[Split], *, jobs: int | None = None, cluster: str | None = None
) -> Mapping[str, VoiceCheck]:
    """Check the speakers of each corpus; nothing where no clip of a known emotion is at hand."""
    clips = pd.concat([split.clips for split in splits]).drop_duplicates(["listed", "start", "end"])
    work = functools.partial(
        extraction.extract, features=[get("voice")], store=Store(), jobs=jobs, cluster=cluster
    )
    return voices.check_speakers(audible(clips), lambda part: work(Corpus("audited", part)))


def of_voices(
    checks: Mapping[str, VoiceCheck], splits: Sequence[Split]
) -> dict[str, list[Evidence]]:
    """The evidence in checks of voices, by kind; of pairs of names, on which sides they stand."""
    found = defaultdict[str, list[Evidence]](list)
    sides_of = [split.clips.groupby("speaker")["side"].agg(set) for split in splits]
    for finding in (finding for check in checks.values() for finding in check.findings):
        pairs = [[sides.get(name, set()) for name in finding.names] for sides in sides_of]
        # Both names are heard in a split, and not both on one and the same side alone.
        divided = any(len(pair) == 2 and all(pair) and len(set.union(*pair)) > 1 for pair in pairs)
        piece = {"speakers": list(finding.names), "score": round(finding.score, 3)}
        found["voice-on-both-sides" if divided else finding.kind].append(piece)
    return found


def _shared_speakers(train: pd.DataFrame, test: pd.DataFrame) -> list[Evidence]:
    counts = [side["speaker"].value_counts() for side in (train, test)]
    return [
        {"speaker": s, "train_clips": int(counts[0][s]), "test_clips": int(counts[1][s])}
        for s in sorted((set(counts[0].index) & set(counts[1].index)) - {""})
    ]


def _same_clips(train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """Clips that both sides list, by name or by file; two segments of one file are two clips."""
    both: set[str] = set()
    for column in ("identity", "listed"):
        key = [column, "start", "end"]
        listed = test[test[column] != ""].drop_duplicates(key, keep="last")
        both |= set(listed.merge(train[key].drop_duplicates(), on=key)["clip"])
    return sorted(both)


def _same_sound(train: pd.DataFrame, test: pd.DataFrame, pairs: Pairs) -> dict[str, list[Evidence]]:
    """Recordings that hold the same sound, across the sides and on one of them."""
    wheres = ("", "-on-one-side")
    evidence: dict[str, list[Evidence]] = {f"{k}{w}": [] for w in wheres for k in _SAME_SOUND}
    sides = [
        dict(zip(map(str, excerpts(side)), side["emotion"], strict=True)) for side in (train, test)
    ]
    for first, second, match in pairs:
        kind = _RELATIONS.get(match.relation, "excerpt")
        for one, other in ((first, second), (second, first)):
            if one in sides[0] and other in sides[1]:
                about = _about(match, sides[0][one], sides[1][other])
                evidence[kind].append({"train": one, "test": other, **about})
        for side in sides:
            if first in side and second in side:
                about = _about(match, side[first], side[second])
                evidence[f"{kind}-on-one-side"].append({"clips": [first, second], **about})
    return evidence


def _about(match: Match, *emotions: str) -> Evidence:
    differing = {"emotions": list(emotions)} if len(set(emotions)) > 1 else {}
    return {"difference": round(match.difference, 3), **differing}


def _overlapping_segments(train: pd.DataFrame, test: pd.DataFrame) -> Iterator[Evidence]:
    timed = [side.dropna(subset=["start", "end"]) for side in (train, test)]
    both = timed[0].merge(timed[1], on="listed", suffixes=("_train", "_test"))
    first_end = both[["end_train", "end_test"]].min(axis=1)
    last_start = both[["start_train", "start_test"]].max(axis=1)
    for _, row in both[first_end > last_start].iterrows():
        spans = {side: [row[f"start_{side}"], row[f"end_{side}"]] for side in ("train", "test")}
        yield {"file": row["listed"], **spans}


def _missing_emotions(train: pd.DataFrame, test: pd.DataFrame) -> list[Evidence]:
    sides = [set(side["emotion"]) - {""} for side in (train, test)]
    only_in = {e: "train" if e in sides[0] else "test" for e in sides[0] ^ sides[1]}
    return [{"emotion": e, "only_in": only_in[e]} for e in sorted(only_in) if all(sides)]


def _imbalance(clips: pd.DataFrame) -> list[Evidence]:
    counts = clips["emotion"][clips["emotion"] != ""].value_counts()
    if len(counts) < 2 or counts.iloc[0] <= MAX_IMBALANCE * counts.iloc[-1]:
        return []
    return [{"emotion": emotion, "clips": int(n)} for emotion, n in counts.items()]
