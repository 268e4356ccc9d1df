"""Workers of a Dask cluster, which have emoscope installed and see the recordings under the same names."""

import time
from concurrent.futures import Future
from typing import Any

from ..errors import EmoscopeError, installed
from . import Reply, work

CHUNKS_PER_THREAD = 2  # one at work, one on its way
START_SECONDS = 30  # to wait for the scheduler, and for its first worker
SIZE_SECONDS = 5.0  # to believe the cluster's size, for workers may come and go


class ClusterWorkers:
    """The workers of a running Dask cluster, working on one task."""

    hint = "; is the same version of emoscope installed on the cluster?"

    def __init__(self, task: bytes, address: str) -> None:
        distributed = installed("distributed", "a cluster", "cluster")
        self.death: type[Exception] = distributed.KilledWorker
        self._task = task
        try:
            self._client = distributed.Client(
                address, timeout=START_SECONDS, set_as_default=False, name="emoscope"
            )
        except (OSError, ValueError) as error:
            raise EmoscopeError(f"no Dask scheduler answers at {address}: {error}") from error
        try:
            self._client.wait_for_workers(1, timeout=START_SECONDS)
        except TimeoutError as error:
            self._client.close()
            raise EmoscopeError(f"the Dask cluster at {address} has no workers") from error
        self._executor = self._client.get_executor(pure=False)
        self._size, self._size_known_at = 1, -float("inf")

    @property
    def size(self) -> int:
        """How many chunks are to be under way; workers may be about to start."""
        if time.monotonic() - self._size_known_at > SIZE_SECONDS:
            self._size = CHUNKS_PER_THREAD * max(1, sum(self._client.nthreads().values()))
            self._size_known_at = time.monotonic()
        return self._size

    def submit(self, items: list[Any]) -> "Future[Reply]":
        """Hand a chunk's items to the scheduler."""
        future: Future[Reply] = self._executor.submit(work, self._task, items)
        return future

    def stop(self, *, is_idle: bool) -> None:
        """Cancel what is under way and disconnect; the cluster itself goes on."""
        self._executor.shutdown(wait=False)
        self._client.close()
