"""What a server has done, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from pasctl.generation.engine import EngineCounts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """EngineCounts requests by path, status and duration; used by one thread."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is one of few."""
        self._requests[path, status] += 1
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def render(self, counts: EngineCounts) -> str:
        """All metrics, those of the engine among them."""
        requests = ((f'path="{path}",status="{status}"', n) for (path, status), n in sorted(self._requests.items()))
        outcomes = ((f'outcome="{name}"', n) for name, n in sorted(counts.outcomes.items()))
        lines = [
            *_family("requests_total", "counter", "Requests answered.", requests),
            *_family("texts_total", "counter", "Texts by how they ended.", outcomes),
            *_family("queue_length", "gauge", "Requests that wait.", [("", counts.waiting)]),
            *_family("running", "gauge", "Texts that are written.", [("", counts.running)]),
            *_family("forward_passes_total", "counter", "Forward passes.", [("", counts.passes)]),
            *_family("forward_tokens_total", "counter", "Tokens run in them.", [("", counts.tokens_run)]),
            *_family("tokens_written_total", "counter", "Tokens chosen.", [("", counts.tokens_written)]),
            *self._histogram(),
        ]
        return "\n".join([*lines, ""])

    def _histogram(self) -> list[str]:
        name, total, lines = "pasctl_request_seconds", 0, []
        for bound, count in zip([*_BOUNDS, "+Inf"], self._buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        head = [f"# HELP {name} Seconds until a request was answered in full.", f"# TYPE {name} histogram"]
        return [*head, *lines, f"{name}_sum {self._seconds:.6f}", f"{name}_count {total}"]


def _family(name: str, kind: str, told: str, values: Iterable[tuple[str, int]]) -> list[str]:
    name = f"pasctl_{name}"
    samples = [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values]
    return [f"# HELP {name} {told}", f"# TYPE {name} {kind}", *samples]
