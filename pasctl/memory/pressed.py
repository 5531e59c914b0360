"""A text whose keys and values a press of NVIDIA's kvpress compresses: what an episodic memory is compared with.

The text is read in one pass with the model's own full attention. As a layer ends, the press scores its keys, and each
head keeps those that score best. The question comes after, at its true position, so no press has seen it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.generation.text_state import PlainTextState
from pasctl.memory.attention_layers import attention_layers
from pasctl.memory.press_kinds import INSTALL, PRESSES, kvpress_version, require_family, require_kept
from pasctl.models.kv_cache import behind
from pasctl.models.load import LoadedModel
from pasctl.models.parallel import is_shared


class PressedText:
    """A text that was read once, of which each head of each layer holds `budget` tokens.

    Attributes:
        model: the model that reads and answers.
        ids: token ids read.
    """

    def __init__(self, model: LoadedModel, name: str, budget: int) -> None:
        """Prepare to read.

        Args:
            model: the model.
            name: of the press, in `PRESSES`.
            budget: tokens that it keeps; a text that is no longer is kept whole.

        Raises:
            MissingError: kvpress is not installed, or has no such press.
            InputError: the press cannot compress what this model holds, or the budget is too small for it.
        """
        require_kept(name, budget)
        require_pressable(model, name)
        self.model, self._name, self._budget = model, name, budget
        self._press = _press_class(name)
        self.ids: list[int] = []
        self._cache = DynamicCache(config=model.model.config)

    @torch.inference_mode()
    def read_ids(self, ids: Sequence[int]) -> None:
        """Read the whole text, once.

        Raises:
            InputError: a text was read before.
            PasctlError: a layer does not hold as many tokens as it should.
        """
        if self.ids:
            raise InputError("a press compresses a text as a whole, and one was read before")
        self.ids = list(ids)
        kept = min(self._budget, len(ids))
        press = self._press(compression_ratio=compression_ratio(len(ids), self._budget))
        given = torch.tensor([self.ids], device=self.model.device)
        with _compressing(self.model, press, self._cache):
            self.model.backbone(input_ids=given, **behind(self.model, self._cache))
        for number, tokens in enumerate(self.tokens_by_layer):
            if tokens != kept:
                raise PasctlError(f"{self._name} left {tokens:,} tokens in layer {number}, expected {kept:,}")

    @property
    def tokens_by_layer(self) -> list[int]:
        """Tokens that each head of a layer holds, per layer."""
        return [keys.shape[2] for keys, _ in self._tensors()]

    @property
    def attended(self) -> float:
        """Tokens that an answer attends, mean over layers."""
        return sum(self.tokens_by_layer) / len(self.tokens_by_layer)

    @property
    def held_bytes(self) -> int:
        """Bytes of keys and values that are held, all layers together."""
        return sum(keys.nbytes + values.nbytes for keys, values in self._tensors())

    @property
    def intervention(self) -> None:
        """Nothing steers it."""

    def text_state(self, question: Sequence[int], *, keep_retrieved: bool) -> PlainTextState:
        """Where a question and its answer begin: at the text's end (called by what writes them)."""
        return PlainTextState.after(self._cache, len(self.ids))

    def _tensors(self) -> list[tuple[Tensor, Tensor]]:
        layers: list[Any] = list(self._cache.layers)
        return [(layer.keys, layer.values) for layer in layers]


def compression_ratio(tokens: int, budget: int) -> float:
    """The share of a text's tokens that goes, so that `budget` are left.

    kvpress keeps int(tokens * (1 - ratio)). Half a token more than the budget makes that the budget in any rounding.
    """
    return 1 - (budget + 0.5) / tokens if tokens > budget else 0.0


def require_pressable(model: LoadedModel, name: str) -> None:
    """Refuse a model that a press would compress wrongly, or not at all.

    Raises:
        InputError: it is of another family, has a sliding window, rotates a part of a head, or is shared out.
    """
    family = model.adapter.family
    require_family(name, family)
    layers, hint = attention_layers(model).layers, f"leave {name} out of --compare"
    sliding = [layer.number for layer in layers if layer.sliding is not None]
    if sliding:
        raise InputError(
            f"system {name}: layer {sliding[0]} of a {family} model has a sliding window of its own, "
            "and a press would drop keys that the window counts on",
            hint=hint,
        )
    rotated = 2 * min(len(layer.rotation.frequencies) for layer in layers)
    if PRESSES[name].by_queries and rotated != model.geometry.head_dim:
        raise InputError(
            f"system {name}: this {family} model rotates {rotated} of {model.geometry.head_dim} components of a head, "
            "and kvpress's queries are rotated whole",
            hint="press-keydiff, press-knorm and press-streaming-llm need no queries",
        )
    if is_shared(model.model):
        raise InputError(f"system {name}: kvpress does not compress a model that --tp shares out", hint=hint)


@contextmanager
def _compressing(model: LoadedModel, press: Any, cache: Cache) -> Iterator[None]:
    """Compress each layer of a cache as its attention ends, in the pass that reads the whole text.

    As kvpress's own hooks do, but these need arguments of attention that transformers 5 no longer has.
    """
    attentions, handles = model.attentions(), []
    rotary: Any = model.backbone.rotary_emb
    try:
        for number, attention in attentions.items():
            attention.rotary_emb = rotary  # ExpectedAttention asks the attention for it
            hook = partial(_compress, press, cache, number)
            handles.append(attention.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for attention in attentions.values():
            if "rotary_emb" in attention._modules:
                del attention.rotary_emb


def _compress(
    press: Any,
    cache: Cache,
    number: int,
    attention: nn.Module,
    args: tuple[Any, ...],
    given: dict[str, Any],
    output: tuple[Tensor, Tensor | None],
) -> None:
    layer: Any = cache.layers[number]
    hidden = given["hidden_states"]
    layer.keys, layer.values = press.compress(attention, hidden, layer.keys, layer.values, output[1], given)


@cache
def _press_class(name: str) -> Any:
    """A press's class, from kvpress's own module.

    `import kvpress` itself would replace all of transformers' attention functions, and needs a dozen packages more. So
    a bare package stands in for it while the module is imported, unless kvpress is imported already.

    Raises:
        MissingError: kvpress is not installed, or has no such press.
    """
    kind, found = PRESSES[name], kvpress_version(name)
    spec = find_spec("kvpress") if "kvpress" not in sys.modules else None
    try:
        with _bare_package("kvpress", [] if spec is None else list(spec.submodule_search_locations or [])):
            return getattr(importlib.import_module(f"kvpress.presses.{kind.module}"), kind.name)
    except (ImportError, AttributeError) as error:
        raise MissingError(f"kvpress {found} has no {kind.name} that can be imported: {error}", hint=INSTALL) from error


@contextmanager
def _bare_package(package: str, places: list[str]) -> Iterator[None]:
    """A package of which modules can be imported, without running its own `__init__`; none without places."""
    if not places:
        yield
        return
    bare = ModuleType(package)
    bare.__path__ = places
    sys.modules[package] = bare
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
