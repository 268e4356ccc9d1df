"""Every model keeps the same contract; no voice it watches is one it learns from."""

from __future__ import annotations

import functools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC
from sklearn.utils.validation import has_fit_parameter

from emoscope import models, reproduction
from emoscope.errors import EmoscopeError, MissingExtraError, ModelError, UnknownNameError
from emoscope.models import base, mlp, network, svm

EMOTIONS = np.array(["angry", "neutral", "sad"])
NAMES = models.names()
N_COLUMNS, N_BINS = 72, 16


def clips(kind, seed=0, n=90):
    """Clips whose emotion shows in a third of the columns or bins, on six speakers."""
    rng = np.random.default_rng(seed)
    labels, speakers = np.arange(n) % 3, np.arange(n) // 15
    if kind == "vector":
        X = rng.normal(size=(n, N_COLUMNS)).astype(np.float32)
        for row, label in zip(X, labels, strict=True):
            row[label * 24 : (label + 1) * 24] += 2
    else:
        X = [rng.normal(size=(rng.integers(50, 80), N_BINS)).astype(np.float32) for _ in labels]
        for clip, label in zip(X, labels, strict=True):
            clip[:, label * 5 : (label + 1) * 5] += 3
    return X, EMOTIONS[labels], speakers


def short(estimator):
    """The same estimator with a budget for tests."""
    known = estimator.get_params()
    wanted = {"epochs": 15, "n_estimators": 20, "learning_rate": 3e-3}
    if not isinstance(known.get("learning_rate"), float):
        wanted.pop("learning_rate")
    return estimator.set_params(**{key: wanted[key] for key in wanted if key in known})


@functools.cache
def fitted(name, again=0):
    """A fitted model and its kind of input; fitted anew for another ``again``."""
    info = models.get(name)
    X, y, speakers = clips(info.input)
    estimator = short(info.build(0))
    groups = {"groups": speakers} if has_fit_parameter(estimator, "groups") else {}
    return estimator.fit(X, y, **groups), info.input


@pytest.fixture(autouse=True)
def needs_torch(request):
    name = request.node.callspec.params.get("name", "") if hasattr(request.node, "callspec") else ""
    if name.startswith("cnn"):
        pytest.importorskip("torch", reason="the extra 'deep' is not installed")


def test_the_twelve_models():
    assert set(NAMES) >= {
        *("svm", "svm-rbf", "tree", "forest", "mlp", "dummy", "cnn2d-a", "cnn2d-b"),
        *(f"cnn1d-{letter}" for letter in "abcd"),
    }
    for name in NAMES:
        assert models.get(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    estimator, kind = fitted(name)
    X, y, _ = clips(kind, seed=1, n=30)
    assert list(estimator.classes_) == list(EMOTIONS)
    probabilities = estimator.predict_proba(X)
    assert probabilities.shape == (30, 3)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    predicted = estimator.predict(X)
    np.testing.assert_array_equal(predicted, EMOTIONS[probabilities.argmax(1)])
    if name != "dummy":
        assert (predicted == y).mean() > 0.6
    again, _ = fitted(name, again=1)
    assert again.predict_proba(X).tobytes() == probabilities.tobytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["build", "as_published"])
def test_clone_and_repr(name, form):
    estimator = getattr(models.get(name), form)(5)
    assert repr(clone(estimator)) == repr(estimator)
    seeds = [v for k, v in estimator.get_params().items() if k.endswith(("seed", "state"))]
    seeds = [v for k, v in estimator.get_params().items() if k.endswith(("seed", "random_state"))]
    assert not seeds or 5 in seeds


@pytest.mark.parametrize("name", [n for n in NAMES if n != "dummy"])
def test_refuses_other_width_and_length(name):
    estimator, kind = fitted(name)
    X, y, _ = clips(kind, n=30)
    narrow = X[:, :60] if kind == "vector" else [clip[:, :9] for clip in X]
    with pytest.raises((ValueError, EmoscopeError), match="60|9 columns"):
        estimator.predict(narrow)
    with pytest.raises((ValueError, EmoscopeError), match="29"):
        clone(estimator).fit(X, y[:-1])


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("dummy", "tree", "forest")])
def test_refuses_nan(name):
    kind = models.get(name).input
    X, y, _ = clips(kind, n=30)
    X[3][2] = np.nan
    with pytest.raises((ValueError, EmoscopeError), match="NaN"):
        models.get(name).build(0).fit(X, y)


def test_registry():
    with pytest.raises(UnknownNameError, match="forest"):
        models.get("forrest")
    info = models.ModelInfo("mine", "Mine", "vector", DummyClassifier, DummyClassifier)
    models.register("mine", info)
    assert models.get("mine") is info
    models.registry._registered.pop("mine")


def test_listing_and_building_do_not_import_torch():
    code = (
        "import sys; from emoscope import models; "
        "[models.get(n).build(0) for n in models.names()]; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'onnx', 'skl2onnx')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_missing_torch_names_the_extra(monkeypatch):
    for name in ("module", "training"):
        monkeypatch.delitem(sys.modules, f"emoscope.models.network.{name}", raising=False)
        monkeypatch.delattr(network, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    X, y, _ = clips("vector")
    with pytest.raises(MissingExtraError, match=r"emoscope\[deep\]"):
        models.get("cnn1d-a").build(0).fit(X, y)


def test_twenty_published_rows_with_their_settings():
    results = reproduction.published_results(reproduction.published())
    rows = {result.name: result.build(0) for result in results}
    assert len(rows) == 20
    depths = [rows[k].max_depth for k in rows if k.startswith("decision tree")]
    assert depths == [2, 6, 9]
    assert rows["random forest, 20 trees, random_state 0"].n_estimators == 20
    assert rows["MLP 300-2"].hidden_layer_sizes == [300, 2]
    assert rows["MLP 300, batch 200"].batch_size == 200
    for name in {result.info.name for result in results}:
        published = [repr(r.build(3)) for r in results if r.info.name == name]
        assert repr(models.get(name).as_published(3)) in published
    for key, row in rows.items():
        if key.startswith("CNN"):
            assert (row.epochs, row.patience, row.as_published) == (500, None, True)
        if key.startswith("CNN-2D"):
            settings = key.split(", ")[1].split()
            assert row.learning_rate == float(settings[1])
            assert row.optimiser.endswith(settings[0].lower())


def test_svm_predicts_as_sklearn_does():
    X, y, _ = clips("vector", n=60)
    X += np.random.default_rng(2).normal(scale=4, size=X.shape)
    for parameters in ({"kernel": "linear"}, {"kernel": "rbf"}):
        ours, theirs = (
            svm.VotingSVC(random_state=0, **parameters).fit(X, y),
            SVC(**parameters).fit(X, y),
        )
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    two = y != "sad"
    pair = svm.VotingSVC(random_state=0, kernel="linear").fit(X[two], y[two])
    probabilities = pair.predict_proba(X[two])
    np.testing.assert_array_equal(pair.classes_[probabilities.argmax(1)], pair.predict(X[two]))
    np.testing.assert_allclose(probabilities.sum(1), 1)


class TestHeldOut:
    y = np.tile(["a", "b", "b", "c"], 30)
    speakers = np.repeat(np.arange(12), 10)

    def test_whole_speakers(self):
        learn, watch = base.held_out(self.y, self.speakers, fraction=0.25, seed=0)
        assert not set(self.speakers[learn]) & set(self.speakers[watch])
        assert sorted([*learn, *watch]) == list(range(120))
        assert len(watch) == 30
        assert set(self.y[watch]) == {"a", "b", "c"}

    def test_seed_draws(self):
        draws = {
            tuple(base.held_out(self.y, self.speakers, fraction=0.2, seed=s)[1]) for s in range(5)
        }
        assert len(draws) > 1

    @pytest.mark.parametrize("groups", [None, np.zeros(120)])
    def test_clips_when_speakers_are_unknown(self, groups):
        learn, watch = base.held_out(self.y, groups, fraction=0.2, seed=0)
        assert len(watch) == 24
        assert (self.y[watch] == "b").sum() == 12
        assert not set(learn) & set(watch)

    def test_an_only_clip_is_learned_from(self):
        learn, watch = base.held_out(["a", "a", "b", "b", "c"], None, fraction=0.2, seed=0)
        assert 4 in learn
        assert sorted([*learn, *watch]) == list(range(5))
        with pytest.raises(ModelError, match="each emotion has 1 training clip"):
            base.held_out(["a", "b", "c"], None, seed=0)

    @pytest.mark.parametrize("known", [True, False])
    def test_an_emotion_with_one_clip_stops_no_model(self, known):
        X, y, speakers = clips("vector")
        y = np.where(np.arange(len(y)) == 7, "rare", y)
        model = short(models.get("mlp").build(0)).fit(X, y, groups=speakers if known else None)
        assert "rare" in model.classes_
        np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


def test_mlp_searches_without_learning_from_the_held_out_speakers():
    X, y, speakers = clips("vector")
    model = short(models.get("mlp").build(0))
    _, watch = base.held_out(y, speakers, seed=0)
    other = X.copy()
    other[watch] = other[watch] * 50 + 7
    ours, theirs = clone(model).fit(X, y, speakers), clone(model).fit(other, y, speakers)
    for first, second in zip(ours.history_, theirs.history_, strict=False):
        assert first["train_loss"] == second["train_loss"]
        assert first["valid_loss"] != second["valid_loss"]


def test_best_epoch_is_the_end_of_the_best_stretch():
    uar = [0.1] * 20 + [0.5] * 10 + [0.4] * 5
    assert base.best_epoch([{"valid_uar": u} for u in uar]) == 30
    assert base.best_epoch([{"valid_uar": u} for u in uar[:3]]) == 3


def test_mlp_trains_for_the_best_number_of_epochs():
    X, y, speakers = clips("vector")
    y = np.random.default_rng(1).permutation(y)
    model = mlp.SpeakerStoppedMLP(epochs=40, patience=5, alpha=0.01).fit(X, y, speakers)
    assert model.best_epoch_ == base.best_epoch(model.history_) == model.net_.t_ / len(y)
    assert len(model.history_) == model.best_epoch_ + 5 < 40
    np.testing.assert_allclose(model.scaling_[-1].mean_, X.mean(0), atol=1e-6)
    assert set(model.history_[0]) == {
        *("epoch", "train_loss", "train_accuracy", "valid_loss", "valid_uar")
    }


def test_an_emotion_of_few_clips_costs_no_warning():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), np.repeat(["happy", "sad", "angry"], [20, 17, 3])
    speakers = np.tile(list("abcde"), 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("mlp", "stack"):
            models.get(name).build(0).fit(X, y, groups=speakers)
        base.recall(np.array(["sad"]), np.array(["angry"]))
    found = rng.permutation(y)
    assert base.recall(y, found) == balanced_accuracy_score(y, found)
