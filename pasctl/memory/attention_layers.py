"""What a model's layers of full attention do with positions, measured on the model itself.

One token is run at several positions, each a text of its own, with an attention that gives nothing. Then every layer
has the same queries and keys before it rotates them, and what comes out of it shows how it rotates: of the
frequencies that the model has, and the ways to pair components, one must explain queries and keys of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.params import MemoryParams
from pasctl.memory.rotary import Rotation
from pasctl.memory.rotation_search import find_rotations, frequencies, tolerance, without_weight
from pasctl.models.attention import Scoring, own_attention, run_backbone
from pasctl.models.load import LoadedModel

POSITIONS = (0, 1, 3, 50, 777)
"""Where the token stands; those beyond the model's context are left out."""
_CONTEXT = 4096  # of a model that does not say
_ATTENDED = ("full_attention", "sliding_attention", "hybrid")  # hybrid: full attention and a state in one layer


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """A layer of full attention.

    Attributes:
        number: of the decoder layer.
        rotation: of its queries and keys.
        sliding: the layer's own sliding window; such a layer takes no memory.
        device: that it attends on.
    """

    number: int
    rotation: Rotation
    sliding: int | None
    device: torch.device


@dataclass(frozen=True, eq=False)
class AttentionLayers:
    """A model's layers of full attention, in the order of their numbers; a layer's place among them is its index.

    Attributes:
        layers: the layers.
        kv_heads: heads of keys and values, in each.
        head_dim: components of a head, in the layer that has most; memory fills up narrower ones with zeros.
        limit: tokens up to which the model does as measured; beyond, its rotation or its queries change with the
            length of the text. None is any number.
    """

    layers: tuple[AttentionLayer, ...]
    kv_heads: int
    head_dim: int
    limit: int | None

    def place(self, number: int) -> int:
        """Place of a decoder layer."""
        return self.numbers.index(number)

    @property
    def numbers(self) -> list[int]:
        """Number of each decoder layer."""
        return [layer.number for layer in self.layers]

    @property
    def sliding(self) -> list[int | None]:
        """Each layer's own sliding window."""
        return [layer.sliding for layer in self.layers]

    @property
    def devices(self) -> list[torch.device]:
        """The device that each layer attends on."""
        return [layer.device for layer in self.layers]


_MEASURED: WeakKeyDictionary[LoadedModel, AttentionLayers] = WeakKeyDictionary()


def attention_layers(model: LoadedModel) -> AttentionLayers:
    """A loaded model's layers of full attention, measured once; run it when nothing else runs the model.

    Raises:
        InputError: a layer attends in a way that memory does not.
    """
    if model not in _MEASURED:
        _MEASURED[model] = _measure(model)
    return _MEASURED[model]


def has_key_biases(model: LoadedModel) -> bool:
    """Whether keys have biases, as in Qwen2: a large part that they have in common."""
    return any(
        getattr(getattr(module, "k_proj", None), "bias", None) is not None for module in model.attentions().values()
    )


def require_reach(layers: AttentionLayers, params: MemoryParams, family: str) -> None:
    """Refuse a memory in which a token attends farther than the model does the same for.

    Raises:
        InputError: it does.
    """
    reach = params.n_init + params.n_mem + params.n_local + params.chunk
    if layers.limit is not None and reach > layers.limit:
        raise InputError(
            f"{changes_beyond(family, layers.limit)}, and n_init + n_mem + n_local + chunk are {reach}",
            hint="give smaller sizes, such as --n-mem and --n-local",
        )


def changes_beyond(family: str, limit: int) -> str:
    """Says that a family's model attends otherwise beyond a number of tokens."""
    return f"a {family} model attends in another way when a text is longer than {limit} tokens"


@dataclass(eq=False)
class Probe:
    """Takes queries and keys [P, heads, 1, D] of each layer, and gives nothing to attend to."""

    taken: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    sliding: dict[int, int | None] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Zeros (see `pasctl.models.attention.Attender`)."""
        self.taken[layer], self.sliding[layer], self.values[layer] = (query, key), scoring.sliding, value.shape[-1]
        return value.new_zeros((*query.shape[:3], value.shape[-1]))


@torch.inference_mode()
def _measure(model: LoadedModel) -> AttentionLayers:
    _require_whole_keys(model)
    original, context = _contexts(model)
    positions = [place for place in POSITIONS if place < original]
    probe = _probe(model, positions)
    kv_heads, head_dim = _one_shape(model, probe)
    rotations = find_rotations(model, probe.taken, torch.tensor(positions))
    layers = [
        AttentionLayer(number, rotation, _sliding(model, number, probe.sliding[number]), probe.taken[number][0].device)
        for number, rotation in sorted(rotations.items())
    ]
    if all(layer.sliding is not None for layer in layers):
        raise InputError(
            f"{len(layers)} of {len(layers)} layers of a {model.adapter.family} model have a sliding window of their "
            "own, and such layers take no memory"
        )
    limit = original if _changes_beyond(model, rotations, context) else None
    return AttentionLayers(tuple(layers), kv_heads, head_dim, limit)


def _require_whole_keys(model: LoadedModel) -> None:
    """Refuse what the keys and values of a layer cannot be kept of, before anything runs.

    Raises:
        InputError: attention is latent (MLA), or masked as neither full nor sliding attention is.
    """
    family, types = model.adapter.family, getattr(model.config, "layer_types", None)
    for number, attention in model.attentions().items():
        if hasattr(attention, "kv_lora_rank"):
            raise InputError(f"a {family} model keeps latent keys (MLA), and memory keeps whole ones")
        if types is not None and types[number] not in _ATTENDED:
            raise InputError(
                f"layer {number} of a {family} model is of type {types[number]}, which attends to other tokens than "
                "full and sliding attention do"
            )


def _probe(model: LoadedModel, positions: Sequence[int]) -> Probe:
    """Run a token at each of some positions."""
    probe, token = Probe(), (model.tokenizer.encode("word", add_special_tokens=False) or [0])[0]
    with own_attention(model):
        run_backbone(model, torch.full((len(positions), 1), token), probe, torch.tensor(positions)[:, None])
    return probe


def _one_shape(model: LoadedModel, probe: Probe) -> tuple[int, int]:
    """Heads of every layer's keys and values, and the most components that one of them has.

    Raises:
        InputError: a layer did not attend through transformers' function, or layers differ in their heads.
    """
    family = model.adapter.family
    if missing := sorted(set(model.attentions()) - set(probe.taken)):
        raise InputError(
            f"layer {missing[0]} of a {family} model attends by code of its own, so pasctl cannot attend for it"
        )
    heads = [key.shape[1] for _, key in probe.taken.values()]
    if len(set(heads)) > 1:
        raise InputError(
            f"layers of a {family} model have {min(heads)} and {max(heads)} heads of keys and values, and memory keeps "
            "the same number of all"
        )
    widths = [max(key.shape[-1], probe.values[number]) for number, (_, key) in probe.taken.items()]
    return heads[0], max(widths)


def _sliding(model: LoadedModel, number: int, given: int | None) -> int | None:
    """A layer's own window: what it gives its attention; or what its type and the config say, where it gives none.

    A window as wide as the model's context, as Phi-4-mini has, bounds nothing.
    """
    config = model.config
    types = getattr(config, "layer_types", None)
    if given is None and types is not None and types[number] == "sliding_attention":
        given = getattr(config, "sliding_window", None)
    return None if given is None or given >= _contexts(model)[1] else int(given)


def _contexts(model: LoadedModel) -> tuple[int, int]:
    """Tokens that the model's positions were first made for, and those that it takes now."""
    config = model.config
    now = int(getattr(config, "max_position_embeddings", None) or _CONTEXT)
    parameters = getattr(config, "rope_parameters", None) or {}
    for source in (parameters, *(part for part in parameters.values() if isinstance(part, dict))):
        if isinstance(found := source.get("original_max_position_embeddings"), int):
            return found, max(found, now)
    first = int(getattr(config, "original_max_position_embeddings", None) or now)
    return first, max(first, now)


def _changes_beyond(model: LoadedModel, rotations: Mapping[int, Rotation], context: int) -> bool:
    """Whether a token far beyond the context changes frequencies, or has queries or keys of another length."""
    before = frequencies(model)
    probe = _probe(model, [0, 2 * context + 3])
    after = frequencies(model)
    _probe(model, [0])  # the frequencies go back to those of a short text
    if len(before) != len(after) or any(not torch.equal(old, new) for old, new in zip(before, after, strict=True)):
        return True
    for number, taken in probe.taken.items():
        rotation = rotations[number]
        for x, weight in zip(taken, (rotation.query_weight, rotation.key_weight), strict=True):
            near, far = without_weight(x, weight).norm(dim=-1)
            if float((far - near).abs().mean()) > tolerance(model) * float(near.mean()):
                return True
    return False
