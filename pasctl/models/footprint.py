"""How much memory a model takes while it runs, told from its sizes alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.models.geometry import Geometry

PROCESS_BYTES = 430 << 20
"""An interpreter with torch and transformers; measured with the CPU builds of torch 2.13 and transformers 5.23."""
_QUANTIZING = 16  # bytes that each number of a weight takes while torchao rounds it
LOGITS_BYTES = 64 << 20  # of a vocabulary's float32 logits that are held at once
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


@dataclass(frozen=True)
class Packed:
    """What the weights of a quantized model take.

    Attributes:
        size: bytes of all weights.
        largest: numbers in the largest packed one, which a pass may unpack.
        count: numbers in all packed ones.
    """

    size: int
    largest: int = 0
    count: int = 0


@dataclass(frozen=True)
class Sizes:
    """What else than attention's geometry decides how much memory a model takes.

    Attributes:
        parameters: numbers in all weights, tied ones counted once.
        largest: numbers in the largest weight.
        feed_forward: channels between a layer's MLP projections; of a mixture, of all experts that serve a token.
        vocabulary: rows of lm_head.
        stored: bytes a number has in the files, 0 where the files are unpacked one weight at a time (GGUF).
        packed: of a quantized model, what its weights take; None where they take the run's dtype.
    """

    parameters: int
    largest: int
    feed_forward: int
    vocabulary: int
    stored: int
    packed: Packed | None = None


def read_sizes(model: Any, *, stored: int) -> Sizes:
    """Sizes of a CausalLM, with or without its numbers."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    counts = [weight.numel() for weight in model.parameters()]
    dense = int(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    experts = int(getattr(config, "num_experts_per_tok", None) or 0)
    expert = int(getattr(config, "moe_intermediate_size", None) or dense)
    return Sizes(
        sum(counts), max(counts), max(dense, experts * expert), int(config.vocab_size), stored, _read_packed(model)
    )


def _read_packed(model: Any) -> Packed | None:
    """What the weights of a loaded model take, if transformers knows it as quantized."""
    if getattr(model, "hf_quantizer", None) is None:
        return None
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}.values()
    packed = [tensor.numel() for tensor in tensors if _parts(tensor) or not tensor.dtype.is_floating_point]
    return Packed(sum(map(_bytes, tensors)), max(packed, default=0), sum(packed))


def _bytes(tensor: Any) -> int:
    parts = _parts(tensor)
    return sum(map(_bytes, parts)) if parts else int(tensor.numel() * tensor.element_size())


def _parts(tensor: Any) -> list[Any]:
    """The tensors that a tensor of a class of its own is made of, such as torchao's integers and their scales."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    return [] if flatten is None else [getattr(tensor, name) for name in flatten()[0]]


@dataclass(frozen=True)
class Footprint:
    """The memory of a run, in bytes, on the device that the model runs on.

    Attributes:
        geometry: layers, heads and widths.
        sizes: of the weights.
        itemsize: bytes a number has while the model runs.
        on_host: whether the model runs where this process lives, whose own memory then counts as well.
        limit: bound that the user sets; None for no bound.
    """

    geometry: Geometry
    sizes: Sizes
    itemsize: int
    on_host: bool
    limit: int | None = None

    @property
    def weights(self) -> int:
        """Of the weights alone."""
        packed = self.sizes.packed
        return self.sizes.parameters * self.itemsize if packed is None else packed.size

    @property
    def resting(self) -> int:
        """Of the loaded model and the process around it."""
        return self.weights + (PROCESS_BYTES if self.on_host else 0)

    @property
    def loading(self) -> int:
        """At its most while the weights are loaded: those in another dtype stand beside what they are read from."""
        if not self.on_host:
            return self.resting
        if self.sizes.packed is not None:  # beside the files: a weight as it is read, and what it is rounded to
            files = self.sizes.stored * self.sizes.parameters if self.sizes.packed.largest else 0
            return self.resting + files + _QUANTIZING * self.sizes.packed.largest
        if not self.sizes.stored:  # a weight in float32, unpacked, and once more while its axes are put in order
            return self.resting + 8 * self.sizes.largest
        return self.resting + (0 if self.sizes.stored == self.itemsize else self.sizes.stored * self.sizes.parameters)

    def keys_and_values(self, tokens: int) -> int:
        """Of so many tokens in all layers."""
        return 2 * self.geometry.layers * self._shared * self.itemsize * tokens

    def forward(self, rows: int, tokens: int, before: int) -> int:
        """At the hungriest place of a forward pass of `rows` times `tokens` tokens behind `before` others.

        Of a layer: the residual stream, its norm and their sum; then either the queries and their norm in float32, or
        the MLP's channels. Behind a prefix, one layer's keys and values, repeated for all heads, and the mask.
        """
        geometry, size = self.geometry, self.itemsize
        queries = geometry.width * (size + 8) + 2 * self._shared * size
        channels = 3 * self.sizes.feed_forward * size
        own = rows * tokens * (3 * geometry.hidden * size + max(queries, channels)) + self._unpacked
        if not before:
            return own
        seen = rows * (before + tokens) * 2 * (self._shared + geometry.width) * size
        return own + seen + tokens * (before + tokens) * size

    def logits(self, rows: int) -> int:
        """Of so many positions at most, in the model's dtype and in float32, with a copy for their sum."""
        held = min(rows, max(1, LOGITS_BYTES // (4 * self.sizes.vocabulary)))
        return held * self.sizes.vocabulary * (self.itemsize + 8)

    @property
    def _unpacked(self) -> int:
        """Of one packed weight in the run's dtype, which it is multiplied in."""
        return 0 if self.sizes.packed is None else self.itemsize * self.sizes.packed.largest

    @property
    def _shared(self) -> int:
        """Width of a layer's keys, G * D."""
        return self.geometry.kv_heads * self.geometry.head_dim


def parse_size(text: str | int | None) -> int | None:
    """Bytes that a size such as "6GB" or "512MiB" means; None stays None.

    Raises:
        InputError: it is no size.
    """
    if text is None or isinstance(text, int):
        size = text
    else:
        found = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*([KMG]i?B)?", text.strip(), re.IGNORECASE)
        size = None if found is None else int(float(found[1]) * _UNITS[(found[2] or "").upper()])
        if size is None:
            raise InputError(f"memory {text!r} is no size", hint="such as 6GB, 512MB or 4GiB")
    if size is not None and size <= 0:
        raise InputError(f"memory is {size} bytes, expected more than 0", hint="such as 6GB")
    return size


def require_room(footprint: Footprint, needed: int = 0) -> None:
    """Refuse what does not fit into the memory limit.

    Args:
        footprint: of the model, with its limit.
        needed: bytes, the process and the weights included; by default what loading takes.

    Raises:
        InputError: it takes more than the limit.
    """
    needed = max(needed, footprint.loading)
    if footprint.limit is not None and needed > footprint.limit:
        refuse_limit(footprint.limit, needed, "raise --max-memory, or take a smaller model or --dtype bfloat16")


def refuse_limit(limit: int, needed: int, hint: str = "raise --max-memory") -> NoReturn:
    """Say that a memory limit cannot be kept, and what the least is that could."""
    raise InputError(
        f"memory is limited to {limit / 1e9:.2f} GB, the run needs at least {needed / 1e9:.2f} GB", hint=hint
    )


def text_rows(footprint: Footprint, tokens: int, batch_tokens: int) -> int:
    """How many texts of `tokens` tokens a batch may hold that keeps the keys and values of all.

    Raises:
        InputError: the limit is too low for a single one.
    """

    def needed(rows: int) -> int:
        working = footprint.forward(rows, tokens, 0) + footprint.logits(rows)
        return footprint.resting + footprint.keys_and_values(rows * tokens) + working

    rows = max(1, batch_tokens // tokens)
    while footprint.limit is not None and needed(rows) > footprint.limit:
        if rows == 1:
            require_room(footprint, needed(rows))
        rows //= 2
    return rows
