"""A loaded model: weights, tokenizer, chat template and geometry in one object that the rest of pasctl works on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pasctl.errors import InputError
from pasctl.models.adapters import Adapter, adapter_for
from pasctl.models.chat import ChatRenderer
from pasctl.models.device import torch_dtype
from pasctl.models.footprint import Footprint, read_sizes
from pasctl.models.geometry import Geometry, geometry_of
from pasctl.models.identity import ModelSource
from pasctl.models.placement import device_of
from pasctl.models.sites import HEADS, Site, attention_blocks, decoder_of, find_sites, text_config, usual_sites
from pasctl.models.weights import takes_masks

if TYPE_CHECKING:
    from pasctl.models.check_report import CheckReport


@dataclass(eq=False)
class LoadedModel:
    """A CausalLM in eval mode, without gradients, and what is known about it.

    Attributes:
        model: the transformers CausalLM, or a vision-language model, of which the text decoder is used.
        tokenizer: its tokenizer.
        chat: renders questions with its chat template.
        geometry: layers, heads and widths.
        sites: the places in it that can be read and shifted.
        adapter: its family's row.
        device: where input ids belong.
        dtype: name of the weights' dtype.
        attn: attention implementation, as transformers names it.
        source: where it came from; `source.identity` goes into store keys.
        max_memory: bytes that a run with it may take, the process included; None for no bound.
        report: what the self-check found; None if it was not made.
        quantization: "int8" or "int4" where its weights were quantized when it was loaded, part of keys.
    """

    model: Any
    tokenizer: Any
    chat: ChatRenderer
    geometry: Geometry
    sites: tuple[Site, ...]
    adapter: Adapter
    device: str
    dtype: str
    attn: str
    source: ModelSource
    max_memory: int | None = None
    report: CheckReport | None = None
    quantization: str | None = None

    @classmethod
    def wrap(cls, model: Any, tokenizer: Any, source: ModelSource | None = None, *, as_is: bool = False) -> LoadedModel:
        """A model and a tokenizer that are in memory; without a source it shares no store key with any other.

        Its weights need no gradients from then on, unless it is left `as_is`, as one that is trained must be.
        """
        family = str(model.config.model_type)
        adapter = adapter_for(family)
        if source is None:
            identity = {"kind": "memory", "id": uuid.uuid4().hex}
            source = ModelSource("<memory>", "memory", None, None, None, f"{family}-memory", identity, family)
        sites = find_sites(model, adapter)
        return cls(
            model=model if as_is else model.eval().requires_grad_(False),
            tokenizer=tokenizer,
            chat=ChatRenderer(tokenizer),
            geometry=geometry_of(sites, text_config(model)),
            sites=sites,
            adapter=adapter,
            device=str(device_of(model.get_input_embeddings())),
            dtype=str(model.dtype).removeprefix("torch."),
            attn=str(model.config._attn_implementation),
            source=source,
        )

    @classmethod
    def given(cls, model: Any, tokenizer: Any, *, as_is: bool = False) -> LoadedModel:
        """What a caller gives: a loaded model, which has a tokenizer, or a CausalLM with one.

        Raises:
            InputError: a loaded model with another vocabulary than its own, or a tokenizer that is none.
        """
        if tokenizer is not None and not hasattr(tokenizer, "get_vocab"):
            raise InputError(
                f"the tokenizer is a {type(tokenizer).__name__}, expected one of transformers",
                hint="only the model and its tokenizer are given by place; give the rest by name",
            )
        if not isinstance(model, cls):
            return cls.wrap(model, tokenizer, as_is=as_is)
        if tokenizer is not None and tokenizer.get_vocab() != model.tokenizer.get_vocab():
            raise InputError(
                "a loaded model was given with a tokenizer of another vocabulary than its own", hint="leave it out"
            )
        return model

    @property
    def backbone(self) -> nn.Module:
        """The text decoder without lm_head; its output's `last_hidden_state` is [B, T, hidden] after the final norm."""
        return decoder_of(self.model)  # type: ignore[no-any-return]

    @property
    def config(self) -> Any:
        """The config of the text decoder."""
        return text_config(self.model)

    @property
    def shared_shape(self) -> tuple[int, int] | None:
        """Heads of a layer's keys and of its values, and their width; None if layers or the two differ."""
        geometry, size = self.geometry, self.geometry.kv_heads * self.geometry.head_dim
        attention: Any = next(iter(self.attentions().values()))
        widths = [getattr(getattr(attention, name, None), "out_features", None) for name in ("k_proj", "v_proj")]
        alike = geometry.layers == len(self.attentions()) and widths == [size, size]
        return (geometry.kv_heads, geometry.head_dim) if alike else None

    @property
    def takes_masks(self) -> bool:
        """Whether it takes a mask of our own; the self-check may have found that it does not."""
        proven = self.report is None or self.report.masks
        return proven and takes_masks(self.config, self.attn)

    @property
    def lm_head(self) -> nn.Module:
        """The output embedding, hidden -> vocabulary."""
        return self.model.get_output_embeddings()  # type: ignore[no-any-return]

    @property
    def footprint(self) -> Footprint:
        """How much memory it takes while it runs."""
        itemsize = torch_dtype(self.dtype).itemsize
        sizes = read_sizes(self.model, stored=itemsize)
        return Footprint(self.geometry, sizes, itemsize, self.device == "cpu", self.max_memory)

    def outputs(self, kind: str = HEADS) -> list[nn.Module]:
        """The modules of a kind of sites, in layer order: the attention output projections (o_proj) of those of heads.

        Heads' outputs are a projection's input [..., H*D]; the residual stream is what its module gives.
        """
        return [self.model.get_submodule(site.name) for site in usual_sites(self.sites, kind)]

    def attentions(self) -> dict[int, nn.Module]:
        """The modules of full attention, by the number of their layer."""
        return {number: block.attention for number, block in attention_blocks(self.model, self.adapter).items()}

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits float32 [..., vocabulary] of last hidden states [..., hidden] of the backbone."""
        head: Any = self.lm_head
        return self._rescaled(head(hidden).float())

    def letter_logits(self, hidden: Tensor, ids: Sequence[int]) -> Tensor:
        """Logits of a few tokens, from their rows of lm_head alone.

        Args:
            hidden: [..., hidden], the backbone's last hidden state at the positions wanted.
            ids: the tokens to score, such as the answer letters'.

        Returns:
            float32 [..., len(ids)], summed in float32 whatever the model's dtype.
        """
        head: Any = self.lm_head
        rows, weight = list(ids), head.weight
        if _has_rows(weight):
            bias = None if getattr(head, "bias", None) is None else head.bias[rows].float()
            logits = nn.functional.linear(hidden.to(weight.device).float(), weight[rows].float(), bias)
        else:  # packed or offloaded weights: only the module itself knows its rows
            logits = head(hidden)[..., rows].float()
        return self._rescaled(logits)

    def token_logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Logits float32 [n, k] of k tokens of its own behind each of n hidden states [n, hidden].

        Args:
            hidden: the backbone's last hidden states at the positions wanted.
            ids: int [n, k].
        """
        head: Any = self.lm_head
        weight = head.weight
        if _has_rows(weight):
            rows = ids.to(weight.device)
            logits = torch.einsum("nh,nkh->nk", hidden.to(weight.device).float(), weight[rows].float())
            logits = logits if getattr(head, "bias", None) is None else logits + head.bias[rows].float()
        else:
            logits = head(hidden).float()
            logits = logits.gather(-1, ids.to(logits.device))
        return self._rescaled(logits)

    @property
    def vocabulary(self) -> int:
        """Rows of lm_head."""
        head: Any = self.lm_head
        return int(getattr(head, "out_features", None) or head.weight.shape[0])

    @property
    def vocabulary_tile(self) -> int | None:
        """Rows of lm_head to run at a time where only all of them can be: it is packed, offloaded or shared out."""
        head: Any = self.lm_head
        return None if _has_rows(head.weight) else self.vocabulary

    def tile_logits(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """Logits float32 [..., stop - start] of a run of the vocabulary, so that all of it need not be held at once.

        They are on the device of `hidden`.
        """
        head: Any = self.lm_head
        if not _has_rows(head.weight):
            return self.logits(hidden)[..., start:stop].to(hidden.device)
        bias = None if getattr(head, "bias", None) is None else head.bias[start:stop]
        logits = nn.functional.linear(hidden.to(head.weight.device), head.weight[start:stop], bias)
        return self._rescaled(logits.float()).to(hidden.device)

    def _rescaled(self, logits: Tensor) -> Tensor:
        """What some families do behind lm_head: scale (Cohere), divide (Granite), squash (Gemma 2)."""
        config = self.config
        scale = getattr(config, "logit_scale", None)
        divisor = getattr(config, "logits_scaling", None)
        cap = getattr(config, "final_logit_softcapping", None)
        logits = logits * scale if scale else logits
        logits = logits / divisor if divisor else logits
        return torch.tanh(logits / cap) * cap if cap else logits


def _has_rows(weight: Any) -> bool:
    """Whether a weight's rows are the numbers that its module computes with: it is neither packed nor offloaded."""
    plain = type(weight) in (Tensor, nn.Parameter) and not weight.is_meta
    return plain and weight.dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64)
