"""What must hold of a loaded model before its numbers mean anything, proven on one question.

Sites are found by arithmetic on modules, and a family may do anything behind it. So: every site's module runs and is as
wide as was found, a zero displacement changes no logit, a head that is shifted before its projection is the projection
shifted by W_o d, the logits are lm_head's as pasctl reads them, and a text read in two parts is the text read at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pasctl.errors import PasctlError
from pasctl.inventory.scale import USUAL_LETTERS
from pasctl.models.check_report import CheckReport
from pasctl.models.kv_cache import SharedPrefix, behind, cache_behind
from pasctl.models.parallel import gathered, own_share
from pasctl.models.projection import output_shift
from pasctl.models.sites import RESIDUAL

if TYPE_CHECKING:
    from pasctl.models.loaded import LoadedModel

QUESTION = 'Statement: "I worry about things."'
SHORT = 16  # tokens of the passes that show a shift and a shared prefix
TOLERANCE = {"float64": 1e-4, "float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}
"""What rounding may make of a difference, as a share of what it is compared with.

Half of the tokens are nearer: where experts are chosen by a hair, a few may be far.
"""


@torch.inference_mode()
def self_check(loaded: LoadedModel, letters: Sequence[str] = USUAL_LETTERS) -> CheckReport:
    """Check a model's letters, its sites and its ways to read, each against another way.

    Raises:
        InputError: an answer letter is not one token.
        PasctlError: anything else that does not hold.
    """
    tokens = loaded.chat.letter_ids(letters)
    ids = torch.tensor([loaded.chat.encode(QUESTION)], device=loaded.device)
    kinds = [kind for kind in loaded.geometry.kinds if kind != RESIDUAL]
    inputs, plain, logits_error = _plain(loaded, ids, kinds)
    _require_zero_is_nothing(loaded, ids, kinds, plain)
    short = ids[:, :SHORT]
    shifts = {kind: _shift_error(loaded, short, kind, inputs[kind]) for kind in kinds}
    for kind, error in shifts.items():
        _require(loaded, error, f"a head shifted before its projection ({kind}) is not the projection shifted")
    prefix, masks = _prefix_errors(loaded, short)
    _require(loaded, prefix, "a text read behind a shared prefix is not the text read at once")
    shape = (1, ids.shape[1], loaded.geometry.width)
    letter_ids = dict(zip(letters, tokens, strict=True))
    right = masks <= tolerance_of(loaded)
    return CheckReport(loaded.geometry.layers, shape, letter_ids, shifts, logits_error, prefix, right)


def tolerance_of(loaded: LoadedModel) -> float:
    """What rounding may make of a difference in the model's dtype."""
    return TOLERANCE.get(loaded.dtype, TOLERANCE["bfloat16"])


def _require(loaded: LoadedModel, error: float, words: str) -> None:
    if not error <= tolerance_of(loaded):
        raise PasctlError(
            f"{loaded.source.spec} cannot be steered: {words}; they differ by {error:.2g}, expected at most "
            f"{tolerance_of(loaded):.2g} in {loaded.dtype}",
            hint=f"the {loaded.adapter.family} family does something there that pasctl does not know",
        )


def _plain(loaded: LoadedModel, ids: Tensor, kinds: Sequence[str]) -> tuple[dict[str, list[float]], Tensor, float]:
    """Spread of what enters each site, the last position's logits, and the error of reading them off lm_head."""
    inputs: dict[str, list[float]] = {kind: [] for kind in kinds}
    shapes: dict[str, list[tuple[int, ...]]] = {kind: [] for kind in kinds}
    states: list[Tensor] = []

    def reads(kind: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            heads = gathered(module, given[0])
            shapes[kind].append(tuple(heads.shape))
            inputs[kind].append(float(heads.float().std()))

        return hook

    with _hooks() as handles:
        for kind in kinds:
            handles += [module.register_forward_pre_hook(reads(kind)) for module in loaded.outputs(kind)]
        handles.append(loaded.backbone.register_forward_hook(lambda _m, _a, out: states.append(out.last_hidden_state)))
        plain: Tensor = loaded.model(input_ids=ids, use_cache=False).logits[:, -1].float()
    for kind in kinds:
        _require_shapes(loaded, kind, shapes[kind], ids.shape[1])
    if not torch.isfinite(plain).all():
        raise PasctlError(
            f"the model's logits are not finite in {loaded.dtype}", hint="try --dtype float32 or bfloat16"
        )
    ours = loaded.logits(states[0][:, -1])
    error = float((ours - plain).square().mean().sqrt() / plain.std())
    _require(loaded, error, "its logits are not those of its last hidden states")
    return inputs, plain, error


def _require_shapes(loaded: LoadedModel, kind: str, shapes: list[tuple[int, ...]], tokens: int) -> None:
    geometry = loaded.geometry.at(kind)
    expected = (1, tokens, geometry.width)
    wrong = next((n for n, shape in enumerate(shapes) if shape != expected), None)
    if wrong is not None:
        raise PasctlError(f"layer {wrong}: o_proj's input has shape {shapes[wrong]}, expected {expected}")
    if len(shapes) != geometry.layers:
        raise PasctlError(f"{len(shapes)} output projections ran, expected {geometry.layers}")


def _require_zero_is_nothing(loaded: LoadedModel, ids: Tensor, kinds: Sequence[str], plain: Tensor) -> None:
    def logits() -> Tensor:
        result: Tensor = loaded.model(input_ids=ids, use_cache=False).logits[:, -1].float()
        return result

    with _hooks() as handles:
        for kind in kinds:
            handles += [module.register_forward_hook(_add_zero) for module in loaded.outputs(kind)]
        shifted = logits()
    if not torch.equal(plain, shifted):
        # kernels that sum in any order (experts on a GPU) differ between two equal runs: only more than that is a fault
        spread = (logits() - plain).abs().max().item()
        change = (shifted - plain).abs().max().item()
        if change > 4 * spread:
            raise PasctlError(
                f"a zero displacement at o_proj changes a logit by {change:.3g}, two equal runs by {spread:.3g}"
            )


def _add_zero(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + torch.zeros_like(output)


def _shift_error(loaded: LoadedModel, ids: Tensor, kind: str, spreads: list[float]) -> float:
    """Of three rows of one batch, the second's head is shifted before the projection, the third's projection behind."""
    geometry = loaded.geometry.at(kind)
    place, head, width = geometry.layers // 2, geometry.heads // 2, geometry.head_dim
    module = loaded.outputs(kind)[place]
    displacement = torch.zeros(1, geometry.width)
    noise = torch.randn(width, generator=torch.Generator().manual_seed(0))
    displacement[0, head * width : (head + 1) * width] = 3 * spreads[place] * noise
    moved = output_shift(module, displacement)

    def before(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shifted = given[0].clone()
        shifted[1] += own_share(module, displacement[0]).to(shifted)
        return (shifted, *given[1:])

    def behind(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        shifted = output.clone()
        shifted[2] += moved[0].to(shifted)
        return shifted

    with _hooks() as handles:
        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(behind)]
        plain, first, second = _states(loaded, ids.expand(3, -1))
    return _apart(first, second, (second - plain).square().mean(-1).sqrt())


def _prefix_errors(loaded: LoadedModel, ids: Tensor) -> tuple[float, float]:
    """Of the last hidden states behind a prefix: in rows of their own, and in one row with a mask of ours."""
    device, half = ids.device, ids.shape[1] // 2
    other = ids.clone()
    other[:, -1] = ids[:, 0]  # the second row ends in another token
    whole = _states(loaded, torch.cat([ids, other]))
    cache = cache_behind(loaded, half, None)
    loaded.backbone(ids[:, :half], **behind(loaded, cache))
    rests = torch.cat([ids, other])[:, half:]
    shared = _states(loaded, rests, **behind(loaded, SharedPrefix(cache, 2)))
    spread = whole.std(-1)[:, half:]
    error = _apart(shared, whole[:, half:], spread)
    if not loaded.takes_masks:
        return error, error
    count = rests.shape[1]
    row = torch.cat([ids[:, half:], other[:, -1:]], dim=1)  # the two last tokens stand at one place
    mask = torch.zeros(1, 1, count + 1, half + count + 1, dtype=loaded.model.dtype, device=device)
    seen = torch.ones(count + 1, count + 1, dtype=torch.bool, device=device).tril()
    seen[-1, -2] = False
    mask[0, 0, :, half:].masked_fill_(~seen, torch.finfo(mask.dtype).min)
    places = torch.arange(half, half + count + 1, device=device)[None].clamp_max(half + count - 1)
    forked = _states(
        loaded,
        row,
        **behind(loaded, SharedPrefix(cache, 1)),
        position_ids=places,
        attention_mask=mask,
    )
    return error, _apart(forked[0, -2:], whole[:, -1], spread[:, -1])


def _states(loaded: LoadedModel, ids: Tensor, **more: Any) -> Tensor:
    """Last hidden states float32 [B, T, hidden]."""
    states: Tensor = loaded.backbone(input_ids=ids, **({"use_cache": False} | more)).last_hidden_state
    return states.float()


def _apart(some: Tensor, others: Tensor, scale: Tensor) -> float:
    """Root mean square of a token's difference over a scale [...]; half of the tokens are nearer."""
    each = (some - others).square().mean(-1).sqrt() / scale.clamp_min(torch.finfo(torch.float32).tiny)
    return float(each.flatten().cpu().median())


@contextmanager
def _hooks() -> Iterator[list[Any]]:
    """A list of hooks' handles, all removed when the block ends."""
    handles: list[Any] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()
