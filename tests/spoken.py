"""Predictions made up for tests: recordings of any length, of one channel or of a call."""

from __future__ import annotations

import dataclasses

import numpy as np

from emoscope.labels import EMOTIONS
from emoscope.prediction import Prediction, Segment, formats
from emoscope.prediction.prediction import NON_SPEECH, SILENCE
from emoscope.prediction.summary import summarised


def said(start, end, emotion, speaker="", *, sure=0.9, uncertain=False):
    """A segment of speech: the rest of the probability is neutral, or sad where it is neutral."""
    rest = "sad" if emotion == "neutral" else "neutral"
    chances = dict.fromkeys(EMOTIONS, 0.0) | {emotion: sure, rest: 1.0 - sure}
    return Segment(start, end, emotion, sure, chances, speaker, uncertain)


def quiet(start, end, *, sounding=False):
    return Segment(start, end, NON_SPEECH if sounding else SILENCE, 1.0, {})


def prediction(*segments, **more):
    """One recording of those segments, with its summary."""
    whole = ("talk.wav", "neutral", 0.5, dict.fromkeys(EMOTIONS, 1 / 9), False)
    return summarised(Prediction(*whole, segments=tuple(segments), **more))


def random_segments(seconds, *, seed=0, speakers=("",)):
    """Speech and pauses of natural lengths, every third segment uncertain."""
    rng, segments, time = np.random.default_rng(seed), [], 0.0
    while time < seconds:
        pause, length = rng.uniform(0.3, 3.0), rng.uniform(1.0, 6.0)
        segments.append(quiet(time, min(time + pause, seconds), sounding=rng.random() < 0.2))
        start, end = min(time + pause, seconds), min(time + pause + length, seconds)
        if end - start > 0.1:
            emotion, speaker = rng.choice(EMOTIONS), rng.choice(speakers)
            doubt = bool(rng.random() < 0.33)
            segments.append(said(start, end, str(emotion), str(speaker), uncertain=doubt))
        time = end
    return segments


def call(left, right):
    """Two channels with those segments, with their summary."""
    whole = prediction(*left)
    each = (
        dataclasses.replace(whole, channel=side, segments=tuple(parts), summary=None)
        for side, parts in (("left", left), ("right", right))
    )
    return summarised(dataclasses.replace(whole, summary=None, channels=tuple(each)))


def csv_of(found: Prediction, emotions, *, timeline: bool, model: str = "") -> str:
    """A whole CSV table of one recording."""
    layout = formats.Layout(emotions, model, timeline=timeline)
    return formats.csv_header(layout) + formats.text_of(found, "csv", layout)
