"""Chat rendering against templates that behave as the known families' do."""

from __future__ import annotations

import pytest
from tokenizers import Regex, pre_tokenizers, processors

from pasctl.errors import InputError
from pasctl.models.chat import ChatRenderer
from tests.models.chat_templates import QWEN3, TEMPLATES
from tests.tiny import TOKENIZER_KINDS, tiny_tokenizer

STATEMENTS = [
    "I worry about things.",
    'Statement: "I am the life of the party"',
    "I don't mind; (really) …\n\nOptions:\n(A) Very Accurate\n(E) Very Inaccurate",
    "Ends in a letter A",
    "trailing space ",
    "trailing newline\n",
    "Ünïcödé 生きる 🙂",
]
SYSTEM = "You are a careful person."


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("qwen3", "chat"),
        ("llama", "chat"),
        ("base", "base"),
        ("no-system", "chat-no-system"),
        ("drops-system", "chat-no-system"),
    ],
)
def test_kind_is_found_by_what_the_template_does(kind, expected):
    renderer = ChatRenderer(tiny_tokenizer(kind))
    assert renderer.kind == expected
    assert (renderer.warning is not None) == (expected == "base")


@pytest.mark.parametrize("kind", TOKENIZER_KINDS)
def test_user_and_system_text_are_always_in_the_prompt_once(kind):
    text = ChatRenderer(tiny_tokenizer(kind)).render("I worry.", SYSTEM)
    assert text.count("I worry.") == 1
    assert text.count(SYSTEM) == 1
    assert text.index(SYSTEM) < text.index("I worry.")


@pytest.mark.parametrize("kind", TOKENIZER_KINDS)
@pytest.mark.parametrize("system", [None, SYSTEM])
def test_a_letter_adds_exactly_one_token_to_any_prompt(kind, system):
    renderer = ChatRenderer(tiny_tokenizer(kind))
    letters = renderer.letter_ids("ABCDE", STATEMENTS)
    for statement in STATEMENTS:
        for letter, token in zip("ABCDE", letters, strict=True):
            prompt = renderer.render(statement, system)
            assert renderer._tokenize(prompt + renderer.letter_form + letter) == [
                *renderer.encode(statement, system),
                token,
            ]


def test_qwen3_prompt_ends_in_an_empty_think_block():
    text = ChatRenderer(tiny_tokenizer("qwen3")).render("Hi", SYSTEM)
    assert text == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


@pytest.mark.parametrize("system", [None, SYSTEM])
def test_thinking_leaves_out_the_empty_think_block_and_nothing_else(system):
    renderer = ChatRenderer(tiny_tokenizer("qwen3"))
    assert renderer.render("Hi", system, thinking=True) + "<think>\n\n</think>\n\n" == renderer.render("Hi", system)
    (before, behind), (same, empty) = renderer.around(thinking=True), renderer.around()
    assert before == same
    assert empty == behind + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZER_KINDS if kind != "qwen3"])
def test_thinking_needs_a_template_that_has_the_switch(kind):
    renderer = ChatRenderer(tiny_tokenizer(kind))
    with pytest.raises(InputError, match="no switch for thinking") as refused:
        renderer.around(thinking=True)
    assert "--think" in (refused.value.hint or "")


def test_a_template_that_thinks_from_its_first_word_on_cannot_be_asked_both_ways():
    tokenizer = tiny_tokenizer("qwen3")
    switch = (
        "{%- if enable_thinking is defined and enable_thinking -%}<|im_start|>system\nThink.<|im_end|>\n{% endif -%}"
    )
    tokenizer.chat_template = switch + QWEN3
    renderer = ChatRenderer(tokenizer)
    assert renderer.around()
    with pytest.raises(InputError, match="begins otherwise"):
        renderer.around(thinking=True)


def test_qwen3_prompt_and_letter_are_the_start_of_the_whole_conversation():
    """What the model would have seen had it answered "A": the template itself renders the answered conversation."""
    tokenizer = tiny_tokenizer("qwen3")
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "A"}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert whole == ChatRenderer(tokenizer).render("Hi") + "A<|im_end|>\n"


@pytest.mark.parametrize("kind", ["llama", "no-system"])
def test_a_template_that_writes_bos_gets_no_second_one(kind):
    tokenizer = tiny_tokenizer(kind)
    ids = ChatRenderer(tokenizer).encode("Hi", SYSTEM)
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_special_tokens_of_the_template_are_single_tokens():
    tokenizer = tiny_tokenizer("qwen3")
    assert ChatRenderer(tokenizer).encode("Hi").count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 2


def test_a_base_model_starts_with_bos_and_never_ends_in_eos():
    tokenizer = tiny_tokenizer("base")
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, tokenizer.bos_token_id), (eos, tokenizer.eos_token_id)]
    )
    renderer = ChatRenderer(tokenizer)
    ids = renderer.encode("Hi", SYSTEM)
    assert tokenizer("x")["input_ids"][-1] == tokenizer.eos_token_id
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids[1:]) == f"{SYSTEM}\n\nHi\nAnswer:"
    assert renderer.letter_ids() == [tokenizer.convert_tokens_to_ids(f"Ġ{letter}") for letter in "ABCDE"]


def test_a_template_that_prints_the_date_gives_the_same_text_every_day():
    for told in ("strftime_now('%d %b %Y')", 'strftime_now( "%Y-%m-%d" )'):
        tokenizer = tiny_tokenizer("llama")
        tokenizer.chat_template = TEMPLATES["llama"].replace("strftime_now('%d %b %Y')", told)
        text = ChatRenderer(tokenizer).render("Hi")
        assert ("26 Jul 2024" in text) or ("2024-07-26" in text)


def test_a_letter_that_merges_with_the_prompt_is_an_error_that_shows_the_tokens():
    tokenizer = tiny_tokenizer("qwen3")
    tokenizer.chat_template = QWEN3.replace("<think>\\n\\n</think>\\n\\n", "Answer: ")  # the space belongs to " A"
    with pytest.raises(InputError, match=r"answer letter 'A' should add one token .*'ĠA'"):
        ChatRenderer(tokenizer).letter_ids()


def test_letters_need_tokens_of_their_own():
    with pytest.raises(InputError, match="tokens of their own"):
        ChatRenderer(tiny_tokenizer("qwen3")).letter_ids("AAB")
    with pytest.raises(InputError, match="should add one token"):
        ChatRenderer(tiny_tokenizer("qwen3")).letter_ids("AŴ")


def test_a_template_that_loses_the_question_is_refused():
    tokenizer = tiny_tokenizer("qwen3")
    tokenizer.chat_template = "{{ messages[0].content[0].text }}"
    with pytest.raises(InputError, match="drops the user's text"):
        ChatRenderer(tokenizer)


def test_a_template_that_fails_on_a_user_turn_is_refused():
    tokenizer = tiny_tokenizer("qwen3")
    tokenizer.chat_template = "{{ raise_exception('tools only') }}"
    with pytest.raises(InputError, match="tools only"):
        ChatRenderer(tokenizer)


def test_the_digest_tells_templates_apart():
    digests = {ChatRenderer(tiny_tokenizer(kind)).template_digest for kind in TOKENIZER_KINDS}
    assert len(digests) == len(TOKENIZER_KINDS)
    assert ChatRenderer(tiny_tokenizer("qwen3")).template_digest in digests


def test_a_text_that_the_tokenizer_gives_up_is_an_error_of_one_line():
    chat = ChatRenderer(tiny_tokenizer("qwen3"))
    chat.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"(a+)+$"), "isolated")
    with pytest.raises(InputError, match="gives up a text of 41 characters") as refused:
        chat.encode_start("a" * 40 + "b")
    assert "\n" not in str(refused.value)
