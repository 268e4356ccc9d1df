"""Recognises emotion in any recording: load a model once, then predict as often as you like.

The way of a recording to its label stands in :mod:`emoscope.prediction.predictor`. Nothing here
imports torch, pandas or plots.
"""

import functools

from .prediction import Prediction, Segment
from .predictor import Predictor
from .sources import Source
from .timeline import Stream, Windows

__all__ = ["Prediction", "Predictor", "Segment", "Source", "Stream", "Windows"]
__all__ += ["default_predictor", "predict"]


def predict(
    source: Source, rate: int | None = None, *, channel: str | None = None,
    timeline: bool = False, by: str = "channel", speakers: int | None = None,
) -> Prediction:  # fmt: skip
    """Recognise the emotion of one recording with the shipped model; an AudioError says why not.

    Two channels with different speech are told in a warning, and ``prediction.each`` has the
    prediction of each.

    Parameters
    ----------
    source : str, path-like, Signal or array of shape (n_samples,) or (n_samples, n_channels)
        A file of any format, or samples: floats in [-1, 1], int16 or int32.
    rate : int, optional
        Sample rate of an array in Hz.
    channel : str, optional
        "left", "right", "1", "2" … for one channel, "mix" for all together.
    timeline : bool
        Also divide the recording into labelled segments.
    by : str
        What gives the segments their speaker: "channel", the two channels where they hold different
        speech; "speaker", the voices in one channel, found by their sound, for which the recording is
        read twice; "none".
    speakers : int, optional
        How many voices there are; by default as many as are found.
    """
    return default_predictor().predict(
        source, rate, channel=channel, timeline=timeline, by=by, speakers=speakers
    )


@functools.lru_cache(maxsize=1)
def default_predictor() -> Predictor:
    """The shipped model, loaded when first asked for and then shared."""
    return Predictor()
