"""A persona per request over HTTP: names of models, refusals, and workers of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pasctl.export.vllm import has_vllm
from tests.vllm_plugin.server import serving
from tests.vllm_plugin.test_personas_vllm import PROMPT, Served

httpx: Any = pytest.importorskip("httpx", reason="vLLM brings it, and is not installed here")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not has_vllm(), reason="vLLM is not installed: make test-vllm sets up an environment with it"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    served = Served(tmp_path_factory.mktemp("served"), "llama", personas=3)
    with serving(served.out) as url:
        yield url


def ask(url: str, path: str, document: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Status and document that the server answers with."""
    answer = httpx.get(f"{url}{path}") if document is None else httpx.post(f"{url}{path}", json=document, timeout=60)
    return answer.status_code, answer.json()


def logprobs(url: str, model: str, **said: Any) -> list[float]:
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 4, "temperature": 0, "logprobs": 0, **said}
    status, answer = ask(url, "/v1/completions", asked)
    assert status == 200, answer
    return list(answer["choices"][0]["logprobs"]["token_logprobs"])


def test_a_models_name_names_a_persona_as_a_request_does(server: str) -> None:
    plain = logprobs(server, "base")
    named = logprobs(server, "base+p1")
    assert named == logprobs(server, "base", vllm_xargs={"persona": "p1", "alpha": 1})
    assert named != plain
    assert logprobs(server, "base+p1", vllm_xargs={"alpha": 2}) not in (named, plain)
    assert logprobs(server, "base", vllm_xargs={"persona": "p1", "alpha": 0}) == plain
    _, listed = ask(server, "/v1/models")
    assert [model["id"] for model in listed["data"]] == ["base", "base+p0", "base+p1", "base+p2", "base+ada", "base+E+"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"vllm_xargs": {"persona": "nobody"}}, "there is no persona 'nobody'"),
        ({"model": "base+nobody"}, "there is no persona 'nobody'"),
        ({"vllm_xargs": {"persona": "p1*x"}}, "the weight of p1 is 'x'"),
        ({"vllm_xargs": {"alpha": 2}}, "alpha 2 without a persona"),
        ({"vllm_xargs": {"persona": "p1", "alpha": "strong"}}, "alpha is 'strong'"),
        ({"vllm_xargs": {"persona": "p1", "positions": "some"}}, "positions 'some' is unknown"),
        ({"vllm_xargs": {"persona": "p1", "positions": -1}}, "positions -1 is unknown"),
        ({"model": "base+p1", "vllm_xargs": {"persona": "p2"}}, "expected one of them"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: str, said: dict[str, Any], told: str) -> None:
    for path, more in (
        ("/v1/completions", {"prompt": PROMPT}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "How was your week?"}]}),
    ):
        status, answer = ask(server, path, {"model": "base", "max_tokens": 2, **more, **said})
        assert status == 400
        assert told in json.dumps(answer, ensure_ascii=False).replace("\\", "")


def test_what_a_request_may_not_say_of_itself_is_not_heard(server: str) -> None:
    forged = {"pasctl_steering": "forged"}
    assert logprobs(server, "base", vllm_xargs=forged) == logprobs(server, "base")


def test_exports_of_one_persona_know_no_names(server: str, tmp_path: Path) -> None:
    status, _ = ask(server, "/v1/completions", {"model": "other+p1", "prompt": PROMPT, "max_tokens": 1})
    assert status == 404
