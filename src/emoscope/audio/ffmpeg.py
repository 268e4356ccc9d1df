"""Decodes with FFmpeg what libsndfile cannot: the sound of video files, M4A, WebM, WMA, AMR …

The program ``ffmpeg`` is used where it is installed, else the package ``av`` (PyAV), in a process of
its own, for a damaged file can crash FFmpeg's decoders: this very file run as a program, which imports
nothing of emoscope. The sound arrives through a pipe as a Sun AU stream of big-endian 32-bit floats.
"""

import importlib.util
import os
import shutil
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

if __name__ != "__main__":
    from ..errors import AudioError

if TYPE_CHECKING:
    import subprocess

    import numpy as np
    from numpy.typing import NDArray

    Blocks = Iterator[tuple[NDArray[np.float32], int]]

#: FFmpeg's demuxers of containers that hold their recording inside the file itself.
CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,live_flv,matroska,webm,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,rm,tak,tta,w64,wav,wv"
)

PATIENCE = 120.0  # seconds that FFmpeg may take for the next block of sound
_AU_HEADER = struct.Struct(">4s5I")  # magic, offset of the samples, size, encoding, rate, channels
_BLOCK_BYTES = 2**20
_NO_SOUND = "holds no sound"


def decode(path: str) -> "Blocks":
    """Samples (n_samples, n_channels), with their rate, of a local file's first sound stream."""
    url = f"file:{os.path.abspath(path)}"
    program = shutil.which("ffmpeg")
    if program:
        command = [program, "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file"]
        command += ["-format_whitelist", CONTAINERS, "-i", url]
        command += ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    elif importlib.util.find_spec("av"):
        command = [sys.executable, "-I", __file__, url]
    else:
        hint = "for video and more audio formats, install the program ffmpeg or the Python package 'av'"
        raise AudioError(path, f"not audio that libsndfile can read; {hint}")
    yield from _run(command, path, url)


def _run(command: Sequence[str], path: str, url: str) -> "Blocks":
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        )
        assert process.stdout is not None
        kind = "not audio, damaged, or in an unknown format"
        try:
            for block in _in_time(_au_blocks(process.stdout), path, process):
                kind = "damaged or truncated"
                yield block
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        messages.seek(0)
        said = messages.read(100_000).decode(errors="replace")
    if process.returncode < 0:
        raise AudioError(path, "damaged: the decoder crashed on it")
    # A Matroska file that breaks off is no error to FFmpeg, only a remark.
    if process.returncode or "ended prematurely" in said:
        reason = said.replace(url, "the file").strip().splitlines()[-1:] or ["nothing"]
        is_mute = reason[0] == _NO_SOUND or "matches no streams" in said
        raise AudioError(path, _NO_SOUND if is_mute else f"{kind}; ffmpeg reports: {reason[0]}")


def _in_time(blocks: "Blocks", path: str, process: "subprocess.Popen[bytes]") -> "Blocks":
    """The blocks, then the end, each in time: a damaged file can keep a decoder busy for ever."""
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        process.kill()

    while True:
        timer = threading.Timer(PATIENCE, give_up)
        timer.daemon = True
        timer.start()
        try:
            block = next(blocks, None)
            if block is None:
                process.wait()
        finally:
            timer.cancel()
        if is_late.is_set():
            raise AudioError(path, f"damaged: the decoder returned no audio within {PATIENCE:g} s")
        if block is None:
            return
        yield block


def _au_blocks(stream: IO[bytes]) -> "Blocks":
    """Samples and rate of an AU stream of big-endian 32-bit floats."""
    import numpy as np

    header = stream.read(_AU_HEADER.size)
    if len(header) < _AU_HEADER.size:
        return
    _, offset, _, _, rate, channels = _AU_HEADER.unpack(header)
    stream.read(offset - _AU_HEADER.size)
    frame_bytes = 4 * channels
    while content := stream.read(max(1, _BLOCK_BYTES // frame_bytes) * frame_bytes):
        whole = content[: len(content) - len(content) % frame_bytes]
        if whole:
            yield np.frombuffer(whole, ">f4").astype(np.float32).reshape(-1, channels), rate


def _write_au(url: str) -> None:
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    with av.open(url, options=options, metadata_errors="replace") as source:
        if not source.streams.audio:
            raise ValueError(_NO_SOUND)
        with av.open(sys.stdout.buffer, "w", format="au") as sink:
            stream = None
            for frame in source.decode(audio=0):
                layout, frame.pts = frame.layout.name, None
                stream = stream or sink.add_stream("pcm_f32be", frame.sample_rate, layout=layout)
                sink.mux(stream.encode(frame))
            sink.mux(stream.encode(None) if stream else [])


def _main() -> int:
    """Decode the file named on the command line; 1 and the reason in one line when it cannot be."""
    try:
        _write_au(sys.argv[1])
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader needs no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Exception as error:  # every decoder brings exceptions of its own
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        print(" ".join(reason.split())[:300], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
