"""A chat template that computes without end is refused in one line, in time, and never in this process."""

from __future__ import annotations

import time

import pytest

from pasctl.bounded import Bounds
from pasctl.errors import InputError
from pasctl.models import template_guard
from pasctl.models.chat import ChatRenderer
from pasctl.models.template_guard import check_template
from pasctl.models.template_shape import is_plain
from tests.models.chat_templates import MISTRAL, QWEN_THINKING, TEMPLATES, THINK_ONLY
from tests.tiny import tiny_tokenizer

CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
HANGS = {
    "nested loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(99) %}"
    "{% set x = a %}{% endfor %}{% endfor %}{% endfor %}",
    "recursion": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}",
    "messages again and again": "{% for a in messages[0].content %}" * 6 + "{% set x = a %}" + "{% endfor %}" * 6,
}
GROWS = {
    "product": "{% set x = 'a' * 20000000000 %}",
    "product of the conversation": "{% set x = messages[0].content * 400000000 %}",
    "doubled": "{% set x = 'aaaaaaaa' %}" + "{% set x = x ~ x %}" * 40,
    "in a namespace": "{% set n = namespace(x=messages) %}" + "{% set n.x = n.x + n.x %}" * 40,
    "nested lists": "{% set x = [messages] %}" + "{% set x = [x, x] %}" * 30 + "{{ x }}",
    "quoted": "{% set x = '\"' %}" + "{% set x = x | tojson %}" * 40 + "{{ x }}",
    "padded": "{{ 'a'.ljust(9000000000) }}",
    "formatted": "{{ '%9000000000d' % 1 }}",
    "padded under another name": "{% set namespace = ''.ljust %}{{ namespace(9000000000) }}",
    "padded by a method of that name": "{% set n = namespace(strip=''.ljust) %}{{ n.strip(9000000000) }}",
    "formatted as a number": "{% set loop = namespace(index='%9000000000d') %}{{ loop.index % 1 }}",
    "quoted in a row": "{{ '\"'" + " | tojson" * 40 + " }}",
    "indented": "{{ messages | tojson(indent=900000000) }}",
}


@pytest.mark.parametrize("kind", HANGS)
def test_a_template_that_takes_too_long_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_guard, "BOUNDS", Bounds(seconds=1))
    began = time.monotonic()
    with pytest.raises(InputError, match="the model's chat template") as refused:
        check_template(HANGS[kind] + CHATML, {})
    assert time.monotonic() - began < 30
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["product", "doubled", "nested lists", "padded"])
def test_a_template_that_takes_too_much_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_guard, "BOUNDS", Bounds(memory=1 << 28, seconds=2))
    with pytest.raises(InputError, match=r"the model's chat template, .*: it (takes|needs|gives)"):
        check_template(GROWS[kind] + CHATML, {})


def test_a_renderer_refuses_before_it_renders() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = GROWS["product"] + CHATML
    with pytest.raises(InputError, match="it needs more than 1280 MiB") as refused:
        ChatRenderer(tokenizer)
    assert "chat_template" in str(refused.value.hint)


@pytest.mark.parametrize("kind", [*HANGS, *GROWS])
def test_what_multiplies_is_not_plain(kind: str) -> None:
    assert not is_plain((HANGS | GROWS)[kind] + CHATML)


def test_usual_templates_are_plain_and_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_guard, "_try", None)
    for template in [*TEMPLATES.values(), CHATML, MISTRAL, QWEN_THINKING, THINK_ONLY]:
        if template is not None:
            check_template(template, {})


def test_an_unusual_harmless_template_passes() -> None:
    macro = "{% macro turn(m) %}{{ '<' ~ m.role ~ '>' ~ m.content }}{% endmacro %}"
    template = macro + "{% generation %}{% for m in messages %}{{ turn(m) }}{% endfor %}{% endgeneration %}"
    assert not is_plain(template)
    check_template(template, {"bos_token": "<s>"})


@pytest.mark.parametrize("broken", ["{{ raise_exception('tools only') }}", "{{ 1 + 'a' }}", "{% if %}", "{{ (" * 900])
def test_what_a_template_refuses_itself_is_an_error_of_one_line(broken: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% macro none() %}{% endmacro %}" + broken
    with pytest.raises(InputError, match="the chat template cannot render one user turn") as refused:
        ChatRenderer(tokenizer)
    assert "\n" not in str(refused.value)
