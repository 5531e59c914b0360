"""A loaded model: weights, tokenizer, chat template and geometry in one object that the rest of pasctl works on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pasctl.models.adapters import Adapter, adapter_for
from pasctl.models.chat import ChatRenderer
from pasctl.models.device import torch_dtype
from pasctl.models.footprint import Footprint, read_sizes
from pasctl.models.geometry import Geometry, read_geometry
from pasctl.models.identity import ModelSource
from pasctl.models.weights import takes_masks


@dataclass(eq=False)
class LoadedModel:
    """A CausalLM in eval mode, without gradients, and what is known about it.

    Attributes:
        model: the transformers CausalLM.
        tokenizer: its tokenizer.
        chat: renders questions with its chat template.
        geometry: layers, heads and widths.
        adapter: its family's row of module paths.
        device: where input ids belong.
        dtype: name of the weights' dtype.
        attn: attention implementation, as transformers names it.
        source: where it came from; `source.identity` goes into store keys.
        max_memory: bytes that a run with it may take, the process included; None for no bound.
    """

    model: Any
    tokenizer: Any
    chat: ChatRenderer
    geometry: Geometry
    adapter: Adapter
    device: str
    dtype: str
    attn: str
    source: ModelSource
    max_memory: int | None = None

    @classmethod
    def wrap(cls, model: Any, tokenizer: Any, source: ModelSource | None = None) -> LoadedModel:
        """A model and a tokenizer that are in memory; without a source it shares no store key with any other."""
        family = str(model.config.model_type)
        adapter = adapter_for(family)
        if source is None:
            identity = {"kind": "memory", "id": uuid.uuid4().hex}
            source = ModelSource("<memory>", "memory", None, None, None, f"{family}-memory", identity, family)
        return cls(
            model=model.eval().requires_grad_(False),
            tokenizer=tokenizer,
            chat=ChatRenderer(tokenizer),
            geometry=read_geometry(model, adapter),
            adapter=adapter,
            device=str(model.get_input_embeddings().weight.device),
            dtype=str(model.dtype).removeprefix("torch."),
            attn=str(model.config._attn_implementation),
            source=source,
        )

    @property
    def backbone(self) -> nn.Module:
        """The model without lm_head; its output's `last_hidden_state` is [B, T, hidden] after the final norm."""
        return self.model.base_model  # type: ignore[no-any-return]

    @property
    def takes_masks(self) -> bool:
        """Whether it takes a mask of our own."""
        return takes_masks(self.model.config, self.attn)

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

    def outputs(self) -> list[nn.Module]:
        """The attention output projections (o_proj), [..., H*D] -> hidden, in layer order."""
        return [output for _, _, output in self.adapter.blocks(self.model)]

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
        if weight.dtype.is_floating_point and not weight.is_meta:
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
        if weight.dtype.is_floating_point and not weight.is_meta:
            rows = ids.to(weight.device)
            logits = torch.einsum("nh,nkh->nk", hidden.to(weight.device).float(), weight[rows].float())
            logits = logits if getattr(head, "bias", None) is None else logits + head.bias[rows].float()
        else:
            logits = head(hidden).float().gather(-1, ids)
        return self._rescaled(logits)

    @property
    def vocabulary(self) -> int:
        """Rows of lm_head."""
        head: Any = self.lm_head
        return int(getattr(head, "out_features", None) or head.weight.shape[0])

    def tile_logits(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """Logits float32 [..., stop - start] of a run of the vocabulary, so that all of it need not be held at once."""
        head: Any = self.lm_head
        if not head.weight.dtype.is_floating_point or head.weight.is_meta:
            return self.logits(hidden)[..., start:stop]
        bias = None if getattr(head, "bias", None) is None else head.bias[start:stop]
        return self._rescaled(nn.functional.linear(hidden, head.weight[start:stop], bias).float())

    def _rescaled(self, logits: Tensor) -> Tensor:
        """What some families do behind lm_head: scale (Cohere), divide (Granite), squash (Gemma 2)."""
        config = self.model.config
        scale = getattr(config, "logit_scale", None)
        divisor = getattr(config, "logits_scaling", None)
        cap = getattr(config, "final_logit_softcapping", None)
        logits = logits * scale if scale else logits
        logits = logits / divisor if divisor else logits
        return torch.tanh(logits / cap) * cap if cap else logits
