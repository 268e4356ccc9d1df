"""A program of its own: decodes the sound of one file with PyAV, as a Sun AU stream on standard output.

Run by :mod:`emoscope.audio.media`. It is a process of its own because a damaged file can crash the
decoders behind PyAV, and a crash must cost that file alone. Arguments: the file, and the containers
that may be opened. It exits with 1 and the reason in one line when the file cannot be decoded.
"""

from __future__ import annotations

import array
import itertools
import os
import struct
import sys

_UNKNOWN_SIZE = 0xFFFFFFFF
_FLOATS = 6  # AU's code for 32-bit floats


def write(url: str, containers: str) -> None:
    """Decode to standard output: big-endian floats, channels interleaved."""
    import av

    out = sys.stdout.buffer
    options = {"protocol_whitelist": "file", "format_whitelist": containers}
    with av.open(url, options=options, metadata_errors="replace") as container:
        if not container.streams.audio:
            raise ValueError("holds no sound")
        packed = av.AudioResampler(format="flt")
        begun = False
        for decoded in itertools.chain(container.decode(audio=0), [None]):
            for frame in packed.resample(decoded):
                channels = frame.layout.nb_channels
                if not begun:
                    header = (24, _UNKNOWN_SIZE, _FLOATS, frame.sample_rate, channels)
                    out.write(b".snd" + struct.pack(">5I", *header))
                    begun = True
                samples = array.array("f", bytes(frame.planes[0])[: 4 * channels * frame.samples])
                if sys.byteorder == "little":
                    samples.byteswap()
                out.write(samples)


def main() -> int:
    """Decode the file named on the command line."""
    try:
        write(*sys.argv[1:3])
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever reads has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Exception as error:  # every decoder brings exceptions of its own
        print(" ".join(str(error).split())[:300] or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
