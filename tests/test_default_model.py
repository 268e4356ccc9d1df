"""The recipe of the shipped model on small synthetic embeddings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emoscope.audio.level import TrimAndNormalise
from emoscope.corpus import Corpus
from emoscope.labels import EMOTIONS
from research import recipe as default_model
from research.recipe import Heard
from research.sufficient_statistics import logits

WIDTH, TAKES = 24, 8
KNOWN = {"one": ("neutral", "happy", "sad", "surprised"), "two": ("happy", "sad", "bored")}


@pytest.fixture(scope="module")
def heard() -> Heard:
    """Two corpora with other rooms, other emotions and six speakers each."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 0.8, (len(EMOTIONS), WIDTH))
    rows, values = [], []
    for corpus, emotions in KNOWN.items():
        room = rng.normal(0, 4, WIDTH)
        for speaker in range(6):
            voice = rng.normal(0, 0.6, WIDTH)
            for emotion in emotions:
                for take in range(TAKES):
                    clip = f"{corpus}-{speaker}-{emotion}-{take}"
                    rows.append((clip, "", emotion, emotion, str(speaker), corpus))
                    mean = centres[EMOTIONS.index(emotion)] + room + voice
                    values.append(mean + rng.normal(0, 1, WIDTH))
    columns = ["clip", "path", "emotion", "label", "speaker", "corpus"]
    x = np.array(values, dtype=np.float32)
    copies = [x, *(x + rng.normal(0, 0.5, x.shape).astype(np.float32) for _ in range(2))]
    return Heard.of(Corpus("one+two", pd.DataFrame(rows, columns=columns)), copies)


def test_unheard_speakers_are_recognised(heard: Heard) -> None:
    test = heard.rows(["one/0", "two/0"])
    fitted = default_model.fit(heard, set(heard.speakers) - {"one/0", "two/0"})
    assert not set(heard.speakers[fitted.rows]) & {"one/0", "two/0"}
    found = logits(fitted.form, heard.copies[0][test])
    allowed = np.unique(heard.labels)
    assert default_model.uar_among(heard.labels[test], found, allowed) > 0.8
    best = max(fitted.criterion.values())
    close = [s for s, score in fitted.criterion.items() if score >= best - default_model.TOLERANCE]
    assert fitted.shrinkage == min(close)
    assert fitted.inner.logits.shape == fitted.changed.shape == (len(fitted.rows), len(EMOTIONS))
    unheard = fitted.inner.logits[:, allowed].argmax(axis=1)
    assert np.mean(allowed[unheard] == fitted.inner.labels) > 0.7


def test_the_choice_does_not_see_the_test_speakers(heard: Heard) -> None:
    """Spoiling the labels of speakers left out changes nothing."""
    training = sorted(set(heard.speakers) - {"one/0"})
    spoiled_table = heard.corpus.table.copy()
    out = (spoiled_table["corpus"] == "one") & (spoiled_table["speaker"] == "0")
    spoiled_table.loc[out, "emotion"] = spoiled_table.loc[out, "emotion"].to_numpy()[::-1]
    spoiled = Heard.of(Corpus("one+two", spoiled_table), heard.copies)
    one, two = (default_model.fit(data, training) for data in (heard, spoiled))
    assert one.criterion == two.criterion
    np.testing.assert_array_equal(one.form.weights, two.form.weights)
    assert one.temperature == two.temperature


def test_batches_of_another_room_gain_by_standardising(heard: Heard) -> None:
    fitted = default_model.fit(heard, set(heard.speakers))
    head, curve = default_model.adapted_head(heard, fitted)
    assert {point["corpus"] for point in curve} == set(KNOWN)
    largest = [point for point in curve if point["clips"] == 64]
    assert all(point["uar"] > point["plain"] for point in largest)
    assert head.minimum_clips <= 64
    assert head.weights.shape == (WIDTH, len(EMOTIONS))


def test_one_corpus_alone_is_enough(heard: Heard) -> None:
    mine = {speaker for speaker in heard.speakers if speaker.startswith("one/")}
    fitted = default_model.fit(heard, mine)
    head, curve = default_model.adapted_head(heard, fitted)
    assert curve == []
    assert head.minimum_clips > 10_000  # nothing was measured, so nothing is done unasked


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({2: 0.0, 4: 0.0, 8: 0.02, 16: 0.02, 32: 0.03, 64: 0.03}, 8),
        ({2: 0.05, 4: 0.0, 8: 0.02, 16: 0.02, 32: 0.03, 64: 0.03}, 8),
        ({2: 0.0, 4: 0.0, 8: 0.02, 16: 0.02, 32: 0.03, 64: 0.0}, 1_000_000),
        ({}, 1_000_000),
    ],
)
def test_the_smallest_batch_that_helps(gains: dict[int, float], expected: int) -> None:
    curve = [{"clips": n, "plain": 0.5, "uar": 0.5 + gain} for n, gain in gains.items()]
    assert default_model.smallest_that_helps(curve) == expected


def test_copies_differ_and_the_recording_is_only_levelled() -> None:
    t = np.arange(16_000) / 16_000
    clip = (0.2 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
    plain = default_model.as_heard(clip, np.random.default_rng(0), 0)
    np.testing.assert_array_equal(plain, TrimAndNormalise()(clip, 16_000))
    one, again = (default_model.as_heard(clip, np.random.default_rng(1), 1) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.shape != plain.shape or not np.allclose(one, plain)
