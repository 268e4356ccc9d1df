"""A recording as one self-contained HTML page: its summary, lanes by speaker, curves, and the sound.

The sound is Opus in pieces; of a recording too long for :data:`MAX_SOUND` only what the page lists.
"""

import base64
import contextlib
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from .. import audio
from ..audio import Excerpt, Signal, parse_channel
from ..errors import AudioError
from ..files import printable
from ..labels import in_order
from ..prediction.prediction import Prediction
from ..prediction.summary import Summary, clock, lanes
from . import plots
from .page import rendered

Waves: TypeAlias = "Mapping[str, NDArray[np.float32]]"
Span: TypeAlias = "tuple[float, float]"
Progress: TypeAlias = "Callable[[int, int], None]"

MAX_SOUND = 15_500_000  # characters of all sound in the page, which stays below 20 MB
RATE, PIECE = 12_000, 300.0  # Hz; seconds
BITS = (8_200.0, 24_000.0)  # a second, at least, for Opus has none below, and at most
BESIDE = (1.0, 5.0)  # seconds that are heard around a moment, and beside a turning point
CELLS, MAX_CELLS = 100, 100_000  # of a waveform, in a second and at most


def render(
    prediction: Prediction, path: str, waves: Waves, *,
    sign: str = "", progress: Progress = lambda done, total: None,
) -> str:  # fmt: skip
    """The page of a prediction with a summary, of the recording at `path`, with its waveforms."""
    by_lane, summary = lanes(prediction), prediction.summary
    assert summary is not None
    spans, whole = _spans(summary)
    return rendered(
        "recording.html.j2", "recording.js", prediction=prediction, summary=summary, lanes=by_lane,
        emotions=in_order(part.emotion for parts in by_lane.values() for part in parts),
        waves={name: _characters(wave) for name, wave in waves.items()}, palettes=plots.palettes(),
        sounds=_sounds(path, prediction, spans, progress), whole=whole, sign=sign, clock=clock,
        name=printable(path).replace("\\", "/").rpartition("/")[2],
    )  # fmt: skip


def waveforms(prediction: Prediction, path: str) -> Waves:
    """The peaks of equal parts of each channel that was classified by itself, else of the mix."""
    return {one.channel: _peaks(path, parse_channel(one.channel)) for one in prediction.each}


def _peaks(path: str, channel: int | None) -> NDArray[np.float32]:
    loudest, times, start = [np.zeros(1, np.float32)], [np.zeros(1)], 0
    with contextlib.suppress(AudioError):  # what the whole tells was said of its prediction
        for block in audio.blocks(Excerpt(path, channel=channel)):
            firsts = np.arange(0, len(block.samples), max(1, block.rate // (2 * CELLS)))
            loudest.append(np.maximum.reduceat(np.abs(block.samples), firsts))
            times.append((start + firsts) / block.rate)
            start += len(block.samples)
    at, end = np.concatenate(times), start / block.rate if start else 1.0
    peaks = np.zeros(min(MAX_CELLS, max(1, round(CELLS * end))), np.float32)
    np.maximum.at(peaks, (at / end * len(peaks)).astype(int), np.concatenate(loudest))
    return peaks


def _characters(peaks: NDArray[np.float32]) -> str:
    """The roots of peaks, so that quiet speech shows, as bytes in base64."""
    values = 255.0 * np.sqrt(peaks / max(float(np.percentile(peaks, 99.9)), 1e-6))
    return base64.b64encode(np.minimum(values.round(), 255.0).astype(np.uint8).tobytes()).decode()


def _spans(summary: Summary) -> tuple[list[Span], bool]:
    """From when to when there is sound in the page, and whether that is everything."""
    end = summary.seconds
    if end * BITS[0] / 6 <= MAX_SOUND:  # a character of base64 is 6 bits
        return list(itertools.pairwise([*np.arange(0.0, end, PIECE).tolist(), end])), True
    around = [(m.start - BESIDE[0], m.end + BESIDE[0]) for m in summary.moments]
    around += [(turn.time - BESIDE[1], turn.time + BESIDE[1]) for turn in summary.turns]
    return sorted((max(0.0, start), min(stop, end)) for start, stop in around), False


def _sounds(
    path: str, prediction: Prediction, spans: Sequence[Span], progress: Progress
) -> list[tuple[float, float, str]]:
    """Start, end and base64 of each piece; none where this libsndfile cannot write Opus."""
    bits = 6 * MAX_SOUND / max(1.0, sum(end - start for start, end in spans))
    level = 1.0 - (0.9 * min(BITS[1], bits) - 6_000.0) / 250_000.0  # libsndfile: 6 to 256 kbit/s
    form = {"format": "OGG", "subtype": "OPUS", "compression_level": min(1.0, level)}

    def encoded(piece: tuple[int, Signal | AudioError]) -> Iterator[tuple[float, float, str]]:
        number, signal = piece
        if isinstance(signal, Signal):  # and not an error, such as silence
            buffer, start = io.BytesIO(), spans[number][0]
            soundfile.write(buffer, audio.resample(signal, RATE).samples, RATE, **form)
            yield start, start + signal.duration, base64.b64encode(buffer.getvalue()).decode()

    found: list[tuple[float, float, str]] = []
    parts = [Excerpt(path, *span, parse_channel(prediction.channel)) for span in spans]
    pieces = audio.cut(path, parts if "OPUS" in soundfile.available_subtypes("OGG") else [])
    progress(0, len(spans))
    with ThreadPoolExecutor(2) as pool:
        while batch := list(itertools.islice(pieces, 2)):  # few at a time: memory stays small
            found += itertools.chain(*pool.map(list, map(encoded, batch)))
            progress(len(found), len(spans))
    return sorted(found)
