"""The optional compiled kernel: what the functions beside it compute with NumPy, several times faster.

Its source is ``src/kernel``; wheels for Linux and macOS have it, and an installation from source builds it
where there is a C++ compiler. Without it, and with ``EMOSCOPE_KERNEL=0``, NumPy does the work.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernel, loaded at its first use, or None."""
    if os.environ.get("EMOSCOPE_KERNEL") == "0":
        return None
    try:
        found = ctypes.CDLL(str(Path(__file__).parents[1] / "data" / "kernel.so"))
    except OSError:
        return None
    found.peaks.restype = found.lanes.restype = ctypes.c_long
    return found


def is_used(n_fft: int = 2048) -> bool:
    """Whether the kernel is there, and transforms frames of this length: 64 samples, 128, 256 …"""
    return n_fft >= 64 and n_fft & (n_fft - 1) == 0 and library() is not None


def status() -> str:
    """One line on which vectors the features are computed with."""
    found = library()
    return f"compiled, {64 * found.lanes()}-bit vectors" if found else "NumPy (no compiled kernel)"


def call(name: str, *arguments: NDArray[np.generic] | float | None) -> int:
    """Call a function of the kernel; arrays go as pointers, and are to be dense."""
    passed: list[object] = []
    for argument in arguments:
        if argument is None:
            passed.append(None)
        elif isinstance(argument, int):
            passed.append(ctypes.c_long(argument))
        elif isinstance(argument, float):
            passed.append(ctypes.c_double(argument))
        else:
            if not argument.flags.c_contiguous:
                raise ValueError(f"{name}: an array of shape {argument.shape} is not dense")
            passed.append(ctypes.c_void_p(argument.__array_interface__["data"][0]))
    return int(getattr(library(), name)(*passed))
