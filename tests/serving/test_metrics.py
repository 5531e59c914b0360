"""Metrics are what Prometheus reads, count what was done per persona, and cannot be made to grow without end."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest

from pasctl.generation.engine import EngineCounts
from pasctl.generation.stream import Stream
from pasctl.serving.metrics import MOST_PERSONAS, Histogram, Metrics
from tests.serving.conftest import Running, Start
from tests.serving.test_server import DIRECTIONS, chat


@pytest.fixture
def counts(server: Running) -> EngineCounts:
    """What a real engine has counted."""
    return server.service.engine.counts()


def scraped(server: Running) -> dict[str, float]:
    """The samples of /metrics."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return samples(text)


def samples(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def written(tokens: int, times: tuple[float, float, float, float]) -> Stream:
    """A text that was submitted, begun, had its first token, and ended."""
    stream = Stream(7)
    stream.tokens = list(range(tokens))
    stream.submitted, stream.started, stream.first, stream.ended = times
    return stream


def test_a_histogram_counts_up_to_each_bound() -> None:
    values, bounds = [0.05, 0.1, 0.1, 0.3, 9.0], (0.1, 1.0)
    histogram = Histogram("x_seconds", "X.", bounds)
    for value in values:
        histogram.observe(value)
    found = samples("\n".join(histogram.render()))
    for bound in bounds:
        assert found[f'pasctl_x_seconds_bucket{{le="{bound}"}}'] == sum(value <= bound for value in values)
    assert found['pasctl_x_seconds_bucket{le="+Inf"}'] == found["pasctl_x_seconds_count"] == len(values)
    assert found["pasctl_x_seconds_sum"] == pytest.approx(sum(values))


def test_texts_are_measured_by_persona(counts: EngineCounts) -> None:
    metrics = Metrics()
    metrics.observe_texts(
        [written(5, (10.0, 11.0, 13.0, 15.0)), written(1, (10.0, 10.0, 10.5, 10.5))], "calm", 7, "lab"
    )
    found = samples(metrics.render(counts))
    for name, total, count in (
        ("queue_seconds", 1.0, 2),
        ("time_to_first_token_seconds", 3.5, 2),
        ("time_per_output_token_seconds", 0.5, 1),  # four steps in two seconds; one token has none
    ):
        assert found[f'pasctl_{name}_sum{{persona="calm"}}'] == pytest.approx(total)
        assert found[f'pasctl_{name}_count{{persona="calm"}}'] == count
    assert found['pasctl_tokens_total{persona="calm",kind="prompt"}'] == 7
    assert found['pasctl_tokens_total{persona="calm",kind="completion"}'] == 6
    assert found['pasctl_key_tokens_total{key="lab",kind="completion"}'] == 6


def test_clients_cannot_make_it_grow(counts: EngineCounts) -> None:
    metrics = Metrics()
    for number in range(MOST_PERSONAS + 50):
        metrics.observe_texts([written(2, (0.0, 0.0, 1.0, 2.0))], f"p{number}", 1)
    found = samples(metrics.render(counts))
    series = [name for name in found if name.startswith("pasctl_queue_seconds_count")]
    assert len(series) == MOST_PERSONAS + 1
    assert found['pasctl_queue_seconds_count{persona="other"}'] == 50


def test_a_server_tells_them(serve: Start) -> None:
    with serve() as server, server.client() as client:
        answers = [client.chat.completions.create(**chat(persona=who)) for who in (None, "s01", "s01")]
        found = scraped(server)
    for who, some in (("none", answers[:1]), (f"{DIRECTIONS}:case=s01", answers[1:])):
        label = f'persona="{who}"'
        assert found[f"pasctl_time_to_first_token_seconds_count{{{label}}}"] == len(some)
        assert found[f"pasctl_queue_seconds_count{{{label}}}"] == len(some)
        assert 0 < found[f"pasctl_time_to_first_token_seconds_sum{{{label}}}"] < 60
        for kind in ("prompt", "completion"):
            count = sum(getattr(answer.usage, f"{kind}_tokens") for answer in some)
            assert found[f'pasctl_tokens_total{{{label},kind="{kind}"}}'] == count


def test_prometheus_own_parser_reads_them(counts: EngineCounts) -> None:
    parser: Any = pytest.importorskip("prometheus_client.parser")
    odd = 'a "quoted" \\ back\nslash & ünïcode'
    metrics = Metrics()
    metrics.observe("/v1/models", 200, 0.2, "lab")
    metrics.observe_texts([written(5, (10.0, 11.0, 13.0, 15.0))], odd, 7, "lab")
    families = {family.name: family for family in parser.text_string_to_metric_families(metrics.render(counts))}
    assert families["pasctl_tokens"].type == "counter"
    assert {each.labels["persona"] for each in families["pasctl_tokens"].samples} == {odd}
    for name in ("request_seconds", "queue_seconds", "time_to_first_token_seconds", "time_per_output_token_seconds"):
        family = families[f"pasctl_{name}"]
        buckets = [each for each in family.samples if each.name.endswith("_bucket")]
        bounds = [float(each.labels["le"]) for each in buckets]
        assert family.type == "histogram"
        assert bounds == sorted(bounds)
        assert bounds[-1] == float("inf")
        values = [each.value for each in buckets]
        assert values == sorted(values)
        [count] = [each.value for each in family.samples if each.name.endswith("_count")]
        assert values[-1] == count == 1
