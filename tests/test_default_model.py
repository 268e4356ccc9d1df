"""The recipe of the shipped model on small synthetic embeddings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emoscope.audio.level import TrimAndNormalise
from emoscope.corpus import Corpus
from emoscope.labels import EMOTIONS
from research import recipe
from research.recipe import EmbeddedClips

WIDTH, TAKES = 24, 8
KNOWN = {"one": ("neutral", "happy", "sad", "surprised"), "two": ("happy", "sad", "bored")}


@pytest.fixture(scope="module")
def clips() -> EmbeddedClips:
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
    return EmbeddedClips.of(Corpus("one+two", pd.DataFrame(rows, columns=columns)), copies)


def test_unseen_speakers_are_recognised(clips: EmbeddedClips) -> None:
    test = clips.rows(["one/0", "two/0"])
    fitted = recipe.fit(clips, set(clips.speakers) - {"one/0", "two/0"})
    assert not set(clips.speakers[fitted.rows]) & {"one/0", "two/0"}
    found = fitted.form.logits(clips.copies[0][test])
    allowed = np.unique(clips.labels)
    assert recipe.uar_among(clips.labels[test], found, allowed) > 0.8
    best = max(fitted.criterion.values())
    close = [s for s, score in fitted.criterion.items() if score >= best - recipe.TOLERANCE]
    assert fitted.shrinkage == min(close)
    assert fitted.inner.logits.shape == fitted.changed.shape == (len(fitted.rows), len(EMOTIONS))
    unseen = fitted.inner.logits[:, allowed].argmax(axis=1)
    assert np.mean(allowed[unseen] == fitted.inner.labels) > 0.7


def test_the_choice_does_not_see_the_test_speakers(clips: EmbeddedClips) -> None:
    """Spoiling the labels of speakers left out changes nothing."""
    training = sorted(set(clips.speakers) - {"one/0"})
    spoiled_table = clips.corpus.table.copy()
    out = (spoiled_table["corpus"] == "one") & (spoiled_table["speaker"] == "0")
    spoiled_table.loc[out, "emotion"] = spoiled_table.loc[out, "emotion"].to_numpy()[::-1]
    spoiled = EmbeddedClips.of(Corpus("one+two", spoiled_table), clips.copies)
    one, two = (recipe.fit(data, training) for data in (clips, spoiled))
    assert one.criterion == two.criterion
    np.testing.assert_array_equal(one.form.weights, two.form.weights)
    assert one.temperature == two.temperature


def test_copies_differ_and_the_recording_is_only_levelled() -> None:
    t = np.arange(16_000) / 16_000
    clip = (0.2 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
    plain = recipe.prepared(clip, np.random.default_rng(0), 0)
    np.testing.assert_array_equal(plain, TrimAndNormalise()(clip, 16_000))
    one, again = (recipe.prepared(clip, np.random.default_rng(1), 1) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.shape != plain.shape or not np.allclose(one, plain)
