"""What a press of kvpress cannot compress is refused before a text is read, whether or not kvpress is installed."""

from __future__ import annotations

import random
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from torch import Tensor

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.memory import press_kinds, pressed
from pasctl.memory.press_kinds import PRESSABLE, PRESSES, press_numerics
from pasctl.memory.pressed import PressedText, compression_ratio, require_pressable
from pasctl.memory.trial_plan import TrialPlan
from pasctl.models.load import LoadedModel
from tests.memory.test_exactness import text_ids
from tests.tiny import tiny_loaded, tiny_model, tiny_tokenizer
from tests.tiny_configs import EVERY_FAMILY


def absent(name: str) -> str:
    raise PackageNotFoundError(name)


def test_the_ratio_leaves_the_budget_as_kvpress_rounds() -> None:
    rng = random.Random(0)
    for _ in range(20_000):
        tokens, budget = rng.randrange(2, 300_000), rng.randrange(1, 5000)
        ratio = compression_ratio(tokens, budget)
        assert 0 <= ratio < 1
        assert int(tokens * (1 - ratio)) == min(tokens, budget)


def test_without_kvpress_a_press_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(press_kinds, "version", absent)
    assert press_numerics(["full", "bm25"], "llama", 100) == {}
    with pytest.raises(MissingError, match="press-snapkv needs the package kvpress") as refused:
        press_numerics(["full", "press-snapkv"], "llama", 100)
    assert "pip install --no-deps kvpress==" in str(refused.value.hint)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_families_are_pressed_or_refused_with_the_reason(family: str) -> None:
    if family in PRESSABLE:
        require_pressable(tiny_loaded(family), "press-knorm")
        return
    with pytest.raises(InputError, match=rf"press-knorm: kvpress does not compress a {family} model"):
        require_pressable(tiny_loaded(family), "press-knorm")
    with pytest.raises(InputError, match=f"a {family} model"):
        press_numerics(["press-knorm"], family, 100)


def test_a_sliding_window_is_refused() -> None:
    types = ["full_attention", "sliding_attention", "full_attention"]
    windowed = tiny_model("qwen2", use_sliding_window=True, sliding_window=32, layer_types=types)
    model = LoadedModel.wrap(windowed, tiny_tokenizer())
    with pytest.raises(InputError, match="layer 1 of a qwen2 model has a sliding window") as refused:
        require_pressable(model, "press-knorm")
    assert "\n" not in refused.value.message


def test_a_press_that_rotates_queries_is_refused_where_a_part_of_a_head_is_rotated() -> None:
    model = tiny_loaded("phi3")
    for name, kind in PRESSES.items():
        if kind.by_queries:
            with pytest.raises(InputError, match="rotates 12 of 16 components"):
                require_pressable(model, name)
        else:
            require_pressable(model, name)


def test_a_budget_that_leaves_nothing_to_choose_is_refused() -> None:
    with pytest.raises(InputError, match="always keeps 64 tokens"):
        press_numerics(["press-snapkv"], "llama", 64)


def test_surprise_is_not_compared_with_a_press() -> None:
    with pytest.raises(InputError, match=r"'nll'.*press-knorm"):
        TrialPlan(tasks=("passkey", "nll"), compare=("full", "press-knorm"))


class Idle:
    """A press that drops nothing."""

    def __init__(self, compression_ratio: float) -> None: ...

    def compress(self, attention: Any, hidden: Tensor, keys: Tensor, values: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        return keys, values


def test_a_press_that_does_not_compress_is_an_error_and_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressed, "_press_class", lambda name: Idle)
    reading = PressedText(tiny_loaded(), "press-knorm", 20)
    with pytest.raises(PasctlError, match="left 60 tokens in layer 0, expected 20"):
        reading.read_ids(text_ids(60))
