"""Which clips train and which clips test: speaker-disjoint, published and random folds.

In every protocol but those named ``random-…``, which measure what a leak would have claimed, no
speaker stands on both sides of a fold: :func:`check` refuses such folds.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ProtocolError, check_known
from .files import printable, sentence, shipped_table
from .labels import in_order

if TYPE_CHECKING:
    import pandas as pd

ADAPTATIONS = ("speaker-adapted", "corpus-adapted")
SPEAKER_TEXT = "speaker+text"
#: What results call the folds of :func:`script_control`; not a protocol to choose.
SCRIPT_CONTROL = f"{SPEAKER_TEXT}-control"
N_FOLDS = 6
VOICE_FOLDS = "voice-6fold"
VOICES = "voice_group"  # the column of groups by voice, which :mod:`emoscope.dataset.voices` adds
MAX_TEXT_GROUPS = 5  # times six of speakers are the folds of ``speaker+text``
MIN_TO_LEARN = 5  # training clips of each emotion in the folds of a script gap


@dataclass(frozen=True)
class Fold:
    """One division of a corpus: its name in results, and ascending rows of the corpus table."""

    name: str
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def folds(table: pd.DataFrame, protocol: str, *, seed: int = 0) -> list[Fold]:
    """Divide the table of a :class:`~emoscope.corpus.Corpus` by one of :data:`PROTOCOLS`.

    A suffix such as ``+speaker-adapted`` does not change the folds; `seed` decides those that were
    not published. ProtocolError when the corpus does not have what the protocol needs.
    """
    base, adaptation = split_name(protocol)
    if adaptation and shares_speakers(base):
        raise ProtocolError(sentence("adapts_random", protocol=protocol))
    if len(emotions := sorted(table["emotion"].unique())) < 2:
        found = ", ".join(emotions) or "none"
        raise ProtocolError(sentence("needs_two_emotions", protocol=protocol, found=found))
    _need_both_sides(table, base)
    divisions = PROTOCOLS[base](table, seed)
    check(divisions, table, protocol=base)
    return divisions


def shares_speakers(protocol: str) -> bool:
    """Whether a protocol lets speakers stand on both sides."""
    return protocol.startswith("random-")


def split_name(protocol: str) -> tuple[str, str]:
    """Split ``"loso+speaker-adapted"`` into its checked parts ``("loso", "speaker-adapted")``."""
    base = base_of(protocol)
    check_known("protocol", [*PROTOCOLS, *(f"…+{name}" for name in ADAPTATIONS)], base)
    return base, adaptation_of(protocol)


def adaptation_of(protocol: str) -> str:
    """The adaptation that a protocol's name ends in, as in ``"loso+speaker-adapted"``, or nothing."""
    ending = protocol.rpartition("+")[2]
    return ending if ending in ADAPTATIONS else ""


def base_of(protocol: str) -> str:
    """A protocol's name without the adaptation that it may end in; it need not be known."""
    return protocol.removesuffix(f"+{adaptation_of(protocol)}")


def sentences(table: pd.DataFrame) -> NDArray[np.str_]:
    """The words of each clip, for comparison: without case and punctuation; empty when unknown."""
    told = table["text"].fillna("").astype(str) if "text" in table else [""] * len(table)
    return np.array([_words(text) for text in told], dtype=str)


@functools.cache
def _words(text: str) -> str:
    """``Don’t  go!`` and ``dont go`` are the same words."""
    kept = (
        "" if c in "'’‘ʼ`" else " " if unicodedata.category(c).startswith("P") else c
        for c in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join("".join(kept).split())


def check(divisions: Sequence[Fold], table: pd.DataFrame, *, protocol: str) -> None:
    """Refuse folds with nothing to learn or test, or with what must not be on both sides."""
    whose = VOICES if protocol == VOICE_FOLDS else "unique_speaker"
    speakers, emotions = _text(table, whose), _text(table, "emotion")
    spoken = sentences(table) if protocol == SPEAKER_TEXT else None
    for fold in divisions:
        where = f"protocol '{protocol}', fold {fold.name}"
        for side, clips in (("training", fold.train), ("test", fold.test)):
            if not len(clips):
                raise ProtocolError(f"{where}: no {side} clip")
        if len(learned := np.unique(emotions[fold.train])) < 2:
            raise ProtocolError(sentence("one_emotion", where=where, emotion=learned[0]))
        if np.intersect1d(fold.train, fold.test).size:
            raise ProtocolError(f"{where}: a clip is on both sides")
        shared = np.intersect1d(speakers[fold.train], speakers[fold.test])
        if shared.size and not shares_speakers(protocol):
            names = ", ".join(shared[:10])
            raise ProtocolError(sentence("shared_speakers", where=where, names=names))
        if spoken is not None and np.isin(spoken[fold.test], spoken[fold.train]).any():
            raise ProtocolError(f"{where}: a sentence is in training and test")
        unlearned = np.setdiff1d(emotions[fold.test], learned)
        if unlearned.size and not shares_speakers(protocol):
            told = {"emotion": unlearned[0], "without": _without(unlearned, table)}
            if spoken is not None:
                told["n"] = len(np.unique(spoken[emotions == unlearned[0]]))
            key = "unlearned" if spoken is None else "unlearned_sentences"
            raise ProtocolError(sentence(key, where=where, **told))


def _need_both_sides(table: pd.DataFrame, protocol: str) -> None:
    """Refuse emotions that no fold could train and test: those of one clip, or of one speaker."""
    clips, speakers = (table.groupby("emotion")[c].nunique() for c in ("clip", "unique_speaker"))
    told = (table["speaker"] != "").all() and table["unique_speaker"].nunique() > 1
    if shares_speakers(protocol) or protocol == "cross-corpus" or not told:
        alone, needs = clips.index[clips < 2], "at least two clips"
    else:
        alone, needs = clips.index[speakers < 2], "clips of at least two speakers"
    if len(alone):
        counts = (f"{e} ({clips[e]} clip{'s' if clips[e] > 1 else ''})" for e in alone)
        told = {"counts": " and ".join(counts), "needs": needs, "without": _without(alone, table)}
        raise ProtocolError(sentence("one_sided", protocol=protocol, **told))


def _without(emotions: Iterable[str], table: pd.DataFrame) -> str:
    """The option that leaves emotions out, as the end of a message."""
    left = in_order(set(table["emotion"]) - set(emotions))
    option = f"--emotions {','.join(left)} leaves {' and '.join(map(str, emotions))} out"
    return f"; {option}" if len(left) > 1 else ""


def _published(name: str, table: pd.DataFrame, seed: int) -> list[Fold]:
    if set(table["corpus"]) != {"ravdess"}:
        raise ProtocolError(sentence("folds_of_ravdess"))
    speakers = table["speaker"].astype(str)  # whatever a manifest puts before them (``Actor_01``)
    actors = speakers.str.extract(r"(\d+)$", expand=False).astype(float)
    if len(others := speakers[~actors.between(1, 24)]):
        raise ProtocolError(sentence("no_actors", found=printable(others.iloc[0])))
    masks = [np.isin(actors, group) for group in shipped_table("published_folds.toml")[name]]
    return [_fold(str(number), mask) for number, mask in enumerate(masks, 1) if mask.any()]


def _speaker_6fold(table: pd.DataFrame, seed: int) -> list[Fold]:
    """EmoBox's folds for RAVDESS; elsewhere six speaker-disjoint folds, balanced over emotions."""
    if set(table["corpus"]) == {"ravdess"}:
        return _published("speaker-6fold", table, seed)
    _need_speakers(table, N_FOLDS, "speaker-6fold")
    return _six_folds("unique_speaker", "speaker-6fold", table, seed)


def _six_folds(column: str, protocol: str, table: pd.DataFrame, seed: int) -> list[Fold]:
    if column not in table:
        raise ProtocolError(sentence("ungrouped", protocol=protocol))
    if (most := int(table["emotion"].value_counts().max())) < N_FOLDS:
        told = {"protocol": protocol, "n": N_FOLDS, "most": most}
        raise ProtocolError(sentence("few_clips_for_folds", **told))
    return grouped(table["emotion"], _text(table, column), N_FOLDS, seed)


def grouped(emotions: ArrayLike, groups: ArrayLike, n_folds: int, seed: int) -> list[Fold]:
    """Folds that keep each group whole, balanced over emotions as far as the rarest allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        parts = list(splitter.split(emotions, emotions, groups))
    return [Fold(str(number), train, test) for number, (train, test) in enumerate(parts, 1)]


def _loso(table: pd.DataFrame, seed: int) -> list[Fold]:
    _need_speakers(table, 2, "loso")
    speakers = _text(table, "unique_speaker")
    return [_fold(speaker, speakers == speaker) for speaker in np.unique(speakers)]


def _speaker_text(table: pd.DataFrame, seed: int) -> list[Fold]:
    """Groups of speakers crossed with groups of sentences; what trains is of other speakers and words."""
    _need_speakers(table, 2, SPEAKER_TEXT)
    spoken = sentences(table)
    if unknown := int((spoken == "").sum()):
        raise ProtocolError(sentence("without_text", n=unknown, of=len(table)))
    if (n_sentences := len(np.unique(spoken))) < 2:
        raise ProtocolError(sentence("one_text", said=spoken[0]))
    most = int(table["emotion"].value_counts().max())
    few = table["unique_speaker"].nunique() < 6 or most < 6
    voices = _loso(table, seed) if few else _speaker_6fold(table, seed)
    texts = grouped(table["emotion"], spoken, min(MAX_TEXT_GROUPS, n_sentences, most), seed)
    return [
        Fold(f"{voice.name}/{text.name}", np.intersect1d(voice.train, text.train), test)
        for voice, text in itertools.product(voices, texts)
        if len(test := np.intersect1d(voice.test, text.test))
    ]


def script_gap_folds(table: pd.DataFrame, *, seed: int = 0) -> dict[str, list[Fold]]:
    """The folds of ``speaker+text`` and its control; ProtocolError where they tell nothing."""
    apart = folds(table, SPEAKER_TEXT, seed=seed)
    if (table.groupby(sentences(table))["emotion"].nunique() > 1).sum() < 2:
        raise ProtocolError("fewer than two sentences are spoken in several emotions")
    emotions = _text(table, "emotion")
    fewest = min(np.unique(emotions[f.train], return_counts=True)[1].min() for f in apart)
    if fewest < MIN_TO_LEARN:
        raise ProtocolError(sentence("few_to_learn", n=fewest, least=MIN_TO_LEARN))
    return {SPEAKER_TEXT: apart, SCRIPT_CONTROL: script_control(apart, table, seed=seed)}


def script_control(divisions: Sequence[Fold], table: pd.DataFrame, *, seed: int = 0) -> list[Fold]:
    """The folds of ``speaker+text``, as many training clips of each speaker and emotion, of any words."""
    rng = np.random.default_rng(seed)
    cells = table.groupby(["unique_speaker", "emotion"], sort=True).indices
    controls = []
    for fold in divisions:
        learned = np.isin(np.arange(len(table)), fold.train)
        drawn = [rng.choice(clips, learned[clips].sum(), replace=False) for clips in cells.values()]
        controls.append(Fold(fold.name, np.sort(np.concatenate(drawn)), fold.test))
    return controls


def channel_folds(
    divisions: Sequence[Fold], table: pd.DataFrame, protocol: str
) -> dict[str, list[Fold]]:
    """The folds of a protocol on speech alone and song alone; none of random ones, or without both."""
    channels = _text(table, "channel") if "channel" in table else np.full(len(table), "")
    if set(channels) != {"speech", "song"} or shares_speakers(protocol):
        return {}
    return {
        alone(protocol, channel): [
            Fold(fold.name, train, test)
            for fold in divisions
            if len(test := fold.test[channels[fold.test] == channel])
            and len(train := fold.train[channels[fold.train] == channel])
        ]
        for channel in ("speech", "song")
    }


def alone(protocol: str, channel: str) -> str:
    """What results call :func:`channel_folds` of a protocol; not a protocol to choose."""
    return f"{protocol}, {channel} alone"


def _random_split(test_share: float, table: pd.DataFrame, seed: int) -> list[Fold]:
    """Shuffle the clips whoever speaks: one fold, not stratified."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(np.arange(len(table)), test_size=test_share, random_state=seed)
    return [Fold("1", *map(np.sort, parts))]


def _cross_corpus(table: pd.DataFrame, seed: int) -> list[Fold]:
    """Leave one corpus out; only the emotions that both sides have take part."""
    corpora, emotions = _text(table, "corpus"), _text(table, "emotion")
    if len(names := np.unique(corpora)) < 2:
        raise ProtocolError(sentence("one_corpus", found=corpora[0]))
    divisions = []
    for corpus in names:
        held_out = corpora == corpus
        shared = np.isin(emotions, np.intersect1d(emotions[held_out], emotions[~held_out]))
        sides = np.flatnonzero(~held_out & shared), np.flatnonzero(held_out & shared)
        divisions.append(Fold(corpus, *sides))
    return divisions


def _own_split(table: pd.DataFrame, seed: int) -> list[Fold]:
    """The manifest's own ``split`` column: ``train`` and ``dev`` train, ``test`` tests."""
    if "split" not in table:
        raise ProtocolError("protocol 'own-split' needs a column 'split' with 'train' and 'test'")
    _need_speakers(table, 2, "own-split")
    if len(unknown := table.loc[~table["split"].isin(("train", "dev", "test")), "split"]):
        told = {"n": len(unknown), "of": len(table), "first": printable(str(unknown.iloc[0]))}
        raise ProtocolError(sentence("other_splits", **told))
    if not (test := (table["split"] == "test").to_numpy()).any():
        raise ProtocolError(sentence("no_test_split", found=", ".join(sorted(set(table["split"])))))
    return [_fold("1", test)]


def _text(table: pd.DataFrame, column: str) -> NDArray[np.str_]:
    return np.asarray(table[column], dtype=str)


def _fold(name: str, test: NDArray[np.bool_]) -> Fold:
    return Fold(name, np.flatnonzero(~test), np.flatnonzero(test))


def _need_speakers(table: pd.DataFrame, needed: int, protocol: str) -> None:
    if unknown := int((table["speaker"] == "").sum()):
        told = {"n": unknown, "of": len(table), "by_voice": VOICE_FOLDS}
        raise ProtocolError(sentence("without_speakers", protocol=protocol, **told))
    if len(speakers := np.unique(_text(table, "unique_speaker"))) < needed:
        other = "loso needs 2" if len(speakers) > 1 else "random-75/25 needs 1"
        told = {"needed": needed, "n": len(speakers), "names": ", ".join(speakers), "other": other}
        raise ProtocolError(sentence("few_speakers_for", protocol=protocol, **told))


#: Every protocol by name, as a function of the corpus table and the seed.
PROTOCOLS: dict[str, Callable[[pd.DataFrame, int], list[Fold]]] = {
    "speaker-6fold": _speaker_6fold,
    "luna-5fold": functools.partial(_published, "luna-5fold"),
    "audeering-1.1": functools.partial(_published, "audeering-1.1"),
    "loso": _loso,
    VOICE_FOLDS: functools.partial(_six_folds, VOICES, VOICE_FOLDS),
    SPEAKER_TEXT: _speaker_text,
    "random-75/25": functools.partial(_random_split, 0.25),
    "random-80/20": functools.partial(_random_split, 0.20),
    "cross-corpus": _cross_corpus,
    "own-split": _own_split,
}
