"""The recipe of the shipped models on small synthetic embeddings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoscope.audio.level import TrimAndNormalise
from emoscope.corpus import Corpus
from emoscope.labels import EMOTIONS
from research import confidence, cross_corpus, recipe
from research.recipe import EmbeddedClips, Fits

pytest.importorskip("torch")

WIDTH, TAKES = 24, 8
KNOWN = {
    "one": ("neutral", "happy", "sad", "surprised"),
    "two": ("happy", "sad", "bored"),
    "three": ("neutral", "happy", "sad"),
}


@pytest.fixture(scope="module")
def clips() -> EmbeddedClips:
    """Three corpora with other rooms, other emotions and six speakers each."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 0.8, (len(EMOTIONS), WIDTH))
    rows, values = [], []
    for corpus, emotions in KNOWN.items():
        room = rng.normal(0, 0.4, WIDTH)
        for speaker in range(6):
            voice = rng.normal(0, 0.6, WIDTH)
            for emotion in emotions:
                for take in range(TAKES):
                    clip = f"{corpus}-{speaker}-{emotion}-{take}"
                    rows.append((clip, "", emotion, emotion, str(speaker), corpus))
                    mean = centres[EMOTIONS.index(emotion)] + room + voice
                    values.append(mean + rng.normal(0, 0.5, WIDTH))
    columns = ["clip", "path", "emotion", "label", "speaker", "corpus"]
    x = np.array(values, dtype=np.float32)
    copies = [x, x + rng.normal(0, 0.3, x.shape).astype(np.float32)]
    return EmbeddedClips.of(Corpus("all", pd.DataFrame(rows, columns=columns)), copies)


@pytest.fixture(scope="module")
def fits(clips: EmbeddedClips, tmp_path_factory: pytest.TempPathFactory) -> Fits:
    return Fits(clips, tmp_path_factory.mktemp("fits"))


def test_a_corpus_left_out_is_recognised_and_its_own_emotions_are_known(fits: Fits) -> None:
    speakers = set(fits.clips.speakers)
    found = fits.without(["three"], speakers)
    assert set(fits.clips.corpora[found.rows]) == {"three"}
    assert [EMOTIONS[n] for n in found.emotions] == [
        "neutral", "happy", "sad", "surprised", "bored"
    ]  # fmt: skip
    allowed = np.searchsorted(found.emotions, np.unique(fits.clips.labels[found.rows]))
    answers = found.emotions[allowed][found.logits[:, allowed].argmax(axis=1)]
    assert np.mean(answers == fits.clips.labels[found.rows]) > 0.6  # chance is a third


def test_labels_of_what_is_left_out_change_nothing(clips: EmbeddedClips, tmp_path: Path) -> None:
    out = clips.corpora == "one"
    spoiled = clips.labels.copy()
    spoiled[out] = spoiled[out][::-1]
    other = dataclasses.replace(clips, labels=spoiled)
    heads = [
        Fits(data, tmp_path / name).head(set(clips.speakers[~out]))
        for name, data in (("a", clips), ("b", other))
    ]
    np.testing.assert_array_equal(heads[0].form.weights, heads[1].form.weights)


def test_what_is_kept_is_what_was_fitted(fits: Fits) -> None:
    speakers = set(fits.clips.speakers[fits.clips.corpora != "two"])
    first, kept = fits.head(speakers), fits.head(speakers)
    assert fits.path(speakers).is_file()
    np.testing.assert_array_equal(first.form.bias, kept.form.bias)


def test_every_clip_is_predicted_by_a_head_of_other_speakers(fits: Fits) -> None:
    speakers = set(fits.clips.speakers)
    sets = fits.training_folds(speakers)
    left = [speakers - part for part in sets]
    assert set().union(*left) == speakers and sum(map(len, left)) == len(speakers)
    found = fits.unseen_speakers(speakers)
    assert np.isfinite(found.logits).all() and len(found.rows) == len(fits.clips.labels)


def test_the_threshold_holds_the_risk_with_every_corpus_counting_alike(fits: Fits) -> None:
    left_out = [fits.without([name], set(fits.clips.speakers)) for name in KNOWN]
    calibration = confidence.calibrate(
        fits.clips, fits.unseen_speakers(set(fits.clips.speakers)), left_out
    )
    passed, wrong = [], []
    for found in left_out:
        p = np.exp(found.logits / calibration.temperature)
        highest = p.max(axis=1) / p.sum(axis=1)
        sure = (highest >= calibration.uncertain.threshold - 1e-7) & found.familiar
        good = found.emotions[p.argmax(axis=1)] == fits.clips.labels[found.rows]
        passed.append(sure.mean())
        wrong.append((sure & ~good).mean())
    assert calibration.uncertain.risk <= confidence.RISK
    assert calibration.uncertain.risk == pytest.approx(np.sum(wrong) / np.sum(passed), abs=0.01)
    assert calibration.uncertain.coverage == pytest.approx(np.mean(passed), abs=0.01)


def test_calm_is_no_mistake_for_neutral() -> None:
    calm, neutral, sad = (EMOTIONS.index(e) for e in ("calm", "neutral", "sad"))
    found = confidence.right(np.array([calm, calm, neutral]), np.array([neutral, sad, calm]))
    assert found.tolist() == [True, False, False]


def test_copies_differ_and_the_recording_is_only_levelled() -> None:
    t = np.arange(16_000) / 16_000
    clip = (0.2 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
    plain = recipe.prepared(clip, np.random.default_rng(0), 0)
    np.testing.assert_array_equal(plain, TrimAndNormalise()(clip, 16_000))
    one, again = (recipe.prepared(clip, np.random.default_rng(1), 1) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.shape != plain.shape or not np.allclose(one, plain)


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.5, 4.0])
def test_the_last_copy_is_a_part_of_the_clip_that_the_model_still_takes(seconds: float) -> None:
    rng = np.random.default_rng(0)
    clip = rng.normal(size=round(seconds * 16_000)).astype(np.float32)
    starts, shares = set(), []
    for _ in range(20):
        part = recipe.part_of(clip, rng)
        (start,) = np.flatnonzero(clip == part[0])
        np.testing.assert_array_equal(part, clip[start : start + len(part)])
        assert len(part) >= min(len(clip), 3200)
        starts.add(int(start))
        shares.append(len(part) / len(clip))
    if seconds > 1:
        assert len(starts) > 15 and 0.25 <= min(shares) < 0.4 and 0.6 < max(shares) <= 0.75
    loud = (0.2 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)).astype(np.float32)
    copy = recipe.prepared(loud, np.random.default_rng(0), recipe.COPIES)
    np.testing.assert_array_equal(
        copy, recipe.part_of(TrimAndNormalise()(loud, 16_000), np.random.default_rng(0))
    )


def test_batches_hold_clips_of_the_same_keys_and_about_the_size_asked_for() -> None:
    speakers = np.repeat(["a", "b"], [10, 7])
    groups = cross_corpus.batches([speakers], 4)
    for group in np.unique(groups):
        inside = speakers[groups == group]
        assert len(set(inside)) == 1 and 3 <= len(inside) <= 5
    assert len(set(cross_corpus.batches([speakers], 1000))) == 2


def test_figures_of_a_corpus_left_out_are_those_of_its_rows(fits: Fits) -> None:
    speakers = set(fits.clips.speakers)
    found = fits.without(["two"], speakers)
    calibration = confidence.calibrate(fits.clips, fits.unseen_speakers(speakers), [found])
    calibration = dataclasses.replace(
        calibration,
        offsets=None
        if calibration.offsets.means.shape[0] != len(found.emotions)
        else calibration.offsets,
    )
    far = np.zeros(len(found.rows), bool)
    far[::2] = True
    found = dataclasses.replace(found, far=far)
    figures = cross_corpus.figures(fits.clips, found, calibration)
    told = {"model": "m", "features": "f"}
    rows = cross_corpus.rows(fits.clips, found, calibration, **told)
    alone = rows[rows["protocol"] == "cross-corpus"]
    recall = (alone["emotion"] == alone["predicted"]).groupby(alone["emotion"]).mean()
    assert figures["alone"]["uar"] == pytest.approx(recall.mean())
    assert set(alone["emotion"]) == set(figures["emotions"]) == {"happy", "sad"}
    assert figures["doubt"]["alone"]["unfamiliar"] == pytest.approx(0.5)
    assert figures["doubt"]["alone"]["coverage"] <= 0.5
