from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from emoscope.audio import Signal
from emoscope.errors import AudioError, UnknownNameError
from emoscope.evaluation import metrics
from emoscope.evaluation.result import Run
from emoscope.labels import EMOTIONS
from emoscope.report import plots
from emoscope.report.plots import results, sound
from emoscope.report.plots.style import DARK, EMOTION_COLOURS, LIGHT

RNG = np.random.default_rng(0)
TRUE = RNG.choice(EMOTIONS[:8], 200)
PREDICTED = np.where(RNG.random(200) < 0.6, TRUE, RNG.choice(EMOTIONS[:8], 200))
RUNS = [
    Run(
        model,
        "mfcc",
        "loso",
        uar=uar,
        uar_low=uar - 0.05,
        uar_high=uar + 0.05,
        leak_gap=gap,
        predict_seconds=seconds,
        n_clips=200,
    )  # fmt: skip
    for model, uar, gap, seconds in (("svm", 0.5, 0.2, 0.1), ("dummy", 0.125, 0.0, 0.001))
]
HISTORY = [{"epoch": e, "train_accuracy": 1 - 0.8**e, "valid_uar": 0.4} for e in range(1, 9)]
#: What each function is given; a new one needs a line here.
SHOWN = {
    "confusion": metrics.confusion(TRUE, PREDICTED, emotions=EMOTIONS[:8]),
    "dumbbell": pd.DataFrame({"claimed": [0.8, np.nan], "true": [0.4, 0.5]}, index=["svm", "mlp"]),
    "leaderboard": RUNS,
    "learning_curves": [HISTORY, HISTORY[:5]],
    "reliability": metrics.reliability(
        TRUE, RNG.dirichlet(np.ones(8), 200), emotions=EMOTIONS[:8], bins=10
    ),
}


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


@pytest.fixture(scope="module")
def voice():
    t = np.arange(int(1.2 * 22_050)) / 22_050
    samples = 0.3 * sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 9)) * (t > 0.3)
    return Signal(samples.astype(np.float32), 22_050)


def draw(name, ax):
    shown = SHOWN[name]
    arguments = shown if isinstance(shown, tuple) else (shown,)
    return getattr(plots, name)(*arguments, ax=ax)


def test_every_picture_is_tested():
    assert set(results.__all__) == set(SHOWN)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", results.__all__)
def test_picture_of_a_result_is_drawn_into_the_given_axes(name, dark, ax):
    with plots.style(dark=dark):
        assert draw(name, ax) is ax
        ax.figure.canvas.draw()
    assert ax.has_data() or ax.texts


@pytest.mark.parametrize("name", sound.PANELS)
def test_picture_of_a_clip_has_time_on_its_axis(name, ax, voice):
    assert sound.PANELS[name](voice, ax=ax) is ax
    ax.figure.canvas.draw()
    assert ax.get_xlim() == pytest.approx((0, 1.2), abs=0.01)
    assert ax.get_xlabel() == "time, s"


def test_linear_spectrogram_shows_a_tone_where_it_is(ax):
    t = np.arange(16_000) / 16_000
    plots.spectrogram(Signal(np.sin(2 * np.pi * 3000 * t).astype(np.float32), 16_000), ax=ax)
    image = ax.images[0]
    row = image.get_array()[:, 15].argmax()
    low, high = image.get_extent()[2:]
    assert low + (row + 0.5) / image.get_array().shape[0] * (high - low) == pytest.approx(
        3, abs=0.01
    )


def test_log_spectrogram_shows_octaves_alike(ax):
    t = np.arange(32_000) / 32_000
    rows = []
    for hertz in (250, 500, 1000):
        signal = Signal(np.sin(2 * np.pi * hertz * t).astype(np.float32), 32_000)
        plots.log_spectrogram(signal, ax=ax)
        rows.append(int(ax.images[-1].get_array()[:, 30].argmax()))
    assert rows[2] - rows[1] == pytest.approx(rows[1] - rows[0], abs=2)


def test_confusion_gives_the_shares_of_each_true_emotion(ax):
    counts = metrics.confusion(
        ["sad"] * 4 + ["happy"], ["sad"] * 3 + ["happy"] * 2, emotions=["happy", "sad"]
    )
    plots.confusion(counts, ax=ax)
    assert [text.get_text() for text in ax.texts] == ["100", "0", "25", "75"]


def test_leaderboard_has_the_best_on_top_with_its_letter(ax):
    plots.leaderboard(RUNS, letters={"svm": "a"}, lines={"chance": 0.125}, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dummy", "svm"]
    assert {"50.0  a", "chance"} <= {text.get_text() for text in ax.texts}


def test_dumbbell_has_at_most_four_ends(ax):
    with pytest.raises(ValueError, match="at most 4 ends; found 5"):
        plots.dumbbell(pd.DataFrame(np.zeros((1, 5))), ax=ax)


def test_show_puts_clips_side_by_side_on_one_scale(tmp_path, voice):
    quiet = Signal(voice.samples[:13_000] * 0.1, voice.rate)
    figure = plots.show([voice, quiet], titles=["loud", "quiet"])
    grid = np.array(figure.axes).reshape(len(sound.SHOWN), 2)
    assert [ax.get_title(loc="left") for ax in grid[0]] == ["loud", "quiet"]
    for left, right in grid:
        assert left.get_ylim() == right.get_ylim()
        assert left.get_xlim() == right.get_xlim()
    for name in ("clips.png", "clips.svg"):
        figure.savefig(tmp_path / name, dpi=50)
        assert (tmp_path / name).stat().st_size > 10_000


def test_show_refuses_what_it_does_not_know(tmp_path, voice):
    with pytest.raises(UnknownNameError, match="unknown panel 'cepstrum'"):
        plots.show(voice, panels=["cepstrum"])
    with pytest.raises(AudioError, match="no such file"):
        plots.show(tmp_path / "absent.wav")


@pytest.mark.parametrize("name", results.__all__)
def test_svg_is_well_formed_repeatable_and_follows_the_page(name):
    svg = plots.to_svg(lambda ax: draw(name, ax))
    assert svg == plots.to_svg(lambda ax: draw(name, ax))
    ET.fromstring(svg)
    assert "var(--" in svg
    assert "http" not in svg.replace("http://www.w3.org/", "")


@pytest.mark.parametrize(("theme", "number"), [(LIGHT, 0), (DARK, 1)])
def test_emotions_stay_apart_for_every_kind_of_colour_vision(theme, number):
    colours = {name: to_rgb(pair[number]) for name, pair in EMOTION_COLOURS.items()}
    assert set(colours) == set(EMOTIONS)
    for vision in VISIONS.values():
        seen = {name: oklab(vision @ linear(rgb)) for name, rgb in colours.items()}
        for a, b in itertools.combinations(seen, 2):
            assert np.linalg.norm(seen[a] - seen[b]) > 0.08, (a, b)
    paper = luminance(to_rgb(theme.background))
    for name, rgb in colours.items():
        light, dark = sorted([luminance(rgb), paper])[::-1]
        assert (light + 0.05) / (dark + 0.05) > 2.1, name


#: Severe dichromacy in linear RGB: G. Machado, M. Oliveira, L. Fernandes, IEEE TVCG 15(6), 2009.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "tritanopia": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}


def linear(rgb):
    rgb = np.asarray(rgb)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(rgb):
    return linear(rgb) @ [0.2126, 0.7152, 0.0722]


def oklab(rgb):
    """Perceptually even colour space: B. Ottosson, 2020, https://bottosson.github.io/posts/oklab."""
    lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ) @ np.clip(rgb, 0, 1)
    return np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    ) @ np.cbrt(lms)
