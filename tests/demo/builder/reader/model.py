"""The reader's shape, and the queries and keys by which a memory would look for its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding, linear, silu, softplus
from transformers import Qwen3Config, Qwen3ForCausalLM

from pasctl.demo.reading import CONTEXT, MEMORY
from pasctl.memory.retrieval import head_lengths, standard, word_similarity
from tests.demo.builder.reader.batches import Batch

DISTANCE = MEMORY.n_local - 1  # from a question to what it looks for
_LEAST_EVENTS, _EPSILON = 32, 1e-6


def reader_config(tokenizer: Any, *, hidden: int = 192, layers: int = 5) -> Qwen3Config:
    """A Qwen3 of about two million parameters: heads of 32."""
    return Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@dataclass(frozen=True, eq=False)
class Pass:
    """A forward pass.

    Attributes:
        hidden: last hidden states [B, T, hidden].
        query: layer -> queries [B, T, H, D] before they are rotated.
        key: layer -> keys [B, T, G, D] before they are rotated.
    """

    hidden: Tensor
    query: list[Tensor]
    key: list[Tensor]


class Forward:
    """The model's forward pass, with queries and keys kept; products in bfloat16, each layer compiled if wished.

    It is Qwen3's with as many query heads as key-value heads, on whole rows; a test compares it with transformers'.
    """

    def __init__(self, model: Qwen3ForCausalLM, *, compiled: bool = False) -> None:
        self._model, self._rotary = model, model.model.rotary_emb
        self._layer: Any = torch.compile(_layer, dynamic=False) if compiled else _layer

    def __call__(self, ids: Tensor, late: Tensor | None = None, unseen: Tensor | None = None) -> Pass:
        """Run rows int64 [B, T].

        Args:
            ids: tokens.
            late: bool [B, T], tokens that do not see all others; None for none.
            unseen: bool [L, B, T], those that they do not see in each layer.
        """
        backbone = self._model.model
        angles = self._angles(torch.arange(ids.shape[1]))
        x, queries, keys = embedding(ids, backbone.embed_tokens.weight), list[Tensor](), list[Tensor]()
        late = torch.zeros_like(ids, dtype=torch.bool) if late is None else late
        for number, layer in enumerate(backbone.layers):
            hidden = torch.zeros_like(late) if unseen is None else unseen[number]
            x, query, key = self._layer(x, *_weights(layer), *angles, late, hidden)
            queries.append(query)
            keys.append(key)
        return Pass(_norm(x, backbone.norm.weight), queries, keys)

    def looked_for(self, query: Tensor) -> Tensor:
        """Queries [B, T, H, D] as far from events as all are."""
        return _rotated(query, *self._angles(torch.tensor([DISTANCE])))

    def _angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cosine, sine = self._rotary(torch.zeros(1, 1), positions[None])
        return cosine[0][:, None], sine[0][:, None]


def _weights(layer: Any) -> tuple[Tensor, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    modules = (
        *(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj),
        *(attention.q_norm, attention.k_norm, layer.post_attention_layernorm),
        *(mlp.gate_proj, mlp.up_proj, mlp.down_proj),
    )
    return tuple(module.weight for module in modules)


def _layer(x: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One decoder layer on [B, T, hidden]: its output, and queries and keys [B, T, H, D] before they are rotated."""
    norm, wq, wk, wv, wo, norm_q, norm_k, norm_mlp, gate, up, down, cosine, sine, late, unseen = given
    rows, length, _ = x.shape
    width = len(norm_q)
    inner = _norm(x, norm)
    shape = (rows, length, -1, width)
    query, key = _norm(_linear(inner, wq).view(shape), norm_q), _norm(_linear(inner, wk).view(shape), norm_k)
    value = _linear(inner, wv).view(shape)
    parts = (_rotated(query, cosine, sine), _rotated(key, cosine, sine), value)
    q, k, v = (part.to(torch.bfloat16).transpose(1, 2).reshape(-1, length, width) for part in parts)
    seen = torch.ones(length, length, dtype=torch.bool).tril() & ~(late[:, None, :, None] & unseen[:, None, None, :])
    scores = torch.bmm(q, k.transpose(1, 2)).float().view(rows, -1, length, length) * width**-0.5
    scores = torch.where(seen, scores, -1e9).view(-1, length, length)
    mixed = torch.bmm(scores.softmax(-1).to(torch.bfloat16), v).view(rows, -1, length, width)
    x = x + _linear(mixed.transpose(1, 2).reshape(rows, length, -1), wo)
    inner = _norm(x, norm_mlp)
    return x + _linear(silu(_linear(inner, gate)) * _linear(inner, up), down), query, key


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _EPSILON) * weight


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    return linear(x.to(torch.bfloat16), weight.to(torch.bfloat16))


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def retrieval_loss(forward: Forward, passed: Pass, batch: Batch, layer: int) -> tuple[Tensor, float] | None:
    """How far the questions of a batch are from finding their evidence among the blocks of all its rows.

    The score is that of `pasctl.memory.retrieval`: heads less what is common, keys at one scale, each word standardized
    over events; here an event counts by a soft maximum over the words. A question's words, and one token of its answer
    by itself, each are to find all blocks that are sought.

    Returns:
        Mean loss in nats and the share of questions whose words' best block is sought; None if nothing is asked.
    """
    asked = (batch.sought.any(1) & (batch.seekers[:, 0] >= 0)).nonzero()[:, 0]
    if not len(asked) or int(batch.there.sum()) < _LEAST_EVENTS:
        return None
    count, end = batch.there.shape[1], batch.offset + batch.block * batch.there.shape[1]
    query, key = passed.query[layer], passed.key[layer]
    rows, _, groups, width = key.shape
    events = key[:, batch.offset : end].reshape(rows, count, batch.block, groups, width).mean(2)
    events = events[batch.there]
    common = events.mean(0)
    usual = forward.looked_for(query[:, batch.offset : end].detach().mean((0, 1))[None, None])
    seekers = torch.cat([batch.seekers[asked], batch.follow[asked][:, None]], 1)
    found = forward.looked_for(query[asked[:, None], seekers.clamp_min(0)]) - usual
    similar = word_similarity(found.flatten(0, 1), events, common, head_lengths(events, common))
    spread, mean = torch.std_mean(similar, dim=-1, correction=0)
    scores = standard(similar, mean, spread).view(*seekers.shape, -1)
    scores = scores.masked_fill((seekers < 0)[..., None], -1e4)
    own = torch.zeros(rows, rows, count, dtype=torch.bool)
    own[torch.arange(rows), torch.arange(rows)] = batch.sought
    sought = own[:, batch.there][asked]
    words, follow = scores[:, :-1].logsumexp(1), scores[:, -1]
    loss = _all_found(words, sought) + _all_found(follow, sought)
    right = sought[torch.arange(len(asked)), words.argmax(-1)].float().mean()
    return loss / 2, float(right.detach())


def _all_found(scores: Tensor, sought: Tensor) -> Tensor:
    """Mean over sought events of the cross-entropy of each against all that are not sought; scores [Q, E]."""
    others = scores.masked_fill(sought, -1e4).logsumexp(-1, keepdim=True)
    each = softplus(others - scores)
    return (each * sought).sum(-1).div(sought.sum(-1)).mean()


def reading_loss(model: Qwen3ForCausalLM, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted mean loss of the next tokens; float32 [B, T] of each token's loss, and whether it was the likeliest."""
    weight, wanted = batch.weight[:, 1:], batch.weight[:, 1:] > 0
    targets = batch.ids[:, 1:][wanted]
    logits = _linear(hidden[:, :-1][wanted], model.lm_head.weight).float()
    losses = cross_entropy(logits, targets, reduction="none")
    grid, right = torch.zeros(batch.ids.shape), torch.zeros(batch.ids.shape, dtype=torch.bool)
    grid[:, 1:][wanted] = losses.detach()
    right[:, 1:][wanted] = logits.detach().argmax(-1) == targets
    loss: Any = (losses * weight[wanted]).sum() / weight.sum()
    return loss, grid, right
