"""What a source adds to logits, against closed forms and sources of known offset."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import tiny_model
from emoscope.errors import ModelError
from emoscope.modelfile import softmax
from emoscope.modelfile.card import Card, SourceOffsets
from emoscope.models import offsets

EMOTIONS = ("neutral", "sad", "angry", "happy")
MEANS = 6 * (np.eye(4) - 0.25)
NOISE = np.eye(4) - 0.25  # centred
OFFSET = np.array([6.0, -2.0, -2.0, -2.0])  # makes nearly everything neutral


def prior(**changes: object) -> SourceOffsets:
    values: dict[str, object] = {
        "means": MEANS.astype(np.float32),
        "covariance": NOISE.astype(np.float32),
        "gain": 2.0,
        "floor": 0.0,
        "temperature": 1.0,
        "low": 1.5,
        "high": 3.0,
        "consensus": 0.4,
    }
    return SourceOffsets(**{**values, **changes})


def card(**changes: object) -> Card:
    values = {"emotions": EMOTIONS, "offsets": prior(), "temperature": 1.5}
    return tiny_model.card(**{**values, **changes})


def clips(labels: np.ndarray, offset: np.ndarray = OFFSET, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (len(labels), 4))
    return MEANS[labels] + offset + noise @ NOISE


def together(logits: np.ndarray, **options: object) -> np.ndarray:
    return offsets.learn(card(), logits, **options).probabilities(logits)


@pytest.mark.parametrize("known", [None, prior()])
def test_one_clip_alone_is_the_softmax(known: SourceOffsets | None) -> None:
    logits = clips(np.array([2])).astype(np.float32)
    source = offsets.learn(card(offsets=known), logits)
    np.testing.assert_array_equal(source.probabilities(logits), softmax(logits / 1.5))
    many = clips(np.arange(12) % 4)  # windows of which three hear each moment count as one clip
    source = offsets.learn(card(offsets=known), many[:3], overlap=3.0)
    np.testing.assert_array_equal(source.probabilities(many), softmax(many / 1.5))


def test_without_offsets_every_clip_is_alone() -> None:
    logits = clips(np.arange(12) % 4)
    source = offsets.learn(card(offsets=None), logits)
    np.testing.assert_array_equal(source.probabilities(logits), softmax(logits / 1.5))


def test_labels_under_a_large_offset_are_recovered_from_many_clips() -> None:
    labels = np.arange(400) % 4
    logits = clips(labels)
    assert (softmax(logits).argmax(axis=1) == labels).mean() < 0.7
    source = offsets.learn(card(), logits)
    assert source.several == 1.0
    assert (source.probabilities(logits).argmax(axis=1) == labels).mean() > 0.99
    # All labels known, the posterior mean of the offset is the mean of the rest times the gain.
    wanted = 2.0 / (2.0 + 1 / 400) * (logits - logits.mean(axis=1, keepdims=True) - MEANS[labels])
    np.testing.assert_allclose(source.offset, wanted.mean(axis=0), atol=0.1)


def test_the_floor_keeps_some_doubt_however_many_clips_there_are() -> None:
    logits = clips(np.arange(400) % 4)
    half = offsets.learn(card(offsets=prior(gain=1.0, floor=1.0)), logits)
    np.testing.assert_allclose(half.offset, OFFSET / 2, atol=1.0)


@pytest.mark.parametrize("emotion", range(4))
@pytest.mark.parametrize("n_clips", [4, 64])
def test_clips_of_one_emotion_keep_it(emotion: int, n_clips: int) -> None:
    logits = clips(np.full(n_clips, emotion), np.zeros(4))
    source = offsets.learn(card(), logits)
    found, alone = source.probabilities(logits), softmax(logits / 1.5)
    common = softmax(logits.mean(axis=0, keepdims=True) / 1.5)
    assert source.several == 0.0
    np.testing.assert_allclose(found, 0.4 * common + 0.6 * alone, atol=1e-6)
    assert (found.argmax(axis=1) == emotion).mean() >= (alone.argmax(axis=1) == emotion).mean()


def test_the_spread_is_the_variance_over_that_of_the_noise() -> None:
    """One emotion and unit noise give 1, whatever the number of clips."""
    for n_clips, overlap in ((3000, 1.0), (3000, 3.0)):
        logits = clips(np.zeros(n_clips, int))
        one = card(offsets=prior(low=0.5, high=1.5))
        assert offsets.learn(one, logits, overlap=overlap).several == pytest.approx(0.5, abs=0.05)


def test_some_emotions_alone_are_as_a_model_of_these() -> None:
    logits, allowed = clips(np.arange(40) % 4), [3, 0, 2]
    few = np.ix_(allowed, allowed)
    means, covariance = (a[few].astype(np.float32) for a in (MEANS, NOISE))
    smaller = card(
        emotions=("happy", "neutral", "angry"),
        offsets=prior(means=means, covariance=covariance),
    )
    wanted = offsets.learn(smaller, logits[:, allowed]).probabilities(logits[:, allowed])
    np.testing.assert_allclose(together(logits, allowed=allowed), wanted, atol=1e-6)


def test_neither_order_nor_a_constant_of_a_clip_matters() -> None:
    logits = clips(np.arange(40) % 4)
    order = np.random.default_rng(1).permutation(40)
    moved = logits[order] + np.arange(40)[:, np.newaxis]
    np.testing.assert_allclose(together(moved), together(logits)[order], atol=1e-5)


def test_a_source_serves_clips_it_was_not_learned_from() -> None:
    logits, more = clips(np.arange(64) % 4), clips(np.arange(1000) % 4, seed=1)
    source = offsets.learn(card(), logits)
    both = source.probabilities(np.concatenate([logits, more]))
    np.testing.assert_array_equal(both[:64], source.probabilities(logits))
    assert (both[64:].argmax(axis=1) == np.arange(1000) % 4).mean() > 0.97
    np.testing.assert_allclose(both.sum(axis=1), 1, atol=1e-6)


def of_speakers(n_takes: int, speakers: range, corpus: str) -> tuple[np.ndarray, ...]:
    rows = [(s, e) for s in speakers for e in range(4) for _ in range(n_takes)]
    speaker, labels = np.array(rows).T
    rng = np.random.default_rng(len(rows))
    each = 2 * np.random.default_rng(7).normal(0, 1, (20, 4)) @ NOISE
    logits = MEANS[labels] + each[speaker] + 0.5 * rng.normal(0, 1, (len(rows), 4)) @ NOISE
    return logits, labels, speaker, np.full(len(rows), corpus)


def joined(*parts: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def test_means_and_covariance_are_learned_beside_the_offsets_of_speakers() -> None:
    first, second = of_speakers(50, range(12), "x"), of_speakers(50, range(12, 20), "y")
    found = offsets.fit(*joined(first, second), temperature=1.5)
    # Balanced: the mean of an emotion is that of its speakers, and of these that of their corpora.
    wanted = np.mean(
        [[x[labels == e].mean(axis=0) for e in range(4)] for x, labels, *_ in (first, second)],
        axis=0,
    )
    np.testing.assert_allclose(found.means, wanted - wanted.mean(axis=1, keepdims=True), atol=1e-3)
    np.testing.assert_allclose(found.covariance, 0.25 * NOISE, atol=0.02)
    assert found.temperature == 1.5


def test_speakers_count_alike_and_corpora_too() -> None:
    first, second = of_speakers(5, range(4), "x"), of_speakers(7, range(4, 6), "y")
    plain = offsets.fit(*joined(first, second), temperature=1.0)
    one = [array[first[2] == 2] for array in first]
    more = offsets.fit(*joined(first, second, *[one] * 3), temperature=1.0)
    twins = (second[0], second[1], second[2] + 10, second[3])
    wider = offsets.fit(*joined(first, second, twins), temperature=1.0)
    for other in (more, wider):
        np.testing.assert_allclose(other.means, plain.means, atol=1e-4)
        np.testing.assert_allclose(other.covariance, plain.covariance, atol=1e-4)


def test_a_model_that_is_always_sure_has_offsets_too() -> None:
    labels = np.arange(8) % 4
    found = offsets.fit(MEANS[labels], labels, labels // 2, np.zeros(8), temperature=1.0)
    one = offsets.learn(card(offsets=found), MEANS).probabilities(MEANS)
    assert (one.argmax(axis=1) == np.arange(4)).all()


def test_a_card_holds_them() -> None:
    written = card(offsets=prior())
    found = Card.from_json(written.to_json()).offsets
    assert found is not None
    for name, value in vars(prior()).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_a_card_of_before_has_none() -> None:
    values = json.loads(card(offsets=None).to_json())
    values["adapted"] = {"weights": 1, "bias": 2, "temperature": 1.0, "minimum_clips": 3}
    assert Card.from_json(json.dumps(values)).offsets is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"means": np.eye(3, dtype=np.float32)}, "covariance should be an array of shape"),
        ({"covariance": -np.eye(4, dtype=np.float32)}, "variances above 0"),
        ({"covariance": np.triu(np.ones((4, 4), np.float32))}, "symmetric"),
        ({"low": 3.0}, "low should be less than high"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        prior(**changes)
    with pytest.raises(ModelError, match=r"offsets\.means should be an array of shape \(2, 2\)"):
        card(emotions=EMOTIONS[:2])


def test_no_library_is_needed_to_use_them() -> None:
    """A label of a recording comes sooner than scikit-learn is imported."""
    code = "import emoscope.models.offsets, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_groups_are_sources_of_their_own() -> None:
    labels, groups = np.arange(80) % 4, np.repeat(["a", "b"], 40)
    logits = np.where((groups == "a")[:, np.newaxis], clips(labels), clips(labels, -OFFSET))
    order = np.random.default_rng(2).permutation(80)
    found = offsets.together(card(), logits[order], groups[order], allowed=[0, 1, 2])
    for name in ("a", "b"):
        wanted = together(logits[order][groups[order] == name], allowed=[0, 1, 2])
        np.testing.assert_allclose(found[groups[order] == name], wanted, atol=1e-6)
