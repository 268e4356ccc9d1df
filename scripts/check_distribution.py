"""Build wheel and sdist, check them, install the wheel alone and use it: ``make dist``.

For every Python given, a bare environment gets the wheel with the base dependencies and nothing else.
There it must stay small, answer, predict and compare, and name the extra that brings what is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGEST_WHEEL = 40e6
LARGEST_BARE = 450e6  # bytes of everything that a bare installation brings, without bytecode
SIZES = """
import importlib.metadata as metadata, pathlib
total = 0
for found in metadata.distributions():
    files = [pathlib.Path(found.locate_file(file)) for file in found.files or []]
    size = sum(f.stat().st_size for f in files if f.suffix != ".pyc" and f.is_file())
    if found.name not in ("pip", "setuptools"):
        total += size
        print(f"  {size / 1e6:8.1f} MB  {found.name}") if size > 2e6 else None
print(f"  {total / 1e6:8.1f} MB  in all")
raise SystemExit(total > float(__import__("sys").argv[1]))
"""
SPEECH = """
import numpy, soundfile
rng = numpy.random.default_rng(0)
time = numpy.arange(32000) / 16000
voice = sum(numpy.sin(2 * numpy.pi * 140 * n * time) / n for n in range(1, 20))
loud = numpy.clip(numpy.sin(2 * numpy.pi * 2 * time), 0, 1)
soundfile.write("voice.wav", 0.1 * voice * loud + 1e-3 * rng.standard_normal(32000), 16000)
"""
#: Command line → exit status, and a text of standard output or error.
USES = (
    ("--version", 0, "emoscope "),
    ("predict voice.wav --format json", 0, '"probabilities"'),
    ("show voice.wav --out voice.png", 2, "pip install 'emoscope[plots]'"),
    ("extract --features mfcc --out x.parquet .", 2, "pip install 'emoscope[parquet]'"),
    ("train lda --out lda.emoscope", 2, "pip install 'emoscope[onnx]'"),
    ("compare --quick --no-leak-gap --out result", 0, "pip install 'emoscope[deep]'"),
    ("compare --models cnn1d-a --out network", 2, "pip install 'emoscope[deep]'"),
    ("serve", 2, "pip install 'emoscope[serve]'"),
    ("listen", 2, "pip install 'emoscope[listen]'"),
    ("predict voice.wav --model nothing.emoscope", 2, "nothing.emoscope"),
)


def run(*words: object, folder: Path = ROOT) -> None:
    """Run a program; stop when it fails."""
    print("$", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=folder, check=True)


def build(dist: Path) -> Path:
    """Build and check both; the wheel."""
    for old in dist.glob("emoscope-*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist)
    made = sorted(dist.glob("emoscope-*"))
    run(sys.executable, "-m", "twine", "check", "--strict", *made)
    wheel = next(path for path in made if path.suffix == ".whl")
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    for path in made:
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    if wheel.stat().st_size > LARGEST_WHEEL:
        sys.exit(f"{wheel.name} is larger than {LARGEST_WHEEL / 1e6:.0f} MB")
    return wheel


def use(wheel: Path, python: str, extras: str) -> None:
    """Install the wheel with nothing else into a bare environment, and use it there."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder)
        run(python, "-m", "venv", bare / "venv")
        name = f"{wheel}[{extras}]" if extras else wheel
        run(
            bare / "venv/bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            name,
            folder=bare,
        )
        most = "inf" if extras else LARGEST_BARE
        run(bare / "venv/bin/python", "-c", SIZES, most, folder=bare)
        run(bare / "venv/bin/python", "-c", SPEECH, folder=bare)
        environment = {**os.environ, "COLUMNS": "200", "EMOSCOPE_STORE": str(bare / "store")}
        for words, status, says in USES:
            if extras and status == 2 and "emoscope[" in says:
                continue  # it is here now
            done = subprocess.run(
                [bare / "venv/bin/emoscope", *words.split()],
                cwd=bare, env=environment, capture_output=True, text=True,
            )  # fmt: skip
            right = done.returncode == status and says in done.stdout + done.stderr
            print(
                f"  {'ok' if right else 'WRONG'}  emoscope {words}: {done.returncode}", flush=True
            )
            if not right:
                sys.exit(done.stdout + done.stderr)


def main() -> None:
    """Build, check, install, use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", help="repeatable; by default this one")
    parser.add_argument("--extra", default="", help="install with these extras")
    parser.add_argument("--dist", default=str(ROOT / "dist"), help="where the files go")
    parser.add_argument("--only-build", action="store_true", help="install nothing")
    parser.add_argument("--wheel", help="use this one instead of building")
    given = parser.parse_args()
    wheel = Path(given.wheel) if given.wheel else build(Path(given.dist))
    for python in [] if given.only_build else given.python or [sys.executable]:
        use(wheel.resolve(), python, given.extra)


if __name__ == "__main__":
    main()
