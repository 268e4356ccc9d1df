"""Statistics of a whole utterance: how mel levels and cepstra are distributed, move and modulate.

Of speech alone, at one level, in 80 mel bands every 10 ms (:func:`.pretrained.log_mel`):

- ``level_mean, level_std`` of each band, over the three louder quarters of the frames
- ``p10, p50, p90, std`` of each of 30 cepstra
- ``delta_…, accel_std`` of their change over 40 ms, and of that change's change over 40 ms
- ``mod_…``: modulation spectrum of 12 cepstra, 29 bands from 0.4 to 11.7 Hz
- ``corr_…``: correlation of each two of 12 cepstra
- ``energy_std`` of the overall level; ``seconds``: logarithm of the number of frames

After Schuller et al., "The INTERSPEECH 2013 computational paralinguistics challenge", 2013.
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from .. import audio
from ..audio.level import TrimAndNormalise
from . import pretrained
from .base import Feature
from .spectrum import Matrix, Spectrum

N_BANDS, N_CEPSTRA = 80, 30
N_MODULATED = 12  # cepstra whose modulation and correlation are taken: the envelope's coarse shape
STEP = 4  # frames of 10 ms
STILL = 1e-4  # standard deviation of a cepstrum that does not move but for rounding
PIECE = 512  # frames, 5.12 s: the longest piece that one modulation spectrum is taken of
_MOD_FIRST, _MOD_BANDS, _MOD_WIDTH = 2, 29, 2  # in bins of 100 Hz / 512


def _names() -> tuple[str, ...]:
    modulated = range(1, N_MODULATED + 1)
    names = [f"level_{s}_{b:02d}" for s in ("mean", "std") for b in range(1, N_BANDS + 1)]
    of_cepstra = ("p10", "p50", "p90", "std", "delta_std", "accel_std", "delta_size")
    names += [f"{s}_{c:02d}" for s in of_cepstra for c in range(1, N_CEPSTRA + 1)]
    names += [f"mod_{band:02d}_{c:02d}" for band in range(1, _MOD_BANDS + 1) for c in modulated]
    names += [f"corr_{a:02d}_{b:02d}" for a, b in itertools.combinations(modulated, 2)]
    return tuple(f"functionals_{name}" for name in [*names, "energy_std", "seconds"])


class Functionals(Feature):
    """786 statistics of one utterance."""

    name = "functionals"
    columns = _names()

    def extract(self, spectrum: Spectrum) -> Matrix:
        """Statistics of one clip, shape (786,)."""
        samples = audio.resample(spectrum.signal, pretrained.RATE).samples
        prepared = TrimAndNormalise()(samples, pretrained.RATE)
        levels = pretrained.log_mel(prepared, n_mels=N_BANDS).T
        return self._finite(functionals(levels), spectrum)


def functionals(levels: Matrix) -> Matrix:
    """The statistics of log-mel levels [shape=(n_frames, 80)] of at least ``2 * STEP + 1`` frames."""
    energy = levels.mean(axis=1)
    loud = levels[np.argsort(energy, kind="stable")[len(energy) // 4 :]]
    cepstra = dct(levels, norm="ortho", axis=1)[:, :N_CEPSTRA]
    delta = cepstra[STEP:] - cepstra[:-STEP]
    modulated = cepstra[:, :N_MODULATED]
    parts = [
        loud.mean(axis=0),
        loud.std(axis=0),
        *np.percentile(cepstra, (10, 50, 90), axis=0),
        cepstra.std(axis=0),
        delta.std(axis=0),
        (delta[STEP:] - delta[:-STEP]).std(axis=0),
        np.abs(delta).mean(axis=0),
        _modulation(modulated).ravel(),
        _correlation(modulated),
        [energy.std(), np.log(len(levels))],
    ]
    return np.concatenate(parts).astype(np.float32)


def _modulation(cepstra: Matrix) -> NDArray[np.float64]:
    """Mean amplitude of each cepstrum in each modulation band, [shape=(29, n_cepstra)]."""
    spectra = []
    for piece in np.array_split(cepstra, -(-len(cepstra) // PIECE)):
        window = np.hanning(len(piece))[:, np.newaxis]
        amplitude = np.abs(np.fft.rfft((piece - piece.mean(axis=0)) * window, PIECE, axis=0))
        spectra.append(amplitude / len(piece))
    bins = np.mean(spectra, axis=0)[_MOD_FIRST : _MOD_FIRST + _MOD_BANDS * _MOD_WIDTH]
    return np.asarray(bins.reshape(_MOD_BANDS, _MOD_WIDTH, -1).mean(axis=1))


def _correlation(cepstra: Matrix) -> NDArray[np.float64]:
    """Of each two cepstra; 0 where one never changes."""
    centred = cepstra.astype(np.float64) - cepstra.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    moves = length > STILL * np.sqrt(len(cepstra))
    unit = centred * moves / np.where(moves, length, 1.0)
    return np.asarray((unit.T @ unit)[np.triu_indices(cepstra.shape[1], 1)])


MEMBERS = {"functionals": Functionals}
