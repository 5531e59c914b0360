"""What people's clients do with a server: words, streams, tools and structured answers; run by `make test-clients`.

The model calls `add` with 2 and 3 when it is asked QUESTION and has tools, and says ANSWER after the tool's 5. What is
structured is asked of it without having been learned, so that a valid answer is the server's work.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from tests.clients.conftest import ANSWER, BASE, PERSONA, QUESTION

instructor = pytest.importorskip("instructor")
litellm = pytest.importorskip("litellm")
openai = pytest.importorskip("openai")
pytest.importorskip("langchain_openai")
pytest.importorskip("llama_index.llms.openai_like")
pytest.importorskip("pydantic_ai")
pytest.importorskip("llm")

ARGUMENTS = {"a": 2, "b": 3}
ASKED: list[Any] = [{"role": "user", "content": QUESTION}]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}


class Event(BaseModel):
    """What a structured answer is about."""

    kind: Literal["party", "talk"]
    guests: int = Field(ge=0, le=99)
    names: list[Literal["Ann", "Bob"]] = Field(max_length=2)


class Anything(BaseModel, extra="allow"):
    """Any JSON object: what is asked for where a client describes its schema in words alone."""


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def client(url: str) -> Any:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


class TestOpenAI:
    def test_words_streams_and_personas(self, client: Any) -> None:
        for model in (BASE, PERSONA):
            asked = {"model": model, "messages": ASKED, "temperature": 0, "max_tokens": 12}
            whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
            streamed = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
            chunks = list(streamed)
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            assert text == whole.choices[0].message.content
            assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
            assert all(len(token.top_logprobs) == 2 for token in whole.choices[0].logprobs.content)
        assert {BASE, PERSONA} <= {model.id for model in client.models.list()}

    def test_tools(self, client: Any) -> None:
        first = client.chat.completions.create(model=BASE, messages=ASKED, tools=[TOOL], temperature=0).choices[0]
        [call] = first.message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("add", ARGUMENTS)
        messages = [*ASKED, first.message, {"role": "tool", "tool_call_id": call.id, "content": "5"}]
        last = client.chat.completions.create(model=BASE, messages=messages, tools=[TOOL], temperature=0)
        assert last.choices[0].message.content == ANSWER

    def test_its_own_accumulation_of_a_stream(self, client: Any) -> None:
        with client.chat.completions.stream(model=BASE, messages=ASKED, tools=[TOOL], temperature=0) as stream:
            final = stream.get_final_completion()
        [call] = final.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == ARGUMENTS

    def test_structured(self, client: Any) -> None:
        for seed in range(4):
            how = {"model": PERSONA, "messages": ASKED, "response_format": Event, "seed": seed}
            parsed = client.chat.completions.parse(**how).choices[0].message.parsed
            assert isinstance(parsed, Event)
        strict = openai.pydantic_function_tool(Event)
        answer = client.chat.completions.parse(model=BASE, messages=ASKED, tools=[strict], tool_choice="required")
        assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, Event)

    def test_completions(self, client: Any) -> None:
        asked = {"model": BASE, "prompt": [QUESTION, "So"], "max_tokens": 4, "temperature": 0, "logprobs": 1}
        choices = client.completions.create(**asked, echo=True).choices
        assert [choice.text.startswith(prompt) for choice, prompt in zip(choices, asked["prompt"], strict=True)]


class TestLiteLLM:
    def ask(self, url: str, **more: Any) -> Any:
        asked = {"model": f"openai/{BASE}", "messages": ASKED, "api_base": url, "api_key": "none", "temperature": 0}
        return litellm.completion(**(asked | more))

    def test_words_and_streams(self, url: str) -> None:
        text = self.ask(url, max_tokens=12).choices[0].message.content
        chunks = self.ask(url, max_tokens=12, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text

    def test_tools(self, url: str) -> None:
        first = self.ask(url, tools=[TOOL]).choices[0].message
        [call] = first.tool_calls
        assert json.loads(call.function.arguments) == ARGUMENTS
        result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
        after = self.ask(url, messages=[*ASKED, first.model_dump(), result], tools=[TOOL])
        assert after.choices[0].message.content == ANSWER
        chunks = list(self.ask(url, tools=[TOOL], stream=True))
        [streamed] = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls
        assert json.loads(streamed.function.arguments) == ARGUMENTS

    def test_structured(self, url: str) -> None:
        text = self.ask(url, response_format=Event, temperature=1).choices[0].message.content
        assert Event.model_validate_json(text)


class TestLangChain:
    @pytest.fixture
    def model(self, url: str) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=PERSONA, base_url=url, api_key="none", temperature=0, max_retries=0)

    def test_words_and_streams(self, model: Any) -> None:
        model = model.bind(max_tokens=12)
        assert "".join(str(chunk.content) for chunk in model.stream(QUESTION)) == model.invoke(QUESTION).content

    def test_tools(self, model: Any) -> None:
        from langchain_core.messages import HumanMessage, ToolMessage
        from langchain_core.tools import tool

        bound = model.bind_tools([tool(add)])
        called = bound.invoke(QUESTION)
        [call] = called.tool_calls
        assert call["args"] == ARGUMENTS
        first, *rest = bound.stream(QUESTION)
        for chunk in rest:
            first += chunk
        assert [each["args"] for each in first.tool_calls] == [ARGUMENTS]
        after = bound.invoke([HumanMessage(QUESTION), called, ToolMessage("5", tool_call_id=call["id"])])
        assert after.content == ANSWER

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_structured(self, model: Any, method: str) -> None:
        assert isinstance(model.with_structured_output(Event, method=method).invoke(QUESTION), Event)

    def test_json_mode(self, model: Any) -> None:
        found = model.with_structured_output(None, method="json_mode").invoke("JSON?", max_tokens=300)
        assert isinstance(found, dict)


class TestLlamaIndex:
    @pytest.fixture
    def model(self, url: str) -> Any:
        from llama_index.llms.openai_like import OpenAILike

        how = {"is_chat_model": True, "is_function_calling_model": True, "temperature": 0, "max_retries": 0}
        return OpenAILike(model=BASE, api_base=url, api_key="none", max_tokens=100, **how)

    def test_words_and_streams(self, model: Any) -> None:
        chunks = list(model.stream_complete(QUESTION))
        assert chunks[-1].text == model.complete(QUESTION).text

    def test_tools(self, model: Any) -> None:
        from llama_index.core.tools import FunctionTool

        answer = model.chat_with_tools([FunctionTool.from_defaults(add)], user_msg=QUESTION)
        [call] = model.get_tool_calls_from_response(answer)
        assert (call.tool_name, call.tool_kwargs) == ("add", ARGUMENTS)

    def test_structured(self, model: Any) -> None:
        from llama_index.core.prompts import PromptTemplate

        assert isinstance(model.structured_predict(Event, PromptTemplate(QUESTION)), Event)


class TestInstructor:
    @pytest.mark.parametrize("mode", ["TOOLS", "TOOLS_STRICT", "JSON", "JSON_SCHEMA", "FUNCTIONS"])
    def test_modes_of_one_object(self, client: Any, mode: str) -> None:
        patched = instructor.from_openai(client, mode=getattr(instructor.Mode, mode))
        wanted = Anything if mode == "JSON" else Event
        found = patched.chat.completions.create(model=BASE, messages=ASKED, response_model=wanted, max_retries=0)
        assert isinstance(found, wanted)

    def test_markdown(self, client: Any) -> None:
        numbers = type("Numbers", (BaseModel,), {"__annotations__": {"a": int, "b": int}, "__module__": __name__})
        patched = instructor.from_openai(client, mode=instructor.Mode.MD_JSON)
        how = {"temperature": 0, "max_retries": 0}
        found = patched.chat.completions.create(model=BASE, messages=ASKED, response_model=numbers, **how)
        assert found.model_dump() == ARGUMENTS

    def test_several_tools_at_once(self, client: Any) -> None:
        numbers = type("add", (BaseModel,), {"__annotations__": {"a": int, "b": int}, "__module__": __name__})
        patched = instructor.from_openai(client, mode=instructor.Mode.PARALLEL_TOOLS)
        how: dict[str, Any] = {"temperature": 0, "max_retries": 0, "response_model": Iterable[numbers]}  # type: ignore[valid-type]
        found = list(patched.chat.completions.create(model=BASE, messages=ASKED, **how))
        assert [each.model_dump() for each in found] == [ARGUMENTS]


class TestPydanticAI:
    def agent(self, url: str, **more: Any) -> Any:
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        model = OpenAIChatModel(BASE, provider=OpenAIProvider(base_url=url, api_key="none"))
        return Agent(model, **more)

    def test_tools_are_called_until_there_is_an_answer(self, url: str) -> None:
        agent = self.agent(url, tools=[add], model_settings={"temperature": 0})
        assert agent.run_sync(QUESTION).output == ANSWER

        async def streamed() -> str:
            async with agent.run_stream(QUESTION) as answer:
                return str(await answer.get_output())

        assert asyncio.run(streamed()) == ANSWER

    @pytest.mark.parametrize("kind", ["ToolOutput", "NativeOutput", "PromptedOutput"])
    def test_structured(self, url: str, kind: str) -> None:
        import pydantic_ai

        wanted = Anything if kind == "PromptedOutput" else Event
        agent = self.agent(url, output_type=getattr(pydantic_ai, kind)(wanted), retries=0)
        assert isinstance(agent.run_sync(QUESTION).output, wanted)


class TestLLM:
    @pytest.fixture
    def run(self, url: str, tmp_path: Path) -> Any:
        models = [
            {
                "model_id": "here",
                "model_name": PERSONA,
                "api_base": url,
                "supports_schema": True,
                "supports_tools": True,
            }
        ]
        (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(models))

        def run(*more: str) -> str:
            command = [
                sys.executable,
                "-m",
                "llm",
                "-m",
                "here",
                QUESTION,
                "--key",
                "none",
                "-o",
                "temperature",
                "0",
                *more,
            ]
            environment = os.environ | {"LLM_USER_PATH": str(tmp_path)}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        return run

    def test_words(self, run: Any) -> None:
        assert run("-o", "max_tokens", "8") == run("-o", "max_tokens", "8", "--no-stream")

    def test_tools(self, run: Any) -> None:
        assert run("--functions", "def add(a: int, b: int) -> int:\n    return a + b") == ANSWER

    def test_structured(self, run: Any) -> None:
        assert Event.model_validate_json(run("--schema", json.dumps(Event.model_json_schema())))
