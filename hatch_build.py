"""Build hook: compile the kernel of the features where there is a compiler, else leave it out.

    python hatch_build.py         compile it for the source tree you stand in, and say so

A wheel with it is for one platform (``py3-none-linux_x86_64``) and any Python, for ctypes loads it and
it knows nothing of Python; a wheel without it is pure (``py3-none-any``). CC, CFLAGS and ARCHFLAGS count.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCE = ROOT / "src" / "kernel" / "kernel.cpp"
MADE = ROOT / "src" / "emoscope" / "data" / "kernel.so"
FLAGS = (
    "-x c++ -std=c++17 -O3 -shared -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti"
    # The same values on every processor: no fused multiply-add but where it is asked for.
    " -ffp-contract=off -fno-math-errno -fno-trapping-math"
)


def compile_kernel() -> str:
    """Compile; what went wrong, or nothing. A kernel of before goes in any case."""
    MADE.unlink(missing_ok=True)
    if sys.platform == "win32":
        return "it needs GCC or Clang with the 64-bit long of Linux and macOS"
    words = [os.environ.get("CC") or "cc", FLAGS]
    words += [os.environ.get(name, "") for name in ("CFLAGS", "ARCHFLAGS")]
    command = [*shlex.split(" ".join(words)), str(SOURCE), "-o", str(MADE), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    if done.returncode:
        MADE.unlink(missing_ok=True)
        said = done.stderr.strip().splitlines()
        errors = [line for line in said if "error" in line] or said
        return f"{command[0]}: {errors[0] if errors else f'exit status {done.returncode}'}"
    return ""


class KernelHook(BuildHookInterface):
    """Called by hatchling for wheels, editable ones included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what the wheel holds and where it runs."""
        if self.target_name != "wheel":
            return
        if trouble := compile_kernel():
            self.app.display_warning(f"features will use NumPy, without the kernel: {trouble}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"], build_data["tag"] = False, f"py3-none-{platform}"
        build_data["artifacts"].append(str(MADE.relative_to(ROOT)))


if __name__ == "__main__":
    sys.exit(compile_kernel() or None)
