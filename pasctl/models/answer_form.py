"""What a chat template writes between its generation prompt and the first word of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from jinja2.exceptions import TemplateError

from pasctl.errors import InputError

Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""Messages, and whether a generation prompt follows them -> text."""

RENDERING_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What a template can raise: jinja2's own errors, and Python's in its expressions."""

USER, ANSWER, THOUGHT = (f"pasctl-{name}-sentinel" for name in ("user", "answer", "thought"))
_TAG = re.compile(r"([<\[◁][|｜]?)((?:\w+:)?\w*(?:think|thought|reason)\w*)([|｜]?[>\]▷])", re.IGNORECASE)
_THINKS = re.compile("think|thought|reason", re.IGNORECASE)
_END = re.compile(r"(?:^|_)end(?:_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class AnswerForm:
    """What stands between a generation prompt and an answer.

    Attributes:
        text: it; its trailing spaces belong to the answer's first word.
        thinks: whether the generation prompt leaves a thought open, which `text` closes.
        warning: something the user should know about it, or None.
    """

    text: str
    thinks: bool = False
    warning: str | None = None

    @property
    def stem(self) -> str:
        """What belongs to the prompt."""
        return self.text.rstrip(" ")

    @property
    def space(self) -> str:
        """What belongs to the answer's first word: the spaces before it."""
        return self.text[len(self.stem) :]


def answer_form(render: Render, source: str, added: Collection[str]) -> AnswerForm:
    """Derive the form from a turn with an answer that the template itself renders.

    Where that turn begins as the generation prompt does, the rest of it up to the answer is the form. Where it does
    not, for example because the template writes a think block in generation prompts only, nothing is added. A thought
    that is open then is closed: as the template closes one that it is given, or else as an empty block.

    Args:
        render: of the template, with thinking off where it has a switch.
        source: the template.
        added: tokens of the vocabulary that are taken whole, such as "<think>".

    Raises:
        InputError: a thought is left open and what closes it is unknown.
    """
    prompt = render([{"role": "user", "content": USER}], True).rpartition(USER)[2]
    answered = _before_answer(render)
    form = answered[len(prompt) :] if answered is not None and answered.startswith(prompt) else ""
    tag = _open_tag(prompt)
    if _open_tag(prompt + form) is not None:
        form += _closing(render, prompt + form, source, added)
    if tag is not None:
        return AnswerForm(
            form,
            thinks=True,
            warning=f"the chat template begins every answer with an open {tag.group()}: pasctl adds {form!r} "
            "where it reads an answer",
        )
    return AnswerForm(form, warning=_doubt(prompt, answered))


def thought_end(text: str, source: str) -> str | None:
    """What closes a thought.

    Args:
        text: where a thought is opened and closed, if the template writes one that is empty.
        source: the template, which may name it otherwise.
    """
    for place in (text, source):
        for tag in _TAG.finditer(place):
            if found := [end for end in _ends(tag) if end in place[tag.end() :]]:
                return found[0]
    return None


def _before_answer(render: Render, **more: str) -> str | None:
    """Text between the user's words and the answer's; None where the template does not render both."""
    question, answer = {"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER, **more}
    try:
        text = render([question, answer], False)
    except RENDERING_ERRORS:
        return None
    _, user, behind = text.rpartition(USER)
    before, written, _ = behind.partition(ANSWER)
    return before if user and written else None


def _doubt(prompt: str, answered: str | None) -> str | None:
    """A warning where the answered turn does not say what stands before the answer."""
    if answered is None:
        return "the chat template renders no turn with an answer: answers are read right after its generation prompt"
    if answered.startswith(prompt) or (prompt.startswith(answered) and _THINKS.search(prompt[len(answered) :])):
        return None
    return (
        f"the chat template writes {answered[-40:]!r} before an answer, but its generation prompt ends in "
        f"{prompt[-40:]!r}: answers are read after the latter"
    )


def _open_tag(text: str) -> re.Match[str] | None:
    """The last tag that begins a thought, where nothing after it ends the thought."""
    tags = [tag for tag in _TAG.finditer(text) if not _END.search(tag.group(2))]
    if not tags or any(end in text[tags[-1].end() :] for end in _ends(tags[-1])):
        return None
    return tags[-1]


def _ends(tag: re.Match[str]) -> list[str]:
    """What may close a tag, the likeliest first."""
    left, name, right = tag.groups()
    renamed = [re.sub(begin, end, name) for begin, end in (("START", "END"), ("start", "end"), ("begin", "end"))]
    names = [f"/{name}", *(other for other in renamed if other != name), f"end_{name}", f"{name}_end"]
    return [f"{left}{other}{right}" for other in names]


def _closing(render: Render, text: str, source: str, added: Collection[str]) -> str:
    """What closes the thought that a text leaves open: the template's own words, else the end of an empty block.

    Raises:
        InputError: what closes it is unknown.
    """
    tag = _open_tag(text)
    if tag is None:
        return ""
    whole = _before_answer(render, reasoning_content=THOUGHT)
    before, thought, between = (whole or "").partition(THOUGHT)
    if thought and any(end in between for end in _ends(tag)) and before.rstrip() == text.rstrip():
        return before[len(text) :] + between
    plain = "|" not in tag.group(1).replace("｜", "|") and tag.group() not in added
    known = [end for end in _ends(tag) if end in source or end in added] or (_ends(tag)[:1] if plain else [])
    if not known:
        raise InputError(
            f"the chat template begins every answer with an open {tag.group()}, and what closes it is unknown",
            hint="take a model whose template can switch thinking off, or one that does not think",
        )
    inside = text[tag.end() :]
    newlines = len(inside) - len(inside.rstrip("\n"))
    return "\n" * max(0, 2 - newlines) + known[0] + "\n\n"
