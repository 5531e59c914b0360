"""An answer is read where the template itself writes one, and never within a thought."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pasctl.errors import InputError
from pasctl.models.chat import PLAIN_TURN, ChatRenderer
from pasctl.models.conversation import Conversation
from pasctl.models.stored_form import form_digest
from pasctl.stages.model import ModelHandle
from tests.models.chat_templates import (
    CHANNELS,
    COLON,
    MISTRAL,
    NO_PROMPT,
    OWN_THOUGHTS,
    QWEN_THINKING,
    R1,
    SHORT_PROMPT,
    TEMPLATES,
    THINK_ONLY,
    UNKNOWN_END,
)
from tests.tiny import TOKENIZER_KINDS, save_tiny, tiny_tokenizer

QUESTION = "How accurately does this describe you? (A) Very Accurate (E) Very Inaccurate"
THINKING = {"r1": R1, "qwen-thinking": QWEN_THINKING, "own": OWN_THOUGHTS, "think-only": THINK_ONLY}
PLAIN = {"mistral": MISTRAL, "short": SHORT_PROMPT, "colon": COLON, "no-prompt": NO_PROMPT, "channels": CHANNELS}


def renderer(template: str, tokenizer: PreTrainedTokenizerFast | None = None) -> ChatRenderer:
    tokenizer = tokenizer or tiny_tokenizer("llama")
    tokenizer.chat_template = template
    return ChatRenderer(tokenizer)


def answered(chat: ChatRenderer, answer: str) -> str:
    """The oracle: what the template makes of a turn with an answer."""
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer}]
    return str(chat.tokenizer.apply_chat_template(turns, tokenize=False))


@pytest.mark.parametrize("kind", PLAIN)
def test_a_letter_stands_where_the_template_writes_an_answer(kind: str) -> None:
    chat = renderer(PLAIN[kind])
    whole = answered(chat, "A")
    assert whole.startswith(chat.render(QUESTION) + chat.letter_form + "A")
    tokens = chat.tokenizer(whole, add_special_tokens=False)["input_ids"]
    prompt = chat.encode(QUESTION)
    assert tokens[: len(prompt) + 1] == [*prompt, chat.letter_ids()[0]]
    assert chat.warning is None


@pytest.mark.parametrize("kind", PLAIN)
def test_a_reply_has_the_tokens_that_the_template_gives_it(kind: str) -> None:
    chat = renderer(PLAIN[kind])
    prompt, reply = chat.encode(QUESTION), chat.reply("I worry about things.")
    whole = chat.tokenizer(answered(chat, "I worry about things."), add_special_tokens=False)["input_ids"]
    assert whole[: len(prompt) + len(reply)] == [*prompt, *reply]


@pytest.mark.parametrize("kind", PLAIN)
def test_a_conversation_asks_as_a_single_question_does(kind: str) -> None:
    chat = renderer(PLAIN[kind])
    talk = Conversation(chat)
    assert [*talk.opening(), *talk.question(QUESTION)] == chat.encode(QUESTION)


@pytest.mark.parametrize("kind", THINKING)
def test_an_open_thought_is_closed_before_an_answer(kind: str) -> None:
    chat = renderer(THINKING[kind])
    opened, end = ("[THINK]", "[/THINK]") if kind == "own" else ("<think>", "</think>")
    prompt = chat.render(QUESTION)
    assert prompt.count(opened) == prompt.count(end) == 1
    assert prompt.index(opened) < prompt.index(end)
    assert prompt.split(opened)[1].replace(end, "").strip() == ""
    assert chat.letter_form == ""
    assert chat.warning is not None
    assert "\n" not in chat.warning
    assert opened in chat.warning
    assert len(set(chat.letter_ids())) == 5


def test_the_templates_own_form_of_an_empty_thought_is_taken() -> None:
    own, qwen = renderer(OWN_THOUGHTS), renderer(QWEN_THINKING)
    assert own.render(QUESTION).endswith("assistant\n[THINK][/THINK]")
    assert answered(qwen, "A").startswith(qwen.render(QUESTION) + "A")
    assert renderer(R1).render(QUESTION).endswith("<|Assistant|><think>\n\n</think>\n\n")


@pytest.mark.parametrize("kind", THINKING)
def test_a_model_that_writes_is_left_to_think(kind: str) -> None:
    chat = renderer(THINKING[kind])
    talk = Conversation(chat)
    written = chat.tokenizer.decode([*talk.opening(), *talk.question(QUESTION)])
    assert chat.render(QUESTION) == written + chat.before_answer
    assert chat.render(QUESTION, thinking=True) == written
    turn = chat.tokenizer.decode(talk.turn(QUESTION, "<think>\nWhy?\n</think>\n\nBecause."))
    assert "Why?" not in turn
    assert "Because." in turn


def test_a_thought_that_nothing_ends_is_refused() -> None:
    with pytest.raises(InputError, match=r"open <\|thinking\|>, and what closes it is unknown"):
        renderer(UNKNOWN_END)


@pytest.mark.parametrize("kind", TOKENIZER_KINDS)
def test_templates_that_write_nothing_in_between_keep_their_stored_keys(kind: str) -> None:
    chat = ChatRenderer(tiny_tokenizer(kind))
    parts = [chat.kind, TEMPLATES[kind] or PLAIN_TURN, " " if kind == "base" else "", "2024-07-26T00:00:00+00:00"]
    assert chat.template_digest == hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    assert chat.before_answer == ""
    assert not chat.thinks


def test_what_is_put_before_an_answer_is_part_of_the_key() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = THINK_ONLY
    chat = ChatRenderer(tokenizer)
    assert chat.before_answer == "\n</think>\n\n"
    parts = [chat.kind, THINK_ONLY, "", "2024-07-26T00:00:00+00:00"]
    assert chat.template_digest != hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@pytest.mark.parametrize("where", ["jinja", "config", "named"])
@pytest.mark.parametrize("kind", [*TEMPLATES, *PLAIN, *THINKING])
def test_keys_hold_what_stands_before_an_answer_and_are_else_as_before(kind: str, where: str, tmp_path: Path) -> None:
    """Known from the files alone, and there where the renderer adds something."""
    template = (TEMPLATES | PLAIN | THINKING)[kind]
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = template
    written = {
        "jinja": None,
        "config": template,
        "named": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}],
    }[where]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": written} if written else {}))
    if where == "jinja" and template is not None:
        (tmp_path / "chat_template.jinja").write_text(template)
    chat = ChatRenderer(tokenizer)
    adds = chat.kind != "base" and bool(chat.before_answer + chat.letter_form)
    assert (form_digest(tmp_path) is not None) == adds == (kind not in TEMPLATES)


def test_an_artifact_of_an_earlier_form_is_not_taken(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny")
    assert set(ModelHandle(str(folder)).numerics(0)) == {"dtype", "attn", "seed"}
    (folder / "chat_template.jinja").write_text(THINK_ONLY)
    handle = ModelHandle(str(folder))
    assert handle.numerics(0)["answer_form"] == handle.numerics(1)["answer_form"]
    assert not handle.is_loaded


def test_a_template_that_renders_no_answer_is_read_after_its_prompt_and_says_so() -> None:
    refuses = NO_PROMPT.replace(
        "{%- for", "{%- if messages[-1].role == 'assistant' -%}{{ raise_exception('no') }}{%- endif -%}{%- for"
    )
    chat = renderer(refuses)
    assert (chat.letter_form, chat.before_answer) == ("", "")
    assert "renders no turn with an answer" in str(chat.warning)
    otherwise = NO_PROMPT + "{%- if add_generation_prompt -%}{{ 'Reasoning: none\\n' }}{%- endif -%}"
    assert "writes '<|im_end|>\\n<|im_start|>assistant\\n' before an answer" in str(renderer(otherwise).warning)


_NAMES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}


def sentencepiece(form: str) -> PreTrainedTokenizerFast:
    """A vocabulary whose words begin with their space, which is written before a text's first word as well."""
    tokenizer = Tokenizer(models.BPE(unk_token=_NAMES["unk_token"]))
    if form == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=form)
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
        initial_alphabet=list("\n<>|/[]():?."),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["I worry about things . Answer : A B C D E (A) (E) Very Accurate user"] * 20, trainer
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_NAMES)


@pytest.mark.parametrize("form", ["first", "always", "prepend"])
def test_mistrals_answer_is_the_token_with_its_space(form: str) -> None:
    chat = renderer(MISTRAL, sentencepiece(form))
    assert chat.tokenizer.convert_ids_to_tokens(chat.letter_ids()) == [f"▁{letter}" for letter in "ABCDE"]
    assert chat.tokenizer.convert_ids_to_tokens(chat.reply("I worry"))[0] == "▁I"


@pytest.mark.parametrize("form", ["first", "always", "prepend"])
def test_no_space_is_put_before_words_that_stand_behind_others(form: str) -> None:
    chat = renderer(NO_PROMPT, sentencepiece(form))
    talk = Conversation(chat)
    turns = [("user", "worry"), ("assistant", "things"), ("user", "Answer")]
    messages = [{"role": role, "content": text} for role, text in turns]
    whole = chat.tokenizer(chat.render_messages(messages) + chat.before_answer, add_special_tokens=False)["input_ids"]
    assert [*talk.opening(), *talk.turn("worry", "things"), *talk.question("Answer")] == whole
    reply = chat.reply("Accurate")
    letter = chat.tokenizer(chat.render("worry") + "Accurate", add_special_tokens=False)["input_ids"]
    assert letter == [*chat.encode("worry"), *reply]
