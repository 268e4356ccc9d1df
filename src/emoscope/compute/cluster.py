"""Workers of a Dask cluster, which have emoscope installed and see the recordings under the same names."""

import time
from typing import Any

from ..errors import EmoscopeError, installed
from . import Chunk, Function, Reply, one_thread_for_good, perform

CHUNKS_PER_THREAD = 2  # one at work, one on its way
START_SECONDS = 30  # to wait for the scheduler, and for its first worker
SIZE_SECONDS = 5.0  # to believe the cluster's size, for workers may come and go


class ClusterWorkers:
    """The workers of a running Dask cluster, applying one function."""

    def __init__(self, function: Function, address: str) -> None:
        distributed = installed("distributed", "a cluster", "cluster")
        self._killed: type[Exception] = distributed.KilledWorker
        self._function, self._address = function, address
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
        self._done = distributed.as_completed(loop=self._client.loop)
        self._chunks: dict[Any, Chunk] = {}
        self._size, self._size_known_at = 1, -float("inf")

    @property
    def size(self) -> int:
        """Threads of all workers; at least one, for they may be about to start."""
        if time.monotonic() - self._size_known_at > SIZE_SECONDS:
            self._size = max(1, sum(self._client.nthreads().values()))
            self._size_known_at = time.monotonic()
        return self._size

    def free(self) -> int:
        """How many chunks can be handed over now."""
        return CHUNKS_PER_THREAD * self.size - len(self._chunks)

    def submit(self, chunk: Chunk) -> None:
        """Hand a chunk to the scheduler."""
        future = self._client.submit(_work, self._function, chunk.items, pure=False)
        self._chunks[future] = chunk
        self._done.add(future)

    def collect(self) -> list[tuple[Chunk, Reply | None]]:
        """Wait until something happens; the chunks that ended, with None where workers died."""
        ended = self._done.next_batch()
        return [(self._chunks.pop(future), self._reply(future)) for future in ended]

    def _reply(self, future: Any) -> Reply | None:
        if future.cancelled() or future.status == "lost":
            raise EmoscopeError(f"the connection to the Dask cluster at {self._address} was lost")
        error = future.exception()
        if isinstance(error, self._killed):
            return None
        if error is not None:
            found = f"the workers at {self._address} cannot run the task ({error!r})"
            advice = "is the same version of emoscope installed there?"
            raise RuntimeError(f"{found}; {advice}") from error
        reply: Reply = future.result()
        return reply

    def stop(self) -> None:
        """Cancel what is under way and disconnect; the cluster itself goes on."""
        if self._chunks:
            self._client.cancel(list(self._chunks))
        self._client.close()


def _work(function: Function, items: list[tuple[int, Any]]) -> Reply:
    one_thread_for_good()
    return perform(function, items)
