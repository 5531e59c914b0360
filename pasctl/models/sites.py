"""Sites: the places in a model that can be read and shifted, found from its modules.

A layer's attention has a site where its heads' outputs, side by side, enter the projection back to the residual stream:
o_proj of full attention, out_proj of a linear one. The residual stream after a layer is a site as well, with one "head"
as wide as the stream. What is found here is arithmetic on modules; `pasctl.models.selfcheck` shows that it is true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, PasctlError

if TYPE_CHECKING:
    from torch import nn

    from pasctl.models.adapters import Adapter

HEADS, LINEAR, RESIDUAL = KINDS = ("heads", "linear", "residual")
_ATTENTION = ("self_attn", "attention", "attn", "self_attention", "mixer", "temporal_block")
_LINEAR = ("linear_attn", "linear_attention")
_OUTPUT = ("o_proj", "out_proj", "dense", "wo", "c_proj")
_LAYERS = ("layers", "h", "blocks")
_LINEAR_HEADS = ("num_v_heads", "num_heads", "num_value_heads")
_BEHIND = ("post_self_attn_layernorm", "post_feedforward_layernorm", "attention_layernorm_2")


@dataclass(frozen=True)
class Site:
    """One place.

    Attributes:
        name: path of its module from the model; a site of heads is that module's input, the residual stream its output.
        kind: "heads" of full attention, heads of "linear" attention, or "residual".
        layer: number of the decoder layer.
        heads: heads side by side; 1 for the residual stream.
        kv_heads: heads of keys and values that they share.
        width: components of a head.
        norm_behind: whether a norm stands between the site and the residual stream.
    """

    name: str
    kind: str
    layer: int
    heads: int
    kv_heads: int
    width: int
    norm_behind: bool = False


def text_config(model: Any) -> Any:
    """The config of a model's text decoder."""
    config = model.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def decoder_of(model: Any) -> Any:
    """The module that turns token ids into last hidden states: the text tower, without lm_head."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    if not any(hasattr(decoder, name) for name in _LAYERS) and hasattr(decoder, "model"):
        return decoder.model
    return decoder


def find_sites(model: Any, adapter: Adapter) -> tuple[Site, ...]:
    """All sites of a model, layer by layer, those of heads first.

    Raises:
        InputError: no layer has an attention whose output projection is found.
        PasctlError: config and modules disagree.
    """
    config, names = text_config(model), {module: name for name, module in model.named_modules()}
    layers = decoder_layers(model, adapter)
    if len(layers) != config.num_hidden_layers:
        raise PasctlError(f"config says {config.num_hidden_layers} layers, the model has {len(layers)}")
    found = [site for number, layer in enumerate(layers) for site in _of_layer(number, layer, config, adapter, names)]
    if not any(site.kind == HEADS for site in found):
        raise InputError(
            f"no layer of this {adapter.family} model has an attention with an output projection that pasctl knows",
            hint="name them in a row: pasctl/models/adapters.py, or an entry point of another package",
        )
    return (*found, *(_residual(number, layer, config, names) for number, layer in enumerate(layers)))


def decoder_layers(model: Any, adapter: Adapter) -> Sequence[nn.Module]:
    """The decoder layers of a model.

    Raises:
        PasctlError: it has no list of them where the row says, or where models usually have it.
    """
    if adapter.layers is not None:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # within what peft wraps it in
        try:
            return list(inner.get_submodule(adapter.layers))
        except AttributeError as error:
            raise PasctlError(f"a {adapter.family} model should have {adapter.layers}: {error}") from error
    decoder = decoder_of(model)
    for name in _LAYERS:
        if (layers := getattr(decoder, name, None)) is not None:
            return list(layers)
    raise InputError(
        f"the decoder of this {adapter.family} model has none of {', '.join(_LAYERS)}",
        hint="name its list of layers in a row: pasctl/models/adapters.py, or an entry point of another package",
    )


def attention_of_layer(
    number: int, layer: nn.Module, config: Any, adapter: Adapter
) -> tuple[str, nn.Module, nn.Module] | None:
    """Kind, module and output projection of a layer's attention; None where it has none, as a convolution's layer."""
    types = getattr(config, "layer_types", None)
    usual = _ATTENTION if adapter.attention is None else (adapter.attention,)
    for name in (*usual, *_LINEAR):
        module = getattr(layer, name, None)
        output = None if module is None else _output_of(module, adapter)
        if module is None or output is None:
            continue
        linear = name in _LINEAR or (types is not None and types[number] == "linear_attention")
        return (LINEAR if linear else HEADS), module, output
    return None


@dataclass(frozen=True, eq=False)
class Block:
    """Modules of a decoder layer with full attention: the layer, its attention and its output projection."""

    layer: nn.Module
    attention: nn.Module
    output: nn.Module


def attention_blocks(model: Any, adapter: Adapter) -> dict[int, Block]:
    """The decoder layers with full attention, by their numbers."""
    config, blocks = text_config(model), {}
    for number, layer in enumerate(decoder_layers(model, adapter)):
        attended = attention_of_layer(number, layer, config, adapter)
        if attended is not None and attended[0] == HEADS:
            blocks[number] = Block(layer, *attended[1:])
    return blocks


def usual_sites(sites: Sequence[Site], kind: str) -> list[Site]:
    """The sites of a kind that are as most of that kind are: "heads@32" asks for those whose heads are 32 wide."""
    name, _, width = kind.partition("@")
    chosen = [site for site in sites if site.kind == name]
    if width:
        return [site for site in chosen if str(site.width) == width]
    shapes = Counter((site.heads, site.kv_heads, site.width) for site in chosen)
    return [site for site in chosen if (site.heads, site.kv_heads, site.width) == shapes.most_common(1)[0][0]]


def site_kinds(sites: Sequence[Site]) -> list[str]:
    """Words for the kinds of sites that a model has, as `usual_sites` takes them."""
    kinds: list[str] = []
    for name in (kind for kind in KINDS if any(site.kind == kind for site in sites)):
        usual = {site.width for site in usual_sites(sites, name)}
        others = {site.width for site in sites if site.kind == name} - usual
        kinds += [name, *(f"{name}@{width}" for width in sorted(others))]
    return kinds


def _of_layer(
    number: int, layer: nn.Module, config: Any, adapter: Adapter, names: dict[nn.Module, str]
) -> Iterator[Site]:
    attended = attention_of_layer(number, layer, config, adapter)
    if attended is None:
        return
    kind, attention, output = attended
    width, heads = _in_features(output) or 0, _heads(config, attention, kind)
    if width % heads:
        raise PasctlError(f"layer {number}: {names[output]} takes {width} inputs, expected {heads} heads of one width")
    stated = _stated_width(config, attention, kind)
    if stated is not None and stated * heads != width:
        raise PasctlError(
            f"layer {number}: {names[output]} takes {width} inputs, expected {heads} heads x head_dim {stated} = "
            f"{heads * stated}"
        )
    kv_heads = _kv_heads(config, attention, heads) if kind == HEADS else heads
    behind = any(hasattr(layer, name) for name in _BEHIND)
    yield Site(names[output], kind, number, heads, kv_heads, width // heads, behind)


def _output_of(attention: nn.Module, adapter: Adapter) -> nn.Module | None:
    """The projection that takes the heads' outputs; None where none is known."""
    for name in _OUTPUT if adapter.output is None else (adapter.output,):
        module: nn.Module | None = getattr(attention, name, None)
        if module is not None and _in_features(module) is not None:
            return module
    return None


def _residual(number: int, layer: nn.Module, config: Any, names: dict[nn.Module, str]) -> Site:
    return Site(names[layer], RESIDUAL, number, 1, 1, int(config.hidden_size))


def _heads(config: Any, attention: nn.Module, kind: str) -> int:
    if kind == LINEAR:
        for name in _LINEAR_HEADS:
            if isinstance(found := getattr(attention, name, None), int):
                return found
    found = getattr(attention, "num_heads", None) or getattr(attention, "num_attention_heads", None)
    return int(found if isinstance(found, int) else config.num_attention_heads)


def _kv_heads(config: Any, attention: nn.Module, heads: int) -> int:
    groups = getattr(attention, "num_key_value_groups", None)
    if isinstance(groups, int) and groups and heads % groups == 0:
        return heads // groups
    return int(getattr(config, "num_key_value_heads", None) or heads)


def _stated_width(config: Any, attention: nn.Module, kind: str) -> int | None:
    """What module or config say of a head's width; values of MLA have one of their own. None where they say nothing."""
    if kind == LINEAR:
        found = getattr(attention, "head_v_dim", None)
    else:
        found = getattr(attention, "v_head_dim", None) or getattr(attention, "head_dim", None)
        # hidden / heads, the last resort, would be wrong on several sizes of Qwen3: the projection's own width counts
        found = found or getattr(config, "head_dim", None)
    return int(found) if isinstance(found, int) else None


def _in_features(projection: Any) -> int | None:
    """Input width of a linear layer; packed and quantized layers keep it as an attribute, not as the weight's shape."""
    found = getattr(projection, "in_features", None)
    if found is None and getattr(projection, "weight", None) is not None and projection.weight.dim() == 2:
        found = projection.weight.shape[-1]
    return None if found is None else int(found)
