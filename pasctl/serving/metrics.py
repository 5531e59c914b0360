"""What a server has done, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pasctl.generation.engine import EngineCounts
from pasctl.generation.prefix_cache import PrefixCounts
from pasctl.generation.stream import Stream

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SHORT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
MOST_PERSONAS = 200
"""Personas with series of their own; more are counted together, so that clients cannot make the list grow."""
NOBODY, OTHER = "none", "other"
"""What stands for a persona where there is none, and for those beyond `MOST_PERSONAS`."""


class Histogram:
    """How often values came, in buckets with upper bounds, for each value of a label."""

    def __init__(self, name: str, told: str, bounds: Sequence[float], label: str = "") -> None:
        """Begin with none; without a label there is one series, which is there from the start."""
        self._name, self._told, self._bounds, self._label = f"pasctl_{name}", told, tuple(bounds), label
        self._series: dict[str, tuple[list[int], list[float]]] = {}
        if not label:
            self._of("")

    def observe(self, value: float, of: str = "") -> None:
        """Count a value in the series of a label's value."""
        buckets, total = self._of(of)
        buckets[bisect_left(self._bounds, value)] += 1
        total[0] += value

    def render(self) -> list[str]:
        """Its lines."""
        lines = [f"# HELP {self._name} {self._told}", f"# TYPE {self._name} histogram"]
        for of, (buckets, total) in sorted(self._series.items()):
            own = f"{_label(self._label, of)}," if self._label else ""
            count = 0
            for bound, here in zip([*self._bounds, "+Inf"], buckets, strict=True):
                count += here
                lines.append(f'{self._name}_bucket{{{own}le="{bound}"}} {count}')
            labels = f"{{{own[:-1]}}}" if own else ""
            lines += [f"{self._name}_sum{labels} {total[0]:.6f}", f"{self._name}_count{labels} {count}"]
        return lines

    def _of(self, of: str) -> tuple[list[int], list[float]]:
        return self._series.setdefault(of, ([0] * (len(self._bounds) + 1), [0.0]))


class Metrics:
    """Counts requests and texts; used by one thread."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._by_key: Counter[str] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._key_tokens: Counter[tuple[str, str]] = Counter()
        self._personas: set[str] = set()
        self._seconds = Histogram("request_seconds", "Seconds until a request was answered in full.", _BOUNDS)
        self._queued = Histogram("queue_seconds", "Seconds that texts waited to be begun.", _SHORT, "persona")
        self._first = Histogram("time_to_first_token_seconds", "From a request to its first token.", _SHORT, "persona")
        self._per_token = Histogram(
            "time_per_output_token_seconds", "Mean seconds between the tokens of a text.", _PER_TOKEN, "persona"
        )

    def observe(self, path: str, status: int, seconds: float, key: str = "") -> None:
        """Count a request; `path` is one of few, and `key` the name of one that is valid."""
        self._requests[path, status] += 1
        self._seconds.observe(seconds)
        if key:
            self._by_key[key] += 1

    def observe_texts(self, streams: Sequence[Stream], persona: str | None, read: int, key: str = "") -> None:
        """Count texts that were written, or not to their end.

        Args:
            streams: the texts of one request.
            persona: who wrote them.
            read: tokens of the request's prompts.
            key: name of the key that it brought.
        """
        who = self._known(persona)
        for kind, count in (("prompt", read), ("completion", sum(each.completion_tokens for each in streams))):
            self._tokens[who, kind] += count
            if key:
                self._key_tokens[key, kind] += count
        for stream in streams:
            if stream.started is not None:
                self._queued.observe(stream.started - stream.submitted, who)
            if stream.first is not None:
                self._first.observe(stream.first - stream.submitted, who)
                if stream.ended is not None and stream.completion_tokens > 1:
                    between = (stream.ended - stream.first) / (stream.completion_tokens - 1)
                    self._per_token.observe(between, who)

    def render(self, counts: EngineCounts) -> str:
        """All metrics, those of the engine among them."""
        requests = ((f'path="{path}",status="{status}"', n) for (path, status), n in sorted(self._requests.items()))
        outcomes = ((f'outcome="{name}"', n) for name, n in sorted(counts.outcomes.items()))
        keys = ((_label("key", key), n) for key, n in sorted(self._by_key.items()))
        lines = [
            *_family("requests_total", "counter", "Requests answered.", requests),
            *_family("key_requests_total", "counter", "Requests by the name of their key.", keys),
            *_family("texts_total", "counter", "Texts by how they ended.", outcomes),
            *_family("queue_length", "gauge", "Requests that wait.", [("", counts.waiting)]),
            *_family("running", "gauge", "Texts that are written.", [("", counts.running)]),
            *_family("forward_passes_total", "counter", "Forward passes.", [("", counts.passes)]),
            *_family("forward_tokens_total", "counter", "Tokens run in them.", [("", counts.tokens_run)]),
            *_family("tokens_written_total", "counter", "Tokens chosen.", [("", counts.tokens_written)]),
            *_prefixes(counts.prefixes),
            *_family("tokens_total", "counter", "Tokens of requests by persona.", _by("persona", self._tokens)),
            *_family("key_tokens_total", "counter", "Tokens of requests by key.", _by("key", self._key_tokens)),
            *(line for each in (self._seconds, self._queued, self._first, self._per_token) for line in each.render()),
        ]
        return "\n".join([*lines, ""])

    def _known(self, persona: str | None) -> str:
        if persona is None:
            return NOBODY
        if persona not in self._personas and len(self._personas) >= MOST_PERSONAS:
            return OTHER
        self._personas.add(persona)
        return persona


def _by(label: str, tokens: Mapping[tuple[str, str], int]) -> Iterable[tuple[str, int]]:
    return ((f'{_label(label, of)},kind="{kind}"', n) for (of, kind), n in sorted(tokens.items()))


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def _prefixes(counts: PrefixCounts) -> list[str]:
    return [
        *_family("prompt_tokens_read_total", "counter", "Tokens of prompts read.", [("", counts.tokens_read)]),
        *_family("prompt_tokens_reused_total", "counter", "Tokens of prompts not read.", [("", counts.tokens_reused)]),
        *_family("prefix_cache_entries", "gauge", "Runs of tokens stored.", [("", counts.entries)]),
        *_family("prefix_cache_bytes", "gauge", "What they take.", [("", counts.bytes)]),
        *_family("prefix_cache_limit_bytes", "gauge", "What they may take.", [("", counts.limit)]),
    ]


def _family(name: str, kind: str, told: str, values: Iterable[tuple[str, int]]) -> list[str]:
    name = f"pasctl_{name}"
    samples = [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values]
    return [f"# HELP {name} {told}", f"# TYPE {name} {kind}", *samples]
