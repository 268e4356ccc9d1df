"""The speaker encoder: whoever speaks, as 256 values that are close for clips of one voice.

Resemblyzer's (0.1.4, Apache-2.0; Wan et al., ICASSP 2018), with Silero's detector for the silence.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..audio import Signal, resample, voice_activity
from ..features.spectrum import Spectrum

RATE = voice_activity.RATE  # 16 kHz, which both networks expect
SIZE = 256  # values of an embedding
N_FFT, HOP, N_MELS = 400, 160, 40  # 25 ms, 10 ms at 16 kHz
PART = 160  # frames that are embedded at once, 1.6 s; those of a longer recording are averaged
STEP = 77  # frames from one part to the next: 1.3 parts a second, 16000 / 1.3 / 160 = 76.9
COVERAGE = 0.75  # of a last part, which is left out when less of it is speech
LEVEL = -30.0  # dBFS to which quieter recordings are amplified
MOMENT = 5  # frames whose mean power shows noise
QUIETEST, NOISE = 10.0, 2.0  # percentile of these, and the power of the noise as a multiple of it
KEPT = 0.01  # share of the power, at least, that is left: -20 dB
BATCH = 64  # parts at a time, so that memory stays bounded
_PAUSE = 3  # frames of 32 ms that are kept on both sides of speech

Embedding = NDArray[np.float32]


def embed_each(pieces: Sequence[Signal]) -> NDArray[np.float32]:
    """The voices of pieces of :data:`PART` (1.6 s) or less, [shape=(n_pieces, 256)], without their noise."""
    if not pieces:
        return np.zeros((0, SIZE), np.float32)
    levelled = (_amplified(resample(piece, RATE).samples) for piece in pieces)
    parts = np.concatenate([_parts(_mel(samples))[:1] for samples in levelled])
    return _run(_without_noise(parts))


def embed(signal: Signal) -> Embedding:
    """The voice of a recording of one speaker: float32 (256,), not negative, of unit length."""
    samples = _amplified(resample(signal, RATE).samples)
    mean = _run(_parts(_mel(_speech(samples)))).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)


def _amplified(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    level = max(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), 1e-9)
    return np.asarray(samples * np.float32(max(1.0, 10 ** (LEVEL / 20) / level)))


def _run(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    batches = (parts[first : first + BATCH] for first in range(0, len(parts), BATCH))
    network = voice_activity.session("voice_encoder.onnx", optimise=True)
    return np.concatenate([network.run(None, {"mel": batch})[0] for batch in batches])


def _speech(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    speaks = voice_activity.speech_probabilities(samples).speech >= 0.5
    near = np.convolve(speaks, np.ones(2 * _PAUSE + 1), mode="same") > 0.5
    found = samples[np.repeat(near, voice_activity.FRAME)[: len(samples)]]
    return found if len(found) else samples


def _without_noise(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spectral subtraction (Boll, IEEE Trans. ASSP 27(2), 1979) of the quietest moments of each part."""
    moments = parts.reshape(len(parts), -1, MOMENT, N_MELS).mean(axis=2)
    noise = NOISE * np.percentile(moments, QUIETEST, axis=1, keepdims=True)
    return np.asarray(np.maximum(parts - noise, KEPT * parts), dtype=np.float32)


def _mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return Spectrum(Signal(samples, RATE), n_fft=N_FFT, hop=HOP).mel_power(N_MELS)


def _parts(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Overlapping parts of 1.6 s, [shape=(n_parts, 160, 40)]; one that is too short is repeated."""
    if len(mel) < PART:
        return np.resize(mel, (1, PART, N_MELS))
    starts = range(0, max(1, len(mel) - round(COVERAGE * PART) + 1), STEP)
    padded = np.pad(mel, ((0, PART), (0, 0)))
    return np.stack([padded[start : start + PART] for start in starts])
