"""What a model's layers of full attention do with positions, measured on the model itself.

One token is run at several positions, each a text of its own, with an attention that gives nothing. Then every layer
has the same queries and keys before it rotates them, and what comes out of it shows how it rotates: of the
frequencies that the model has, and the ways to pair components, one must explain queries and keys of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from pasctl.errors import InputError
from pasctl.memory.rotary import Angles, Rotation, rotate
from pasctl.models.attention import Scoring, own_attention, run_backbone
from pasctl.models.load import LoadedModel

POSITIONS = (0, 1, 3, 50, 777)
"""Where the token stands; those beyond the model's context are left out."""
TOLERANCE = {"float64": 1e-3, "float32": 1e-3, "float16": 0.02, "bfloat16": 0.02}
"""Mean difference of two components as a share of their size. Rounding makes 3e-5 in float32 and .004 in bfloat16,
another frequency or pairing .1 and more."""
_CONTEXT = 4096  # of a model that does not say
_ATTENDED = ("full_attention", "sliding_attention")
_NORMS = (("query_layernorm", "key_layernorm"), ("q_norm", "k_norm"), ("q_layernorm", "k_layernorm"))


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """A layer of full attention.

    Attributes:
        number: of the decoder layer.
        rotation: of its queries and keys.
        sliding: the layer's own sliding window; such a layer takes no memory.
    """

    number: int
    rotation: Rotation
    sliding: int | None


@dataclass(frozen=True, eq=False)
class AttentionLayers:
    """A model's layers of full attention, in the order of their numbers; a layer's place among them is its index.

    Attributes:
        layers: the layers.
        kv_heads: heads of keys and values, in each.
        head_dim: components of a head, in each.
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


_MEASURED: WeakKeyDictionary[LoadedModel, AttentionLayers] = WeakKeyDictionary()


def attention_layers(model: LoadedModel) -> AttentionLayers:
    """A loaded model's layers of full attention, measured once; run it when nothing else runs the model.

    Raises:
        InputError: a layer attends in a way that memory does not.
    """
    if model not in _MEASURED:
        _MEASURED[model] = _measure(model)
    return _MEASURED[model]


@dataclass(eq=False)
class Probe:
    """Takes queries and keys [P, heads, 1, D] of each layer, and gives nothing to attend to."""

    taken: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    sliding: dict[int, int | None] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Zeros (see `pasctl.models.attention.Attender`)."""
        self.taken[layer], self.sliding[layer] = (query, key), scoring.sliding
        self.values[layer] = value.shape[-1]
        return value.new_zeros((*query.shape[:3], value.shape[-1]))


@torch.inference_mode()
def _measure(model: LoadedModel) -> AttentionLayers:
    _require_whole_keys(model)
    original, context = _contexts(model)
    positions = [place for place in POSITIONS if place < original]
    probe = _probe(model, positions)
    kv_heads, head_dim = _one_shape(model, probe)
    rotations = _rotations(model, probe, torch.tensor(positions))
    layers = [
        AttentionLayer(number, rotation, _sliding(model, number, probe.sliding[number]))
        for number, rotation in sorted(rotations.items())
    ]
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
            raise InputError(f"layer {number} of a {family} model has {types[number]}, whose mask memory does not have")


def _probe(model: LoadedModel, positions: Sequence[int]) -> Probe:
    """Run a token at each of some positions."""
    probe, token = Probe(), (model.tokenizer.encode("word", add_special_tokens=False) or [0])[0]
    with own_attention(model):
        run_backbone(model, torch.full((len(positions), 1), token), probe, torch.tensor(positions)[:, None])
    return probe


def _one_shape(model: LoadedModel, probe: Probe) -> tuple[int, int]:
    """Heads and width of the keys of every layer.

    Raises:
        InputError: a layer did not attend through transformers' function, or layers differ.
    """
    family = model.adapter.family
    if missing := sorted(set(model.attentions()) - set(probe.taken)):
        raise InputError(
            f"layer {missing[0]} of a {family} model attends by code of its own, so pasctl cannot attend for it"
        )
    shapes = [(key.shape[1], key.shape[-1]) for _, key in probe.taken.values()]
    for number, shape in zip(probe.taken, shapes, strict=True):
        if shape != shapes[0]:
            raise InputError(
                f"layers of a {family} model differ in their keys, {shapes[0][0]} heads of {shapes[0][1]} components "
                f"and {shape[0]} of {shape[1]}, and memory keeps keys of one shape"
            )
        if probe.values[number] != shape[1]:
            raise InputError(
                f"keys of a {family} model have {shape[1]} components and values {probe.values[number]}, "
                "and memory keeps both of one width"
            )
    return shapes[0]


def _sliding(model: LoadedModel, number: int, given: int | None) -> int | None:
    """A layer's own window: what it gives its attention; or what its type and the config say, where it gives none."""
    config = model.config
    types = getattr(config, "layer_types", None)
    if given is None and types is not None and types[number] == "sliding_attention":
        given = getattr(config, "sliding_window", None)
    return None if given is None else int(given)


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
    before = _frequencies(model)
    probe = _probe(model, [0, 2 * context + 3])
    after = _frequencies(model)
    _probe(model, [0])  # the frequencies go back to those of a short text
    if len(before) != len(after) or any(not torch.equal(old, new) for old, new in zip(before, after, strict=True)):
        return True
    for number, taken in probe.taken.items():
        rotation = rotations[number]
        for x, weight in zip(taken, (rotation.query_weight, rotation.key_weight), strict=True):
            near, far = _without(x, weight).norm(dim=-1)
            if float((far - near).abs().mean()) > _tolerance(model) * float(near.mean()):
                return True
    return False


def _frequencies(model: LoadedModel) -> list[Tensor]:
    """Different sets of frequencies that the text decoder has, float64 [R / 2]."""
    sets: list[Tensor] = []
    for name, buffer in model.backbone.named_buffers():
        if name.endswith("inv_freq") and not name.endswith("original_inv_freq"):
            values = buffer.double().cpu().clone()
            if not any(torch.equal(values, other) for other in sets):
                sets.append(values)
    return sets


def _rotations(model: LoadedModel, probe: Probe, positions: Tensor) -> dict[int, Rotation]:
    """How each layer rotates.

    Raises:
        InputError: none of the ways that are known explains what a layer does.
    """
    turns = [
        (sign * values, interleaved)
        for values in _frequencies(model)
        for interleaved in (False, True)
        for sign in (1, -1)
    ]
    none = (torch.empty(0, dtype=torch.float64), False)
    kinds = [Rotation(*turn, kind) for kind, turn in enumerate([*turns, none])]
    rotations: dict[int, Rotation] = {}
    for number, attention in model.attentions().items():
        query, key = probe.taken[number]
        for rotation in _candidates(kinds, attention, key.shape[-1]):
            errors = (
                _error(query, positions, rotation, rotation.query_weight),
                _error(key, positions, rotation, rotation.key_weight),
            )
            if max(errors) <= _tolerance(model):
                rotations[number] = rotation
                break
        else:
            raise InputError(
                f"layer {number} of a {model.adapter.family} model changes its queries and keys with their positions "
                "in a way that memory does not know"
            )
    return rotations


def _candidates(kinds: Sequence[Rotation], attention: nn.Module, width: int) -> Iterator[Rotation]:
    """Ways in which a layer may rotate, with no norm behind the rotation and with each that it has."""
    able = [kind for kind in kinds if 2 * len(kind.frequencies) <= width]
    yield from able
    for names in _NORMS:
        query, key = (getattr(getattr(attention, name, None), "weight", None) for name in names)
        if query is not None and key is not None and query.shape == key.shape == (width,):
            yield from (replace(kind, query_weight=query, key_weight=key) for kind in able)


def _error(x: Tensor, positions: Tensor, rotation: Rotation, weight: Tensor | None) -> float:
    """Mean difference of queries or keys [P, heads, 1, D] from rotated ones, of each pair as a share of its size."""
    moved = _without(x, weight)
    at_zero = moved[:1].expand_as(moved)
    angles = positions[:, None, None, None].double() * rotation.frequencies
    expected = rotate(at_zero, Angles(angles.cos(), angles.sin(), rotation.interleaved))
    differences = [
        (is_now - was).norm(dim=-1) / (is_now.norm(dim=-1) + was.norm(dim=-1)).clamp_min(1e-30)
        for is_now, was in zip(_pairs(moved, rotation), _pairs(expected, rotation), strict=True)
    ]
    return float(torch.cat([part.flatten() for part in differences]).mean())


def _pairs(x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Components [..., R / 2, 2] that are rotated together, and [..., D - R, 1] that are not."""
    rotated = 2 * len(rotation.frequencies)
    part, rest = x[..., :rotated], x[..., rotated:, None]
    if rotation.interleaved:
        return torch.stack([part[..., 0::2], part[..., 1::2]], dim=-1), rest
    return torch.stack(part.chunk(2, dim=-1), dim=-1), rest


def _without(x: Tensor, weight: Tensor | None) -> Tensor:
    """Queries or keys in float64, without the weight of a norm."""
    values = x.double().cpu()
    return values if weight is None else values / weight.double().cpu()


def _tolerance(model: LoadedModel) -> float:
    return TOLERANCE.get(model.dtype, TOLERANCE["bfloat16"])
