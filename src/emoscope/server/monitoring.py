"""Counters of the server in the text format of Prometheus.

Only sums are kept: no file name, no address, no label that was recognised.
Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds of the histogram of request times."""


class Monitor:
    """What the server has done since it was started; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._times: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()
        self._recordings: Counter[str] = Counter()
        self._audio_seconds = 0.0
        self.in_flight = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request.

        Parameters
        ----------
        path : str
            The route, not the address as it was sent.
        status : int
        seconds : float
            From its first byte to the last of the answer.
        """
        with self._lock:
            self._requests[path, status] += 1
            counts = self._times.setdefault(path, [0] * (len(BUCKETS) + 1))
            counts[bisect.bisect_left(BUCKETS, seconds)] += 1
            self._sums[path] += seconds  # type: ignore[assignment]

    def recording(self, outcome: str) -> None:
        """Count one recording: ``predicted`` or ``refused``."""
        with self._lock:
            self._recordings[outcome] += 1

    def audio(self, seconds: float) -> None:
        """Count sound that was listened to."""
        with self._lock:
            self._audio_seconds += seconds

    def text(self) -> str:
        """All counters, as Prometheus reads them."""
        with self._lock:
            lines = ["# TYPE emoscope_requests_total counter"]
            lines += [
                f'emoscope_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self._requests.items())
            ]
            lines.append("# TYPE emoscope_request_seconds histogram")
            for path, counts in sorted(self._times.items()):
                total = 0
                for bound, count in zip((*BUCKETS, "+Inf"), counts, strict=True):
                    total += count
                    label = f'path="{path}",le="{bound}"'
                    lines.append(f"emoscope_request_seconds_bucket{{{label}}} {total}")
                lines.append(f'emoscope_request_seconds_sum{{path="{path}"}} {self._sums[path]}')
                lines.append(f'emoscope_request_seconds_count{{path="{path}"}} {total}')
            lines.append("# TYPE emoscope_recordings_total counter")
            lines += [
                f'emoscope_recordings_total{{outcome="{outcome}"}} {count}'
                for outcome, count in sorted(self._recordings.items())
            ]
            lines += ["# TYPE emoscope_audio_seconds_total counter"]
            lines += [f"emoscope_audio_seconds_total {self._audio_seconds}"]
            lines += ["# TYPE emoscope_in_flight gauge", f"emoscope_in_flight {self.in_flight}"]
            resident = _resident_bytes()
            if resident is not None:
                lines += ["# TYPE process_resident_memory_bytes gauge"]
                lines += [f"process_resident_memory_bytes {resident}"]
        return "\n".join(lines) + "\n"


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not tell it in /proc."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return None
