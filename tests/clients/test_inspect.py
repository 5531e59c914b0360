"""inspect_ai with a server: a task with a tool, and answers of a schema; run by `make test-inspect-ai`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import BASE, QUESTION

inspect_ai = pytest.importorskip("inspect_ai")


def test_a_task_with_a_tool_and_one_with_a_schema(url: str, tmp_path: Path) -> None:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, ResponseSchema, get_model
    from inspect_ai.scorer import includes, match
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import Tool, tool
    from inspect_ai.util import json_schema

    @tool
    def add() -> Tool:
        async def execute(a: int, b: int) -> str:
            """Add two numbers.

            Args:
                a: the first.
                b: the second.
            """
            return str(a + b)

        return execute

    def run(config: GenerateConfig, samples: list[Sample], solver: Any, scorer: Any) -> Any:
        model = get_model(f"openai-api/pasctl/{BASE}", base_url=url, api_key="none", config=config)
        task = Task(dataset=samples, solver=solver, scorer=scorer)
        [log] = inspect_ai.eval(task, model=model, log_dir=str(tmp_path), display="none")
        assert log.status == "success", log.error
        return log.results.scores[0].metrics["accuracy"].value

    samples = [Sample(input=QUESTION, target="5") for _ in range(4)]
    greedy = GenerateConfig(temperature=0, max_tokens=100)
    assert run(greedy, samples, [use_tools(add()), generate()], includes()) == 1
    schema = ResponseSchema(name="answer", json_schema=json_schema(bool))
    held = GenerateConfig(response_schema=schema, seed=1)
    assert run(held, [Sample(input="Yes?", target=["true", "false"])], generate(), match()) == 1
