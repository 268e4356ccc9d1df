"""The networks: published layers, start and optimisers; fast dropout; pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'deep' is not installed")

from emoscope import models  # noqa: E402
from emoscope.errors import ModelError  # noqa: E402
from emoscope.models import cnn2d  # noqa: E402
from emoscope.models.network import (  # noqa: E402  # noqa: E402
    Conv,
    Dense,
    Dropout,
    Pool,
    module,
    output_sizes,
    pooled,
    training,
)
from emoscope.models.network.module import ConvNet  # noqa: E402
from emoscope.models.network.training import OPTIMISERS  # noqa: E402


def layers_of(name):
    return models.get(name).build(0).layers


COUNTS = {"a": 105352, "b": 166920, "c": 166920, "d": 248968}


@pytest.mark.parametrize("letter", "abcd")
def test_published_parameter_counts(letter):
    layers = layers_of(f"cnn1d-{letter}")
    net = ConvNet(layers, (1, 180), 8)
    assert sum(p.numel() for p in net.parameters()) == COUNTS[letter]
    assert ConvNet(layers, (1, 193), 8)(torch.zeros(2, 1, 193)).shape == (2, 8)


@pytest.mark.parametrize("letter", "ab")
def test_published_picture_sizes(letter):
    sizes = output_sizes(layers_of(f"cnn2d-{letter}"), (150, 150))
    sides = [size[0] for size in sizes]
    assert sides[:8] == [150, 30, 30, 6, 6, 2, 2, 1]
    assert [s[2] for s in sizes if s[:2] == (1, 1)][-1] == 1024
    with pytest.raises(ModelError, match="pooling leaves nothing"):
        output_sizes(layers_of("cnn1d-a"), (1, 7))


NETWORKS = [
    (layers_of("cnn1d-a"), (1, 180)),
    (layers_of("cnn1d-d"), (1, 193)),
    (layers_of("cnn2d-a"), (60, 65)),
    (layers_of("cnn2d-b"), (50, 50)),
    (layers_of("cnn2d-a"), (42, 33)),
    ((Conv(4, (3, 5)), Conv(5, (1, 3)), Pool((2, 3), "valid"), Dense(7)), (9, 11)),
]


def plain(net, X):
    """The network in library layers, channels first, without dropout."""
    x, weighted = X.unsqueeze(1), iter(net.weighted)
    for layer in net.layers:
        if isinstance(layer, Conv):
            x = torch.relu(next(weighted)(x))
        elif isinstance(layer, Pool):
            pads = []
            for n, width in zip(x.shape[:1:-1], layer.size[::-1], strict=True):
                missing = max(0, pooled(n, width, layer.padding) * width - n)
                pads += [missing // 2, missing - missing // 2]
            x = torch.nn.functional.pad(x, pads, value=-math.inf)
            x = torch.nn.functional.max_pool2d(x, layer.size)
        elif isinstance(layer, Dense):
            x = torch.relu(next(weighted)(x.permute(0, 2, 3, 1).flatten(1)))
    return next(weighted)(x if x.ndim == 2 else x.permute(0, 2, 3, 1).flatten(1))


@pytest.mark.parametrize(("layers", "grid"), NETWORKS)
def test_the_network_equals_plain_layers(layers, grid):
    torch.manual_seed(0)
    layers = tuple(layer for layer in layers if not isinstance(layer, Dropout))
    net = ConvNet(layers, grid, 4, precision=torch.float32)
    X, y, gradients = torch.randn(5, *grid), torch.tensor([0, 1, 2, 3, 0]), []
    for forward in (net.train(), lambda X: plain(net, X)):
        net.zero_grad()
        logits = forward(X)
        torch.nn.functional.cross_entropy(logits, y).backward()
        gradients.append([logits.detach(), *(p.grad.clone() for p in net.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_half_precision_stays_close():
    torch.manual_seed(0)
    net = ConvNet(layers_of("cnn2d-a")[:4], (50, 50), 4, precision=torch.bfloat16)
    X = torch.rand(6, 50, 50)
    exact = net.eval()(X)
    assert (net.train()(X) - exact).abs().max() < 0.03 * exact.abs().max()


def drops(n, rate):
    """1 where a value is dropped."""
    return torch.zeros(n).index_fill_(0, module.random_places(n, rate), 1)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.25, 0.5])
def test_drops_have_their_rate_and_no_pattern(rate):
    torch.manual_seed(0)
    n = 400_000
    dropped, variance = drops(n, rate), rate * (1 - rate)
    assert abs(dropped.mean() - rate) < 4 * math.sqrt(variance / n)
    centred = dropped - rate
    for lag in (1, 2, 3, 4, 8):
        assert abs((centred[lag:] * centred[:-lag]).mean()) < 4 * variance / math.sqrt(n)
    counts = torch.stack([drops(200, rate).sum() for _ in range(2000)])
    assert counts.var() == pytest.approx(200 * variance, rel=0.15)
    ends = torch.stack([drops(50, rate)[[0, 49]] for _ in range(4000)]).mean(0)
    assert (ends - rate).abs().max() < 4 * math.sqrt(variance / 4000)


def test_dropout_zeroes_and_scales_what_is_left():
    torch.manual_seed(7)
    x = torch.randn(3, 5, 8, 6)
    torch.manual_seed(7)
    torch.randn(3, 5, 8, 6)
    dropped = module.dropout(x, 0.5)
    torch.manual_seed(7)
    torch.randn(3, 5, 8, 6)
    torch.testing.assert_close(dropped, 2 * x * (1 - drops(720, 0.5).view(x.shape)))


def test_pooling_pads_as_tensorflow_does():
    """Six values in blocks of five: two blocks, two places of padding before and two after."""
    net = ConvNet((Pool((1, 5), "same"),), (1, 6), 2)
    with torch.no_grad():
        net.weighted[0].weight.copy_(torch.eye(2))
    X = torch.tensor([[[5.0, 1, 2, 9, 3, 4]]])
    assert net.eval()(X).tolist() == [[5.0, 9.0]]


def test_starting_weights():
    torch.manual_seed(0)
    keras = ConvNet(layers_of("cnn1d-a"), (1, 180), 8)
    bounds = [math.sqrt(6 / n) for n in (5 + 5 * 128, 2 * 5 * 128, 2816 + 8)]
    tflearn = ConvNet(layers_of("cnn2d-a"), (150, 150), 4, scheme="tflearn")
    bounds += [math.sqrt(3 / (25 * n)) for n in (1, 32, 64, 128, 64)] + [0.04, 0.04]
    layers = [*keras.weighted, *tflearn.weighted]
    for layer, bound in zip(layers, bounds, strict=True):
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()


@pytest.mark.parametrize("architecture", ["a", "b"])
def test_he_weights_keep_values_alive_through_many_small_grids(architecture):
    layers, grid = layers_of(f"cnn2d-{architecture}"), (60, 65)
    torch.manual_seed(0)
    net = ConvNet(layers, grid, 8, scheme="he")
    inputs = [(*grid, 1), *output_sizes(layers, grid)]
    grids = [size for size, layer in zip(inputs, layers, strict=False) if isinstance(layer, Conv)]
    for layer, (rows, columns, channels) in zip(net.weighted, grids, strict=False):
        met = torch.nn.functional.conv2d(
            torch.ones(1, 1, rows, columns), torch.ones(1, 1, 5, 5), padding=2
        ).mean()
        bound = math.sqrt(6 / (channels * met))
        assert 0.9 * bound < layer.weight.abs().max() <= bound
    X = torch.randn(64, *grid)
    with torch.no_grad():
        between_clips = net.eval()(X).std(0).mean()
        lost = ConvNet(layers, grid, 8, scheme="glorot").eval()(X).std(0).mean()
    assert 0.2 < between_clips < 5 and lost < between_clips / 1000


RULES = {
    "keras-rmsprop": lambda g, s: (0.9 * s + 0.1 * g**2, lambda s: g / (math.sqrt(s) + 1e-7), 0.0),
    "tensorflow-rmsprop": lambda g, s: (
        0.9 * s + 0.1 * g**2,
        lambda s: g / math.sqrt(s + 1e-10),
        1.0,
    ),
    "tensorflow-adagrad": lambda g, s: (s + g**2, lambda s: g / math.sqrt(s), 0.1),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("size", [1e-7, 0.3])
def test_optimisers_follow_the_published_rules(name, size):
    """Three steps by hand, with gradients small enough to show where epsilon goes."""
    weight = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimiser = OPTIMISERS[name]([weight], lr=0.01)
    expected, state = 1.0, None
    for gradient in (size, -2 * size, 0.5 * size):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        if state is None:
            state = RULES[name](gradient, 0.0)[2]
        state, step, _ = RULES[name](gradient, state)
        expected -= 0.01 * step(state)
    assert weight.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(40, 64), (400, 64), (150, 150), (1, 3)])
def test_grey_pictures(shape):
    clip = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    picture = cnn2d.grey_picture(clip)
    grey = 255 * (clip - clip.min()) / (clip.max() - clip.min())
    upright = torch.from_numpy(np.ascontiguousarray(grey.T[::-1]))[None, None]
    expected = torch.nn.functional.interpolate(upright, (150, 150), mode="bilinear")[0, 0]
    np.testing.assert_allclose(picture, expected.numpy(), rtol=1e-5, atol=1e-2)
    assert not cnn2d.grey_picture(np.full((5, 5), 3.0, np.float32)).any()


def test_frames_are_the_middle_of_the_clip():
    model = cnn2d.FrameNetwork(layers_of("cnn2d-a"))
    model.frames = 6
    long = np.arange(10, dtype=np.float32)[:, None] + np.zeros((10, 4), np.float32)
    short = np.array([[7, 8, 9, 6]] * 2, np.float32)
    first, second = model._grids([long, short])
    assert first.shape == (3, 5)
    np.testing.assert_array_equal(first[:, 0], [2.5, 4.5, 6.5])
    np.testing.assert_array_equal(second, [[6] * 5, [7, 8, 9, 6, 6], [6] * 5])


def test_spec_augment_blanks_stripes_and_moves_clips():
    torch.manual_seed(0)
    X = torch.ones(300, 20, 10) + torch.arange(20).view(20, 1)
    moved = training.spec_augment(X, shift=3, frames=0, bins=0)
    firsts = moved[:, 0, 0].long() - 1
    assert set(firsts.tolist()) == {17, 18, 19, 0, 1, 2, 3}
    assert torch.equal(moved.sort(1).values, X)
    blank = training.spec_augment(X, shift=0, frames=5, bins=4) == 0
    frames, bins = blank.all(2).sum(1), blank.all(1).sum(1)
    assert set(frames.tolist()) == set(range(6))
    assert set(bins.tolist()) == set(range(5))
    assert torch.equal(blank, blank.all(2, keepdim=True) | blank.all(1, keepdim=True))
