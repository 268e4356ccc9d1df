"""RAVDESS in two parts: what was sung beside what was spoken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoscope import corpus, dataset, features, protocols, reproduction
from emoscope.audio import load as load_audio
from emoscope.corpus import Corpus
from emoscope.dataset import bundled
from emoscope.errors import CorpusError, FeatureError, UnknownNameError
from emoscope.evaluation import comparison, metrics
from emoscope.features.spectrum import Spectrum
from emoscope.features.table import Features
from emoscope.report import summary

# Livingstone and Russo 2018, and the description of the corpus at https://zenodo.org/records/1188976
SPEECH = dict.fromkeys(
    ("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192
) | {"neutral": 96}  # fmt: skip
SONG = dict.fromkeys(("calm", "happy", "sad", "angry", "fearful"), 184) | {"neutral": 92}


def test_all_2452_clips_are_as_the_corpus_describes_them():
    table = bundled.load("both")[0].table
    assert len(table) == 2452 and table["clip"].is_unique
    for channel, emotions, per_actor in (("speech", SPEECH, 60), ("song", SONG, 44)):
        clips = table[table["channel"] == channel]
        assert clips["emotion"].value_counts().to_dict() == emotions
        assert set(clips["speaker"].value_counts()) == {per_actor}
    sung = table[table["channel"] == "song"]
    assert set(table["speaker"]) - set(sung["speaker"]) == {"18"}


def test_the_parts_are_the_same_features_in_the_same_order():
    speech, song, both = (bundled.load(part) for part in corpus_parts())
    assert both[1].clips == speech[1].clips + song[1].clips
    np.testing.assert_array_equal(both[1].X, np.concatenate([speech[1].X, song[1].X]))
    assert both[1].columns == song[1].columns and both[1].specs == song[1].specs
    assert song[2] is None and both[2] is None and len(speech[2].frames) == 1440


def corpus_parts() -> tuple[str, ...]:
    return ("speech", "song", "both")


def test_bundled_song_is_what_the_extractor_gives(ravdess_song):
    table, vector = bundled.load("song")[0].table, bundled.load("song")[1]
    for row in range(0, 1012, 52):
        spectrum = Spectrum(load_audio(ravdess_song / table["path"].iloc[row]))
        values = np.concatenate([features.get(n).extract(spectrum) for n in features.DEFAULT])
        np.testing.assert_allclose(vector.X[row], values, rtol=1e-5, atol=1e-5)


def test_a_folder_is_read_in_part(tmp_path):
    names = ["03-01-03-01-01-01-01", "03-01-04-01-01-01-02", "03-02-04-01-01-01-02"]
    for name in names:
        (tmp_path / f"{name}.wav").touch()
    found = {
        part: corpus.load(tmp_path, part=part).table["clip"].tolist() for part in corpus_parts()
    }
    assert found == {"speech": names[:2], "song": names[2:], "both": names}
    with pytest.raises(UnknownNameError, match="unknown part 'sung'.*speech, song, both"):
        corpus.load(tmp_path, part="sung")


def test_what_does_not_come_in_parts_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("file,emotion,speaker\na.wav,happy,1\nb.wav,sad,2\n")
    for name in "ab":
        (tmp_path / f"{name}.wav").touch()
    with pytest.raises(CorpusError, match="--part song: .* does not come in parts"):
        corpus.load(tmp_path / "list.csv", part="song")
    with pytest.raises(FeatureError, match="features of song have no logmel"):
        dataset.load(None, ["logmel"], part="song")


@pytest.mark.parametrize("protocol", ["speaker-6fold", "luna-5fold", "loso"])
def test_a_song_stays_in_the_fold_of_its_actor(protocol):
    table = bundled.load("both")[0].table
    divisions = protocols.folds(table, protocol)
    for column in ("speaker", "clip"):
        tested = [set(table[column].iloc[fold.test]) for fold in divisions]
        assert sum(map(len, tested)) == len(set.union(*tested)) == table[column].nunique()
    channels = table["channel"].to_numpy()
    apart = protocols.channel_folds(divisions, table, protocol)
    assert list(apart) == [f"{protocol}, speech alone", f"{protocol}, song alone"]
    for channel, folds in zip(("speech", "song"), apart.values(), strict=True):
        tested = np.concatenate([fold.test for fold in folds])
        assert sorted(tested) == np.flatnonzero(channels == channel).tolist()
        assert all(set(channels[fold.train]) == {channel} for fold in folds)
        assert all(len(fold.test) for fold in folds)


def test_no_channel_folds_where_there_is_one_channel_or_a_leak():
    table = bundled.load("both")[0].table
    spoken = table[table["channel"] == "speech"].reset_index(drop=True)
    assert not protocols.channel_folds(protocols.folds(spoken, "loso"), spoken, "loso")
    random = protocols.folds(table, "random-75/25")
    assert not protocols.channel_folds(random, table, "random-75/25")


@pytest.fixture
def reversed_in_song() -> tuple[Corpus, Features]:
    """Twelve speakers who sound happy as others sound sad, but only when they sing."""
    rng = np.random.default_rng(0)
    rows = [
        {"clip": f"{s}-{c}-{e}-{n}", "path": "", "emotion": e, "label": e, "speaker": s,
         "corpus": "made", "channel": c}
        for s in map(str, range(12)) for c, clips in (("speech", 4), ("song", 12))
        for e in ("happy", "sad") for n in range(clips)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    sign = np.where((table["emotion"] == "happy") == (table["channel"] == "speech"), 1.0, -1.0)
    X = (sign + rng.normal(0, 0.3, len(table)))[:, None].astype(np.float32)
    made = Corpus("made", table.astype(object))
    values = Features(
        clips=table["clip"].tolist(), specs=[{"name": "sound"}], columns=("sound",), X=X
    )
    return made, values


def test_the_gain_of_the_other_channel_is_said_with_its_interval(reversed_in_song):
    made, values = reversed_in_song
    result = comparison.compare(
        made, {"vector": values}, models=["lda"], script_gap=["lda"], leak_protocol=None
    )
    speech, song = summary.channel_gains(result, result.leaderboard())
    assert speech.text.startswith(
        "Adding song to the training clips harms the recognition of speech"
    )
    rows = {
        "both": result.rows("lda").query("channel == 'speech'"),
        "alone": result.rows("lda", "speaker-6fold, speech alone"),
    }
    uar = {name: metrics.uar(r["emotion"], r["predicted"]) for name, r in rows.items()}
    assert uar["alone"] > 0.95 and uar["both"] < 0.05
    assert f"changes by {uar['both'] - uar['alone']:+.3f} " in speech.text
    assert "95 % interval" in speech.text
    assert "Adding speech to the training clips" in song.text and "harms" not in song.text


def test_the_published_clips_are_those_with_one_channel():
    facts = reproduction.published()
    data = dataset.load(None, facts["features"], emotions=facts["emotions"], part="both")
    assert len(data.corpus.table) == 1316
    left = reproduction.without_two_channels(data, facts["split"]["two_channels"])
    table = left.corpus.table
    assert len(table) == facts["split"]["clips"] == 1314
    assert left.features["vector"].clips == table["clip"].tolist()
    (fold,) = protocols.folds(table, "random-75/25", seed=facts["split"]["seed"])
    assert (len(fold.train), len(fold.test)) == (facts["split"]["train"], facts["split"]["test"])


def test_the_two_recordings_left_out_are_the_stereo_ones(ravdess, ravdess_song):
    import soundfile

    recordings = [*ravdess.rglob("*.flac"), *ravdess_song.rglob("*.wav")]
    kept = {"03", "04", "05", "01"}  # happy, sad, angry, neutral
    stereo = {p.stem for p in recordings if soundfile.info(p).channels == 2}
    of_four = {stem for stem in stereo if stem.split("-")[2] in kept}
    assert of_four == set(reproduction.published()["split"]["two_channels"])


def test_reproduce_on_both_parts_says_what_it_leaves_out(tmp_path):
    result = reproduction.reproduce(
        part="both", out=tmp_path, rows=["max_depth 2", "Adagrad"], jobs=1
    )
    assert [row.model for row in result.rows] == ["decision tree, max_depth 2"]
    assert result.about["part"] == "speech and song" and result.about["n_clips"] == 1314
    assert result.about["notes"] == [f"{bundled.NO_SPECTROGRAMS}: 2 results are left out"]
    with pytest.raises(CorpusError, match="have no spectrograms; name the folder"):
        reproduction.reproduce(part="song", out=tmp_path, rows=["Adagrad"])


def test_compare_on_both_parts_leaves_spectrogram_networks_out(emoscope, tmp_path):
    status, out, err = emoscope(
        "compare", "--part", "song", "--emotions", "happy,sad", "--models", "dummy", "--jobs", 1,
        "--out", tmp_path / "named",
    )  # fmt: skip
    assert status == 0 and "spectrograms" not in err
    assert (tmp_path / "named" / Path("report.html")).is_file()
    status, out, err = emoscope(
        "compare", "--part", "song", "--models", "cnn2d-a", "--out", tmp_path
    )
    assert status == 2 and "features of song have no logmel" in err
