"""A picture in one file: how often each amplitude occurs, over time as every panel."""

import numpy as np
from matplotlib.axes import Axes

from emoscope.audio import Signal


def histogram(signal: Signal, *, ax: Axes) -> Axes:
    """Draw, for every twentieth of a second, how the amplitudes spread."""
    times = np.arange(len(signal.samples)) / signal.rate
    bins = (max(2, round(20 * signal.duration)), 41)
    ax.hist2d(times, signal.samples, bins=bins)
    ax.set(xlabel="time, s", ylabel="amplitude")
    return ax
