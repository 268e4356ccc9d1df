"""Figures of one clip: time runs to the right in s; magnitudes are in dB below the loudest point."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...audio import Signal, f0_energy, load
from ...features.chroma import PITCH_CLASSES, Chroma
from ...features.mfcc import Mfcc
from ...features.spectrum import Spectrum
from ...files import printable
from .style import colour_map, own_axes, style, theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PANELS", "chroma", "energy", "log_spectrogram", "logmel", "mfcc", "pitch", "show"]
__all__ += ["spectrogram", "waveform"]

RANGE_DB = 80.0  # what is shown of loudness below a clip's loudest point
MIN_HZ = 62.5  # of the logarithmic spectrogram, below the lowest voice
OUTLINE = 1200  # columns of a waveform: more than a screen has pixels for one clip
MAX_STEP = 0.25  # octaves from frame to frame, up to which pitches are joined by a line
PITCH_TICKS = (60, 80, 100, 150, 200, 300, 400, 600, 800)
SILENT_DB = 50.0  # moments this far below the loudest have no pitch class, only noise


def waveform(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw the samples' outline: lowest and highest value of each moment."""
    ax = own_axes(ax)
    step = max(1, len(signal.samples) // OUTLINE)
    starts = np.arange(0, len(signal.samples), step)
    low = np.minimum.reduceat(signal.samples, starts)
    high = np.maximum.reduceat(signal.samples, starts)
    ax.fill_between(starts / signal.rate, low, high, color=theme().accent, linewidth=0.4)
    reach = 1.05 * max(float(np.abs(signal.samples).max()), 1e-6)
    ax.set(ylim=(-reach, reach), ylabel="amplitude")
    return _time_axis(ax, signal)


def energy(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw loudness over time in dB re full scale."""
    ax = own_axes(ax)
    loudness, times = f0_energy.energy(signal), f0_energy.times(signal)
    floor = max(float(loudness.max()) - RANGE_DB, f0_energy.FLOOR_DB)
    shown = np.maximum(loudness, floor)
    ax.fill_between(times, floor, shown, color=theme().accent, alpha=0.2, lw=0)
    ax.plot(times, shown, color=theme().accent)
    ax.set(ylim=(floor, float(loudness.max()) + 3.0), ylabel="energy, dB")
    ax.grid(axis="y")
    return _time_axis(ax, signal)


def pitch(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw the fundamental frequency over time, in Hz, where there is one."""
    ax = own_axes(ax)
    hertz, times = f0_energy.f0(signal), f0_energy.times(signal)
    line = hertz.copy()
    with np.errstate(invalid="ignore"):
        line[1:][np.abs(np.diff(np.log2(hertz))) > MAX_STEP] = np.nan
    ax.plot(times, hertz, ".", color=theme().warn, markersize=3)
    ax.plot(times, line, color=theme().warn)
    voiced = hertz[np.isfinite(hertz)]
    low, high = (voiced.min() / 1.2, voiced.max() * 1.2) if len(voiced) else (75.0, 500.0)
    ax.set(yscale="log", ylim=(low, high), ylabel="pitch, Hz")
    ax.set_yticks(PITCH_TICKS, [str(f) for f in PITCH_TICKS])
    ax.set_yticks([], minor=True)
    ax.set(ylim=(low, high))
    ax.grid(axis="y")
    return _time_axis(ax, signal)


def spectrogram(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw magnitudes over time and frequency, the frequency linear in kHz."""
    decibels = _decibels(Spectrum(signal).magnitude)
    return _image(ax, signal, decibels, "frequency, kHz", (0.0, signal.rate / 2000.0))


def log_spectrogram(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw magnitudes over time and frequency, the frequency logarithmic: octaves are alike."""
    # A long window, so that the harmonics of a low voice stay apart.
    spectrum = Spectrum(signal, n_fft=4096)
    octaves = np.linspace(np.log2(MIN_HZ), np.log2(signal.rate / 2.0), 400)
    bins = 2.0**octaves * spectrum.n_fft / signal.rate
    below = np.minimum(bins.astype(np.intp), spectrum.n_bins - 2)
    share = (bins - below).astype(np.float32)
    magnitude = spectrum.magnitude
    between = magnitude[:, below] * (1 - share) + magnitude[:, below + 1] * share
    reach = (float(octaves[0]), float(octaves[-1]))
    ax = _image(ax, signal, _decibels(between), "frequency, Hz", reach)
    ticks = [f for f in (62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16000) if f < signal.rate / 2]
    ax.set_yticks(np.log2(ticks), [f"{f / 1000:g}k" if f >= 1000 else f"{f:g}" for f in ticks])
    return ax


def logmel(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw the log-mel spectrogram: 128 bands as wide as hearing resolves them."""
    magnitude = np.sqrt(Spectrum(signal).mel_power(128))
    return _image(ax, signal, _decibels(magnitude), "mel band", (0.5, 128.5))


def mfcc(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw the mel-frequency cepstral coefficients 2 to 40; the first is loudness and left out."""
    coefficients = Mfcc().frames(Spectrum(signal))[:, 1:]
    reach = float(np.quantile(np.abs(coefficients), 0.995)) or 1.0
    options = {"cmap": colour_map(theme().signed), "vmin": -reach, "vmax": reach}
    return _image(ax, signal, coefficients, "MFCC", (1.5, 40.5), **options)


def chroma(signal: Signal, *, ax: Axes | None = None) -> Axes:
    """Draw each pitch class relative to the loudest of its moment; silence is left blank."""
    spectrum = Spectrum(signal)
    power = (spectrum.magnitude**2).sum(axis=1, keepdims=True)
    audible = power > power.max() * 10.0 ** (-SILENT_DB / 10.0)
    classes = np.where(audible, Chroma().frames(spectrum), 0.0)
    ax = _image(ax, signal, classes, "pitch class", (-0.5, 11.5), vmin=0.0, vmax=1.0)
    ax.set_yticks(range(0, 12, 2), [name.replace("#", "♯") for name in PITCH_CLASSES[::2]])
    return ax


#: The figures of a clip by name, in the order in which :func:`show` stacks them.
PANELS: Mapping[str, Callable[..., Axes]] = {
    draw.__name__.replace("_", "-"): draw
    for draw in (waveform, spectrogram, log_spectrogram, logmel, mfcc, chroma, pitch, energy)
}
MEMBERS = PANELS
SHOWN = ("waveform", "spectrogram", "log-spectrogram", "logmel", "pitch", "energy")


def show(
    paths: str | os.PathLike[str] | Signal | Sequence[str | os.PathLike[str] | Signal], *,
    panels: Sequence[str] = SHOWN, titles: Sequence[str] | None = None, dark: bool = False,
) -> Figure:  # fmt: skip
    """Draw one or several clips side by side, each a column of panels over one time axis."""
    from . import registry

    listed = [paths] if isinstance(paths, (str, os.PathLike, Signal)) else list(paths)
    draws = [registry.get(name) for name in panels]
    signals = [clip if isinstance(clip, Signal) else load(clip) for clip in listed]
    titles = titles or [printable(Path(signal.path).name) or "recording" for signal in signals]
    with style(dark):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        size = (1.6 + 5.4 * len(signals), 0.5 + 1.55 * len(panels))
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        FigureCanvasAgg(figure)
        heights = [0.75 if name in ("waveform", "pitch", "energy") else 1.25 for name in panels]
        shape = (len(panels), len(signals))
        grid = figure.subplots(*shape, sharex=True, squeeze=False, height_ratios=heights)
        for column, (signal, title) in enumerate(zip(signals, titles, strict=True)):
            for row, draw in enumerate(draws):
                draw(signal, ax=grid[row, column])
            grid[0, column].set_title(title)
        # What is compared side by side has one scale.
        grid[0, 0].set_xlim(0, max(signal.duration for signal in signals))
        for row_axes in grid:
            lows, highs = zip(*(ax.get_ylim() for ax in row_axes), strict=True)
            for ax in row_axes:
                ax.set_ylim(min(lows), max(highs))
                ax.label_outer()
    return figure


def _decibels(magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    share = magnitude / max(float(magnitude.max()), 1e-10)
    decibels = 20.0 * np.log10(np.maximum(share, 10.0 ** (-RANGE_DB / 20.0)))
    return np.asarray(decibels, dtype=np.float32)


def _image(
    ax: Axes | None, signal: Signal, frames: NDArray[np.float32], ylabel: str,
    reach: tuple[float, float], **options: Any,
) -> Axes:  # fmt: skip
    ax = own_axes(ax)
    options = {"cmap": colour_map(theme().heat), **options}
    extent = (0.0, signal.duration, *reach)
    ax.imshow(frames.T, origin="lower", aspect="auto", extent=extent, **options)
    ax.spines[:].set_visible(False)
    ax.set(ylabel=ylabel)
    return _time_axis(ax, signal)


def _time_axis(ax: Axes, signal: Signal) -> Axes:
    ax.set(xlim=(0.0, signal.duration), xlabel="time, s")
    return ax
