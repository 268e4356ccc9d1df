"""A Dask cluster of real processes on this machine."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Without these, the three processes at rest take three seconds a minute.
QUIET = {
    "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
}


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder, n_workers, **settings):
        pytest.importorskip("distributed")
        self.processes = []
        self.environment = {
            **os.environ,
            **settings,
            "PYTHONPATH": os.pathsep.join(
                [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            **QUIET,
        }
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            "dask_scheduler", "--port=0", "--no-dashboard", f"--scheduler-file={file}"
        )
        try:
            wait_until(lambda: file.exists() and file.stat().st_size, 120)
        except BaseException:
            self.stop()
            raise
        self.address = json.loads(file.read_text())["address"]
        self.folder = folder
        self.workers = [self._worker() for _ in range(n_workers)]

    def _worker(self):
        return self._start(
            "dask_worker", self.address, "--nthreads=1", "--no-dashboard", "--no-nanny",
            f"--local-directory={self.folder}",
        )  # fmt: skip

    def complete(self):
        """Replace the workers that a test has killed, and wait until all are there."""
        import distributed

        self.workers = [w if w.poll() is None else self._worker() for w in self.workers]
        with distributed.Client(self.address, set_as_default=False) as client:
            wait_until(lambda: len(client.scheduler_info()["workers"]) == len(self.workers))
        return self

    def _start(self, module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=self.environment, stdout=quiet, stderr=quiet)
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
