"""Where the time of feature extraction goes, with the kernel and without it, and what bounds it."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import scipy.fft

import feature_systems as systems

N_FFT, HOP, BLOCK = 2048, 512, 32


def stages(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Seconds of processor time of every stage of one clip's 193 values."""
    from emoscope import features
    from emoscope.audio import Signal
    from emoscope.features import filters, harmonic, tonnetz
    from emoscope.features.spectrum import Spectrum

    spent: dict[str, float] = {}

    def take(name, function):
        start = time.process_time()
        result = function()
        spent[name] = spent.get(name, 0.0) + time.process_time() - start
        return result

    spectrum = Spectrum(Signal(samples, rate))
    take("window, FFT and magnitude", lambda: spectrum.magnitude)
    take("mel bands", spectrum.mel_power)
    take("MFCC and means", lambda: [features.get(n).extract(spectrum) for n in ("mfcc", "mel")])
    take("peaks", lambda: spectrum.peaks)
    tuning = take("tuning", spectrum.tuning)
    filters.chroma_filters(rate, N_FFT, tuning)
    take("chroma, tuning again", lambda: features.get("chroma").extract(spectrum))
    take("contrast", lambda: features.get("contrast").extract(spectrum))
    take("medians", lambda: _medians(spectrum.magnitude))
    part = take("separation, medians included", lambda: harmonic.harmonic_part(spectrum))
    again = Spectrum(part)
    take("FFT of the harmonic part", lambda: again.magnitude)
    fine = take("its tuning", lambda: again.tuning(tonnetz.BINS_PER_OCTAVE))
    tonnetz.octave_filters(rate, fine)
    take("constant-Q, resampling included", lambda: tonnetz.constant_q_chroma(part, fine))
    take("resampling", lambda: _halve(part.samples))
    return spent


def _halve(samples):
    from emoscope.features import tonnetz

    for _ in range(tonnetz.N_OCTAVES):
        samples = tonnetz._reduce(samples, 2)


def _medians(magnitude):
    from emoscope.features import harmonic, kernel

    if not kernel.is_used():
        harmonic.running_median(magnitude, size=31)
        harmonic.running_median(magnitude.T, size=31)
        return
    out = np.empty_like(magnitude)
    kernel.call("medians", magnitude, *magnitude.shape, out)
    turned = np.ascontiguousarray(magnitude.T)
    kernel.call("medians", turned, *turned.shape, np.empty_like(turned))


def transforms() -> dict[str, object]:
    """Real FFTs over the rows of a matrix: every library that is installed."""
    found = {
        "NumPy, float64": np.fft.rfft,
        "SciPy, float64": scipy.fft.rfft,
        "SciPy, float32": lambda x, axis: scipy.fft.rfft(x.astype(np.float32), axis=axis),
    }
    if importlib.util.find_spec("pyfftw"):
        import pyfftw

        plans = {}

        def fftw(x, axis):
            if x.shape not in plans:
                held = pyfftw.empty_aligned(x.shape, dtype=x.dtype)
                plans[x.shape] = pyfftw.builders.rfft(held, axis=axis, threads=1)
            return plans[x.shape](x)

        found["FFTW, float64"] = fftw
    if importlib.util.find_spec("mkl_fft"):
        import mkl_fft

        found["MKL, float64"] = lambda x, axis: mkl_fft.rfft(x, axis=axis)
    return found


def ffts(n_frames: int, transform, values: int) -> None:
    """The transforms that the values need: one of each frame, or with tonnetz three and seven halves."""
    # The inverse costs what the forward transform does.
    for size, count in ((N_FFT, 1),) if values == 180 else ((N_FFT, 3), (N_FFT // 2, 7)):
        rows = np.random.default_rng(0).normal(size=(BLOCK, size))
        for _ in range(count):
            for first in range(0, n_frames, BLOCK):
                transform(rows[: min(BLOCK, n_frames - first)], axis=1)


def time_stages(clips: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Medians over rounds, in seconds per clip: each stage in both ways, decoding, the FFTs alone."""
    from emoscope.features import kernel

    signals, found = [systems.read(clip) for clip in clips], kernel.library
    counts = [1 + len(samples) // HOP for samples, _ in signals]
    ways = {"with the kernel": found, "with NumPy": lambda: None}
    made: dict[str, dict[str, list[float]]] = {name: {} for name in (*ways, "FFT 180", "FFT 193")}
    for counted in [False] + [True] * rounds:
        for way, library in ways.items():
            kernel.library = library
            each = [stages(*signal) for signal in signals]
            kernel.library = found
            for name in each[0] if counted else ():
                made[way].setdefault(name, []).append(np.mean([spent[name] for spent in each]))
        for values in (180, 193):
            for name, transform in transforms().items():
                start = time.process_time()
                for n_frames in counts:
                    ffts(n_frames, transform, values)
                took = (time.process_time() - start) / len(counts)
                if counted:
                    made[f"FFT {values}"].setdefault(name, []).append(took)
    return {a: {b: float(np.median(c)) for b, c in rows.items()} for a, rows in made.items()}


def limit(staged: dict, table: dict) -> dict[str, dict[str, float | str]]:
    """Decoding and the fastest FFT in double precision, against emoscope from a file."""
    decoding, found = table["decoding"]["ms"], {}
    for values in (180, 193):
        exact = {n: s for n, s in staged[f"FFT {values}"].items() if "float64" in n}
        best = min(exact, key=exact.get)
        ours = table[f"emoscope, {values} values"]["ms"] + decoding
        fft = 1e3 * exact[best]
        found[str(values)] = {
            "decoding": decoding, "fft": fft, "library": best, "emoscope": ours,
            "multiple": ours / (decoding + fft),
        }  # fmt: skip
    return found


def as_markdown(staged: dict, bounds: dict) -> list[str]:
    """Two tables."""
    lines = ["## Where the time goes", "", "Milliseconds of processor time per clip.", ""]
    lines += ["| stage | with NumPy | with the kernel | times faster |", "|---|--:|--:|--:|"]
    for name, compiled in staged["with the kernel"].items():
        plain = staged["with NumPy"][name]
        lines.append(
            f"| {name} | {1e3 * plain:.2f} | {1e3 * compiled:.2f} | {plain / compiled:.1f} |"
        )
    lines += ["", "## Distance to the limit", ""]
    lines += [
        "Decoding and the Fourier transforms alone, in double precision by the fastest library "
    ]
    lines[-1] += "here, against emoscope from a file; milliseconds of processor time per clip."
    lines += ["", "| values | decoding | FFTs alone | their sum | emoscope | multiple |"]
    lines += ["|--:|--:|--:|--:|--:|--:|"]
    for values, row in bounds.items():
        least = row["decoding"] + row["fft"]
        lines.append(
            f"| {values} | {row['decoding']:.2f} | {row['fft']:.2f} ({row['library']}) | {least:.2f} "
            f"| {row['emoscope']:.2f} | {row['multiple']:.2f} |"
        )
    lines += ["", "| FFTs alone, ms | for 180 values | for 193 values |", "|---|--:|--:|"]
    for name, seconds in staged["FFT 180"].items():
        lines.append(f"| {name} | {1e3 * seconds:.2f} | {1e3 * staged['FFT 193'][name]:.2f} |")
    return [*lines, ""]
