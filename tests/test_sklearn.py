"""Features and models inside scikit-learn: its own checks, pipelines, searches, tables."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from emoscope import features, models
from emoscope.audio import load
from emoscope.dataset.transformer import FeatureTransformer
from emoscope.errors import AudioError, FeatureError, UnknownNameError
from emoscope.features.spectrum import Spectrum
from emoscope.models.cnn1d import ColumnNetwork
from emoscope.models.cnn2d import FrameNetwork
from emoscope.models.discriminants import ShrinkageLDA, StackedLDA
from emoscope.models.network import Conv, Pool
from emoscope.models.svm import VotingSVC
from small_corpus import RATE, make_corpus

#: What benchmarks/estimator_checks.py explains.
EXPLAINED = {
    "FeatureTransformer": ("check_n_features_in_after_fitting",),
    "VotingSVC": (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Forty recordings, their emotions and their speakers."""
    table = make_corpus(tmp_path_factory.mktemp("clips")).table
    return table["path"].tolist(), table["emotion"].to_numpy(), np.arange(len(table)) // 10


@pytest.mark.parametrize(
    "estimator",
    [
        ShrinkageLDA(),
        StackedLDA(),
        VotingSVC(kernel="linear"),
        ColumnNetwork(
            (Conv(8, (1, 3)), Pool((1, 2), "same")), epochs=12, patience=None, learning_rate=0.05
        ),
        FrameNetwork((Conv(8, (3, 3)),)),
        FeatureTransformer("mel"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_estimator_checks(estimator):
    expected = dict.fromkeys(EXPLAINED.get(type(estimator).__name__, ()), "explained")
    outcomes = check_estimator(
        estimator, expected_failed_checks=expected, on_fail="raise", on_skip=None
    )
    assert sum(outcome["status"] == "passed" for outcome in outcomes) >= 1


@pytest.mark.parametrize("name", models.names())
def test_every_model_is_cloned_and_set(name):
    for estimator in (models.get(name).build(3), models.get(name).as_published(3)):
        again = clone(estimator)
        assert repr(again) == repr(estimator) and again is not estimator
        assert repr(estimator.set_params(**estimator.get_params())) == repr(again)


def test_paths_tables_signals_and_samples_agree(clips, tmp_path):
    paths = clips[0][:6]
    signals = [load(path) for path in paths]
    chosen = [features.get("mfcc"), features.get("mel")]
    expected = [np.concatenate([f.extract(Spectrum(s)) for f in chosen]) for s in signals]
    length = min(len(signal.samples) for signal in signals)
    for given in (
        paths,
        np.array(paths),
        pd.Series(paths),
        pd.DataFrame({"path": paths}),
        signals,
        [signal.samples for signal in signals],
    ):
        made = FeatureTransformer(("mfcc", "mel"), rate=RATE).fit_transform(given)
        np.testing.assert_array_equal(made, expected)
    table = np.stack([signal.samples[:length] for signal in signals])
    assert FeatureTransformer("mel", rate=RATE).fit_transform(table).shape == (6, 128)
    stored = FeatureTransformer(("mfcc", "mel"), store=tmp_path / "store", jobs=2)
    np.testing.assert_array_equal(stored.fit_transform(paths), expected)
    np.testing.assert_array_equal(clone(stored).fit_transform(paths), expected)
    assert any((tmp_path / "store").rglob("*"))


def test_names_and_pandas(clips):
    transformer = FeatureTransformer("mfcc,chroma").set_output(transform="pandas")
    table = transformer.fit_transform(clips[0][:3])
    assert list(table.columns) == list(transformer.get_feature_names_out())
    assert table.columns[0] == "mfcc_01" and table.columns[-1] == "chroma_B"
    both = make_column_transformer((FeatureTransformer("mel"), ["path"]), remainder="drop")
    assert both.fit_transform(pd.DataFrame({"path": clips[0][:3], "age": 1})).shape == (3, 128)


def test_grid_search_over_features_and_model_with_groups(clips):
    paths, emotions, speakers = clips
    pipeline = make_pipeline(FeatureTransformer("mel", rate=RATE), StandardScaler(), ShrinkageLDA())
    grid = {"featuretransformer__features": ["mel", "mfcc"], "shrinkagelda__shrinkage": [0.1, 0.9]}
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(2), scoring="balanced_accuracy")
    search.fit(paths, emotions, groups=speakers)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.predict(paths[:4])) <= {"happy", "sad"}


def test_cross_validate_hands_speakers_to_a_model_that_wants_them(clips):
    import sklearn

    paths, emotions, speakers = clips
    X = FeatureTransformer("mel", rate=RATE).fit_transform(paths)
    with sklearn.config_context(enable_metadata_routing=True):
        model = StackedLDA().set_fit_request(groups=True)
        scores = cross_validate(
            model, X, emotions, cv=GroupKFold(2), params={"groups": speakers},
            scoring="balanced_accuracy",
        )  # fmt: skip
    assert scores["test_score"].shape == (2,)


def test_frames_feed_a_network(clips):
    pytest.importorskip("torch")
    paths, emotions, _ = clips
    network = FrameNetwork((Conv(4, (5, 5)), Pool((5, 5), "same")), epochs=2, patience=None)
    pipeline = make_pipeline(FeatureTransformer("logmel", rate=RATE), network)
    assert pipeline.fit(paths, emotions).predict_proba(paths[:5]).shape == (5, 2)


@pytest.mark.parametrize(
    ("features_", "given", "error", "says"),
    [
        ("mfc", ["a.wav"], UnknownNameError, "Did you mean 'mfcc'"),
        ("mfcc,logmel", ["a.wav"], FeatureError, "vectors or frames"),
        ("mfcc", "a.wav", ValueError, "give a list"),
        ("mfcc", [], ValueError, "array=\\[\\]"),
        ("mfcc", [1.0, 2.0], ValueError, "Reshape your data"),
        ("mfcc", ["nowhere.wav"], AudioError, "nowhere.wav"),
        ("mfcc", np.full((2, 9000), np.nan), ValueError, "NaN"),
    ],
)
def test_wrong_use_says_what_is_right(features_, given, error, says):
    with pytest.raises(error, match=says):
        FeatureTransformer(features_).fit_transform(given)


def test_paths_and_signals_do_not_mix(clips):
    with pytest.raises(FeatureError, match="together"):
        FeatureTransformer().transform([clips[0][0], load(clips[0][1])])
