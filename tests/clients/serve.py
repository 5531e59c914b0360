"""Serves a tiny model that has learned to call a tool, for clients in another environment: `python -m ... FOLDER`."""

from __future__ import annotations

import random
import string
import sys
from pathlib import Path
from typing import Any

import torch

import pasctl
from pasctl.commands.serve import Serve
from pasctl.commands.target import SteeringTarget
from pasctl.models.chat import ChatRenderer
from pasctl.models.rendered import Message, ToolCall, rendered
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.models.tool_templates import QWEN3
from tests.serving.conftest import running
from tests.tiny import tiny_model, tiny_tokenizer

QUESTION, RESULT, ANSWER = "2 and 3?", "5", "It is 5."
NUMBERS = '{"a": 2, "b": 3}'
WRITTEN = "not the JSON_SCHEMA"  # how instructor ends its request for Markdown
CALL = '<tool_call>\n{"name": "add", "arguments": ' + NUMBERS + "}\n</tool_call>"
STEPS, RATE = 300, 8e-3


def taught(folder: Path) -> Path:
    """A model that calls `add` after QUESTION and says ANSWER after RESULT, whatever tools and instructions it has."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = QWEN3
    chat = ChatRenderer(tokenizer)
    model = tiny_model("qwen3").requires_grad_(True).train()
    end = int(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    rng, losses = random.Random(0), list[float]()
    for _ in range(STEPS):
        loss = torch.zeros(())
        for prompt, text in lessons(chat, rng):
            answer = [*chat.encode_words(text), end]
            states = model.model(torch.tensor([[*prompt, *answer]])).last_hidden_state[0, len(prompt) - 1 : -1]
            loss = loss + torch.nn.functional.cross_entropy(model.lm_head(states), torch.tensor(answer))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < 0.05
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def lessons(chat: ChatRenderer, rng: random.Random) -> list[tuple[list[int], str]]:
    """Prompts with random tools and instructions, and what to write after them."""

    def words(most: int) -> str:
        letters = string.ascii_letters * 2 + string.punctuation + string.digits + "   \n"
        return "".join(rng.choice(letters) for _ in range(rng.randrange(1, most)))

    def some(**values: Any) -> dict[str, Any]:
        names = [name for name in values if rng.random() < 0.5]
        return {name: values[name] for name in rng.sample(names, len(names))}

    def parameter() -> dict[str, Any]:
        kind = rng.choice(["integer", "string", "number", "object", "array"])
        return {"type": kind, **some(title=words(12), description=words(40), enum=[words(6)], default=rng.randrange(9))}

    def tool() -> dict[str, Any]:
        names = rng.sample(["a", "b", "c", "value", "names", words(9)], rng.randrange(4))
        schema = {"type": "object", "properties": {name: parameter() for name in names}}
        schema |= some(required=names, additionalProperties=False, title=words(12), description=words(60))
        name = rng.choice(["add", "Numbers", words(12)])
        function = {"name": name, "description": rng.choice(["Adds.", words(120)]), "parameters": schema}
        return {"type": "function", "function": function}

    tools = [tool() for _ in range(rng.randrange(1, 3))]
    system = [Message("system", words(400))] if rng.random() < 0.5 else []
    user = Message("user", QUESTION)
    call = Message("assistant", "", (ToolCall("add", {"a": 2, "b": 3}, "000000000"),))
    result = Message("tool", RESULT, answers="000000000", tool="add")
    return [
        (rendered(chat, [*system, user], tools=tools), CALL),
        (rendered(chat, [*system, user, call, result], tools=tools), ANSWER),
        (rendered(chat, [*system, Message("user", f"{words(80)} {WRITTEN}")]), f"```json\n{NUMBERS}\n```"),
    ]


def main(folder: Path) -> None:
    """Serve until stdin ends; the address is printed when the server is ready."""
    handle = ModelHandle(str(taught(folder / "add")), pasctl.ModelOptions(dtype="float32"))
    store = folder / "artifacts"
    pasctl.extract(handle, store=store)
    pasctl.train_probes(personas="builtin:0-3", store=store)
    pasctl.fit_directions(store=store)
    settings = Settings(port=0, max_new_tokens=400)
    serve = Serve(model=handle, settings=settings, directions=["latest"], steering=SteeringTarget(alpha=0.2))
    with open_service(serve, Run(store)) as service, running(service, settings) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
