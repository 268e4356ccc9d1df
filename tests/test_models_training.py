"""Training of the networks: the search on held-out speakers, checkpoints, refusals."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'deep' is not installed")

from emoscope import models  # noqa: E402
from emoscope.errors import ModelError  # noqa: E402
from emoscope.models import base, cnn1d  # noqa: E402
from emoscope.models.network import Conv, Dropout, Pool, training  # noqa: E402
from emoscope.models.network.module import ConvNet  # noqa: E402

SMALL = (Conv(8, (1, 5)), Dropout(0.25), Pool((1, 8), "valid"), Conv(8, (1, 5)))


def rows(n=60, width=48, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, width)).astype(np.float32)
    X[np.arange(n), y * 10] += 3
    return X, y, np.arange(n) // 10


def network(**changes):
    settings = {"epochs": 8, "patience": 8, "learning_rate": 3e-3, "batch_size": 16, "seed": 1}
    return cnn1d.ColumnNetwork(SMALL, **{**settings, **changes})


def test_the_search_does_not_learn_from_the_held_out_speakers():
    X, y, speakers = rows()
    _, aside = base.held_out(y, speakers, seed=1)
    other = X.copy()
    other[aside] = other[aside] * 20 + 3
    ours, theirs = network().fit(X, y, speakers), network().fit(other, y, speakers)
    for first, second in zip(ours.history_, theirs.history_, strict=False):
        assert first["train_loss"] == second["train_loss"]
        assert first["valid_loss"] != second["valid_loss"]


def test_patience_ends_the_search_and_everybody_is_learned_from():
    X, y, speakers = rows()
    y = np.random.default_rng(0).permutation(y)
    model = network(epochs=60, patience=4).fit(X, y, speakers)
    assert model.best_epoch_ == base.best_epoch(model.history_)
    assert len(model.history_) == model.best_epoch_ + 4 < 60
    np.testing.assert_allclose(model.mean_, X.mean(0), atol=1e-5)
    everybody = network(epochs=model.best_epoch_, patience=None).fit(X, y)
    np.testing.assert_array_equal(everybody.predict_proba(X), model.predict_proba(X))


def test_published_form_trains_every_epoch_on_every_clip():
    X, y, _ = rows()
    model = models.get("cnn1d-a").as_published(0).set_params(epochs=3).fit(X, y)
    assert [row["epoch"] for row in model.history_] == [1, 2, 3] and model.best_epoch_ == 3
    assert set(model.history_[0]) == {"epoch", "train_loss", "train_accuracy"}
    assert model.mean_ == 0
    assert model.module_.weighted[-1].weight.shape[0] == 8
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


def test_columns_that_are_never_negative_become_logarithms():
    X, y, speakers = rows()
    X[:, ::2] = np.exp(2 * X[:, ::2])
    X[0, 0] = 0
    model = network(patience=None).fit(X, y)
    assert not np.isnan(model.floor_[::2]).any() and np.isnan(model.floor_[1::2]).all()
    by_hand = X.astype(float)
    by_hand[:, ::2] = np.log(by_hand[:, ::2] + np.maximum(np.quantile(X[:, ::2], 0.01, 0), 1e-12))
    scaled = (by_hand - by_hand.mean(0)) / by_hand.std(0)
    np.testing.assert_allclose(model._scaled(X[:, None])[:, 0], scaled, atol=1e-4)
    assert np.isfinite(model.predict_proba(-X)).all()
    plain = network(patience=None).fit(scaled.astype(np.float32), y)
    ours, theirs = model.predict_proba(X), plain.predict_proba(scaled.astype(np.float32))
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_the_average_of_the_weights_is_validated_and_kept(monkeypatch):
    """Against averages of the weights after every step, taken by hand."""
    X, y, _ = rows(n=32)

    def weights(**changes):
        model = network(patience=None, batch_size=32, **changes).fit(X, y)
        return torch.cat([p.reshape(-1) for p in model.module_.parameters()])

    monkeypatch.setattr(training, "AVERAGING", 0.0)
    steps = [weights(epochs=n) for n in (1, 2, 3)]
    with training.isolated(1):
        net = ConvNet(SMALL, (1, 48), 3)
    average = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    for n, after in enumerate(steps, start=1):
        kept = min(0.1, n / (n + 10))
        average = kept * average + (1 - kept) * after
    monkeypatch.setattr(training, "AVERAGING", 0.1)
    torch.testing.assert_close(weights(epochs=3), average, rtol=1e-4, atol=1e-6)


def test_one_cycle_rises_and_falls(monkeypatch):
    X, y, speakers = rows()
    rates = []

    def rate_of(optimiser, *, of=training.OPTIMISERS["adamw"], **options):
        made = of(optimiser, **options)
        made.register_step_post_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
        return made

    monkeypatch.setitem(training.OPTIMISERS, "adamw", rate_of)
    options = {"one_cycle": True, "patience": None, "epochs": 4}
    whole = network(**options).fit(X, y, speakers)
    steps = 4 * -(-len(y) // min(16, max(training.LEAST_BATCH, len(y) // training.LEAST_STEPS)))
    assert len(rates) == steps and np.argmax(rates) == pytest.approx(
        training.WARM_UP * steps, abs=1
    )
    assert max(rates) == pytest.approx(3e-3, rel=0.05) and rates[-1] < 3e-5
    assert whole.best_epoch_ == 4 and len(whole.history_) == 4


def test_training_leaves_the_process_as_it_was():
    X, y, speakers = rows()
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    network(epochs=1).fit(X, y, speakers).predict(X)
    assert torch.rand(1) == expected
    assert torch.get_num_threads() == threads


def test_networks_say_what_is_wrong():
    X, y, _ = rows()
    with pytest.raises(ModelError, match="too small"):
        network(patience=None).fit(X[:, :7], y)
    with pytest.raises(ModelError, match="3 emotions need 3 outputs"):
        network(n_outputs=2).fit(X, y)
    with pytest.raises(ModelError, match="two emotions"):
        network().fit(X, np.zeros(60))
    with pytest.raises(ModelError, match="no clip"):
        models.get("cnn2d-a").build(0).fit([], [])
    with pytest.raises(ModelError, match=r"same number of bins; found \[4, 5\]"):
        models.get("cnn2d-a").build(0).fit([np.ones((9, 4)), np.ones((9, 5))], [0, 1])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        models.get("cnn2d-a").build(0).fit([np.ones(4)], [0])
