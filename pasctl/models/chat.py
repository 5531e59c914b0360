"""Chat rendering: from a question to the exact tokens that an answer letter follows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pasctl.errors import InputError
from pasctl.inventory.scale import USUAL_LETTERS
from pasctl.models.answer_form import RENDERING_ERRORS, AnswerForm, answer_form
from pasctl.models.answer_tokens import answer_tokens
from pasctl.models.template_guard import check_template
from pasctl.models.transformers_compat import first_line, tokenize

ChatKind = Literal["chat", "chat-no-system", "base"]

# Some templates (Llama 3.2's) print today's date: the same prompt would then give other activations tomorrow.
PINNED_DATE = datetime(2024, 7, 26, tzinfo=UTC)
PLAIN_TURN = "{user}\nAnswer:"
SAMPLE_QUESTIONS = (
    'Statement: "I worry about things."\nOptions: (A) Very Accurate (E) Very Inaccurate',
    "How accurately does this describe you?\n\nYou get stressed out easily",
)
_PLAIN_FORM = AnswerForm(
    " ", warning="the model has no chat template: questions are rendered as plain text that ends in 'Answer:'"
)
_ANCHOR = "\n"  # stands before words where their tokens depend on that something does
_SENTINELS = ("pasctl-system-sentinel", "pasctl-user-sentinel")


class ChatRenderer:
    """Renders one question as a model expects it, up to the point where its answer begins.

    Thinking is switched off where the template has a switch for it, unless it is asked for. Nothing is ever cut off a
    rendered conversation: the template is asked for a generation prompt, and what it writes between that and an answer
    (see `answer_form`) and the answer letter are appended to it.

    Attributes:
        kind: "chat"; "chat-no-system", a template that refuses or drops a system turn, so the system text goes into the
            user turn; "base", no template, so the question is plain text.
        letter_form: spaces between the prompt and the answer letter, which belong to the letter's token: "" after most
            templates, " " after some, such as Mistral's, and in plain text.
        before_answer: what stands between the template's generation prompt and the answer, without these spaces.
        thinks: whether the generation prompt always opens a thought, which `before_answer` closes.
        warning: something the user should know about the rendering, or None.
        template_digest: sha256 of everything here that decides the text; part of a store key.
        start_ids: special tokens before a plain text; none where a template writes them.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.template: str | None = tokenizer.get_chat_template() if tokenizer.chat_template else None
        self.thinking_switch = "enable_thinking" in (self.template or "")
        self._rendered = _pin_date(self.template or "")
        if self.template is not None:
            check_template(self.template, {**tokenizer.special_tokens_map, **self._switches(thinking=False)})
        self.kind: ChatKind = self._detect_kind()
        form = _PLAIN_FORM if self.kind == "base" else self._answer_form()
        self.before_answer, self.letter_form = form.stem, form.space
        self.thinks, self.warning = form.thinks, form.warning
        self.start_ids: list[int] = self._start_ids() if self.kind == "base" else []
        self._writes_space = self._tokenizer_writes_space()
        if self.letter_form and self.kind != "base" and self._space_is_doubled():
            self.letter_form = ""
        parts = [self.kind, self.template or PLAIN_TURN, form.text, PINNED_DATE.isoformat()]
        self.template_digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def render(self, user: str, system: str | None = None, *, thinking: bool = False) -> str:
        """Text of one question up to the answer; the letter goes right behind it, in `letter_form`.

        With `thinking` the model is left to think before it answers.

        Raises:
            InputError: thinking is asked for and the template has no switch for it.
        """
        if thinking and not (self.thinking_switch or self.thinks):
            raise InputError(
                f"the model's chat template has no switch for thinking (kind: {self.kind})",
                hint="ask without --think, or take a model whose template knows enable_thinking, such as Qwen3",
            )
        if self.kind == "base":
            return _joined(system, PLAIN_TURN.format(user=user))
        if self.kind == "chat-no-system":
            user, system = _joined(system, user), None
        return self._apply_template(user, system, thinking=thinking) + ("" if thinking else self.before_answer)

    def encode(self, user: str, system: str | None = None) -> list[int]:
        """Token ids of `render`, with the special tokens that a text starts with and none at its end."""
        return self._tokenize(self.render(user, system))

    def reply(self, text: str) -> list[int]:
        """Token ids of a text as the assistant's words, which go right behind those of `encode`."""
        if not self._writes_space:
            return self.encode_start(self.letter_form + text)
        prompt = self.render(SAMPLE_QUESTIONS[0])
        before, whole = self._tokenize(prompt), self._tokenize(prompt + self.letter_form + text)
        return whole[len(before) :] if whole[: len(before)] == before else self.encode_words(self.letter_form + text)

    def encode_words(self, text: str, **how: bool) -> list[int]:
        """Token ids of a text that stands behind another, without the space that some tokenizers put before any text.

        Args:
            text: the words.
            how: options of the tokenizer, such as split_special_tokens.
        """
        if not text:
            return []
        if self._writes_space:
            before, whole = self.encode_start(_ANCHOR, **how), self.encode_start(_ANCHOR + text, **how)
            if whole[: len(before)] == before:
                return whole[len(before) :]
        return self.encode_start(text, **how)

    def encode_start(self, text: str, **how: bool) -> list[int]:
        """Token ids of a text that nothing stands before, or special tokens alone; `how` as for `encode_words`."""
        if not text:
            return []
        return tokenize(self.tokenizer, text, add_special_tokens=False, **how)

    def _tokenizer_writes_space(self) -> bool:
        """Whether the tokenizer puts a space before a text's first word, as SentencePiece's do."""
        before = self.encode_start(_ANCHOR)
        return self.encode_start(_ANCHOR + "A") != [*before, *self.encode_start("A")]

    def _space_is_doubled(self) -> bool:
        """Whether the tokenizer itself writes the space before an answer, so that the template's is one too many."""
        prompt = self.render(SAMPLE_QUESTIONS[0])
        ids, bare, spaced = (self._tokenize(prompt + text) for text in ("", "A", f"{self.letter_form}A"))
        return len(spaced) > len(ids) + 1 and bare[:-1] == ids

    def around(self, thinking: bool = False) -> tuple[list[int], str]:
        """What stands around a user's text: the token ids before it, and the text behind it up to the answer.

        What stands before it is the same with `thinking` and without, so a text that was read goes with both.

        Raises:
            InputError: the template writes the user's text twice, or alters it, so it cannot be read piece by piece;
                or it has no switch for thinking, or begins otherwise with it.
        """
        marker = _SENTINELS[1]
        before, *rest = self.render(marker, thinking=thinking).split(marker)
        if len(rest) != 1:
            raise InputError(f"the chat template writes a user's text {len(rest)} times, expected once")
        ids = self._tokenize(before)
        if thinking and ids != self.around()[0]:
            raise InputError(
                "the chat template begins otherwise when the model thinks, so a text that was read cannot be asked so",
                hint="ask without --think",
            )
        return ids, rest[0]

    def letter_ids(
        self, letters: Sequence[str] = USUAL_LETTERS, sample_prompts: Sequence[str] = SAMPLE_QUESTIONS
    ) -> list[int]:
        """Id of each answer letter, after proving that appending it to a prompt adds exactly this one token.

        Args:
            letters: the answer letters, in order.
            sample_prompts: questions (user texts) to prove it on.

        Raises:
            InputError: a letter is not one token of its own there, or two letters are the same token.
        """
        if len(set(letters)) < len(letters):
            raise InputError(f"answer letters {''.join(letters)!r} do not have {len(letters)} tokens of their own")
        return [token for [token] in self._answers(letters, sample_prompts, single=True)]

    def option_ids(self, names: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of each option's name as an answer, one or more, after proving that they follow a prompt's own.

        Raises:
            InputError: a name merges with what stands before it, or two names are the same tokens.
        """
        return self._answers(names, SAMPLE_QUESTIONS, single=False)

    def _answers(self, names: Sequence[str], sample_prompts: Sequence[str], *, single: bool) -> list[tuple[int, ...]]:
        return answer_tokens(
            self._tokenize,
            self.tokenizer.convert_ids_to_tokens,
            [self.render(question) for question in sample_prompts],
            {name: self.letter_form + name for name in names},
            single=single,
        )

    @property
    def plain_start(self) -> list[int]:
        """Special tokens that a plain text, without the template, begins with."""
        return self._start_ids()

    def _tokenize(self, text: str) -> list[int]:
        # a template writes its own BOS, so the tokenizer must not add a second one
        return [*self.start_ids, *self.encode_start(text)]

    def _start_ids(self) -> list[int]:
        """Special tokens that the tokenizer puts before a text (BOS); those that it puts behind (EOS) are left out."""
        encoded = self.tokenizer("a", add_special_tokens=True, return_special_tokens_mask=True)
        mask = list(encoded["special_tokens_mask"])
        return list(encoded["input_ids"][: mask.index(0)]) if 0 in mask else []

    def _detect_kind(self) -> ChatKind:
        if self.template is None:
            return "base"
        system, user = _SENTINELS
        try:
            alone = self._apply_template(user, None)
        except RENDERING_ERRORS as error:
            raise InputError(f"the chat template cannot render one user turn: {first_line(error)}") from error
        if user not in alone:
            raise InputError(
                "the chat template drops the user's text", hint="the model may expect another message format"
            )
        try:
            both = self._apply_template(user, system)
        except RENDERING_ERRORS:
            return "chat-no-system"
        return "chat" if system in both and user in both else "chat-no-system"

    def _apply_template(self, user: str, system: str | None, *, thinking: bool = False) -> str:
        messages = [{"role": "user", "content": user}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return self.render_messages(messages, thinking=thinking)

    def render_messages(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool = False,
        generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Text that the template makes of messages (role, content), up to where the next answer begins.

        Args:
            messages: of the conversation.
            thinking: leave the model to think, where the template has a switch for it.
            generation_prompt: end where the next answer begins.
            tools: that the model may call, as OpenAI's API describes them.

        Raises:
            jinja2.exceptions.TemplateError: the template refuses them; other RENDERING_ERRORS where it fails.
        """
        text = self.tokenizer.apply_chat_template(
            list(messages),
            chat_template=self._rendered,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            tools=[dict(tool) for tool in tools] or None,
            **self._switches(thinking=thinking),
        )
        return str(text)

    def _switches(self, *, thinking: bool) -> dict[str, bool]:
        return {"enable_thinking": thinking} if self.thinking_switch else {}

    def _answer_form(self) -> AnswerForm:
        added: Collection[str] = getattr(self.tokenizer, "get_added_vocab", dict)()
        return answer_form(
            lambda messages, generation: self.render_messages(messages, generation_prompt=generation),
            self.template or "",
            added,
        )


def _joined(system: str | None, user: str) -> str:
    return f"{system}\n\n{user}" if system else user


def _pin_date(template: str) -> str:
    """The template with its `strftime_now` replaced by a macro of the same name that tells PINNED_DATE.

    transformers offers the function as a global and takes no callable in its place, so the template must do it.
    """
    formats = set(re.findall(r"strftime_now\(\s*[\"']([^\"']*)[\"']\s*\)", template))
    if not formats:
        return template
    dates = json.dumps({form: PINNED_DATE.strftime(form) for form in sorted(formats)})
    return f"{{%- macro strftime_now(format) -%}}{{{{ {dates}[format] }}}}{{%- endmacro -%}}{template}"
