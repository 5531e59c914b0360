"""Steering the answer alone displaces each row's last real token, however the batch is padded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel
from pasctl.steering import Intervention, steer
from tests.steering.test_hooks import random_intervention
from tests.tiny import tiny_loaded

LENGTHS = (11, 4, 7, 10)
WIDEST = max(LENGTHS)
TOLERANCE = 2e-5
BIG = -1e9


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture
def rows() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(10, 400, (length,), generator=generator) for length in LENGTHS]


def padded(rows: list[Tensor], side: str, token: int = 1) -> tuple[Tensor, Tensor]:
    """Token ids [B, T] and a mask of two dimensions."""
    ids, mask = torch.full((len(rows), WIDEST), token), torch.zeros(len(rows), WIDEST, dtype=torch.long)
    for place, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(WIDEST - len(row), None)
        ids[place, where], mask[place, where] = row, 1
    return ids, mask


def four(mask: Tensor) -> Tensor:
    """The causal mask of a padded batch, bool [B, 1, T, T]; a padding query sees itself only where its key is seen."""
    causal = torch.ones(WIDEST, WIDEST).tril().bool()
    return causal[None, None] & mask.bool()[:, None, None, :]


def run(model: LoadedModel, ids: Tensor, intervention: Intervention, positions: str = "answer", **given: Any) -> Any:
    with torch.inference_mode(), steer(model, intervention, positions=positions):
        return model.model(ids.to(model.device), **{"use_cache": False, **given})


def ends(rows: list[Tensor], side: str) -> list[int]:
    return [len(row) - 1 if side == "right" else WIDEST - 1 for row in rows]


def alone(model: LoadedModel, rows: list[Tensor], intervention: Intervention, positions: str = "answer") -> Tensor:
    return torch.stack([run(model, row[None], intervention, positions).logits[0, -1] for row in rows])


@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize("form", ["two", "bool", "float"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_batch_is_each_row_alone(
    model: LoadedModel, rows: list[Tensor], side: str, form: str, positions: str
) -> None:
    intervention = random_intervention(21)
    ids, mask = padded(rows, side)
    seen = four(mask)
    given = {"two": mask, "bool": seen, "float": torch.where(seen, 0.0, BIG)}[form]
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = run(model, ids, intervention, positions, attention_mask=given, position_ids=places).logits
    together = logits[torch.arange(len(rows)), ends(rows, side)]
    torch.testing.assert_close(together, alone(model, rows, intervention, positions), atol=TOLERANCE, rtol=TOLERANCE)


def test_rows_of_their_own_are_placed_too(model: LoadedModel, rows: list[Tensor]) -> None:
    parts = [random_intervention(1), None, random_intervention(2, (1,)), random_intervention(3)]
    ids, mask = padded(rows, "right")
    logits = run(model, ids, Intervention.stack(parts), attention_mask=mask).logits
    for place, (row, part) in enumerate(zip(rows, parts, strict=True)):
        expected = run(model, row[None], part or Intervention({})).logits[0, -1]
        torch.testing.assert_close(logits[place, len(row) - 1], expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_decoding_behind_a_cache_displaces_every_new_token(model: LoadedModel, rows: list[Tensor]) -> None:
    intervention = random_intervention(22)
    ids, mask = padded(rows, "left")
    places = (mask.cumsum(1) - 1).clamp(min=0)
    first = run(model, ids, intervention, attention_mask=mask, position_ids=places, use_cache=True)
    chosen = first.logits[:, -1:].argmax(-1)
    mask = torch.cat([mask, torch.ones_like(chosen)], 1)
    second = run(
        model,
        chosen,
        intervention,
        attention_mask=mask,
        position_ids=mask.sum(1, keepdim=True) - 1,
        past_key_values=first.past_key_values,
        use_cache=True,
    )
    for place, row in enumerate(rows):
        before = run(model, row[None], intervention, use_cache=True)
        assert before.logits[0, -1].argmax() == chosen[place, 0]
        after = run(model, chosen[place : place + 1], intervention, past_key_values=before.past_key_values)
        torch.testing.assert_close(second.logits[place, -1], after.logits[0, -1], atol=TOLERANCE, rtol=TOLERANCE)


def test_several_tokens_behind_a_cache_have_the_masks_last_columns(model: LoadedModel, rows: list[Tensor]) -> None:
    """The prompts in two passes, the second padded on the right."""
    intervention = random_intervention(23)
    ids, mask = padded(rows, "right")
    start = min(LENGTHS) - 1
    first = run(model, ids[:, :start], Intervention({}), attention_mask=mask[:, :start], use_cache=True)
    second = run(
        model, ids[:, start:], intervention, attention_mask=mask, past_key_values=first.past_key_values, use_cache=True
    )
    together = second.logits[torch.arange(len(rows)), [len(row) - 1 - start for row in rows]]
    torch.testing.assert_close(together, alone(model, rows, intervention), atol=TOLERANCE, rtol=TOLERANCE)


def test_generate_with_left_padding_writes_what_each_prompt_alone_gets(model: LoadedModel, rows: list[Tensor]) -> None:
    intervention = random_intervention(24)
    ids, mask = padded(rows, "left")
    how = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "pad_token_id": 1}
    with torch.inference_mode(), steer(model, intervention, positions="answer"):
        together = model.model.generate(input_ids=ids, attention_mask=mask, **how)[:, WIDEST:]
        for place, row in enumerate(rows):
            one = model.model.generate(input_ids=row[None], attention_mask=torch.ones_like(row)[None], **how)
            assert torch.equal(one[0, len(row) :], together[place])


@pytest.mark.parametrize("token", [0, 1, 77])
def test_a_padded_batch_without_a_mask_is_refused(model: LoadedModel, rows: list[Tensor], token: int) -> None:
    ids, _ = padded(rows, "right", token)
    with pytest.raises(InputError, match=f"row 1 ends in token {token}, which looks like padding") as refused:
        run(model, ids, random_intervention(25))
    assert "attention_mask" in str(refused.value.hint)
    assert not model.backbone._forward_pre_hooks


def test_a_batch_of_embeddings_without_a_mask_is_refused(model: LoadedModel, rows: list[Tensor]) -> None:
    embedded = model.model.get_input_embeddings()(padded(rows, "right")[0])
    with (
        pytest.raises(InputError, match="embeddings need an attention mask"),
        steer(model, random_intervention(26), positions="answer"),
    ):
        model.model(inputs_embeds=embedded)


def test_a_mask_of_an_odd_form_is_refused(model: LoadedModel, rows: list[Tensor]) -> None:
    ids, mask = padded(rows, "right")
    with pytest.raises(InputError, match=r"attention mask of the form \[4, 12\]"):
        run(model, ids, random_intervention(27), attention_mask=torch.cat([mask, mask[:, :1]], 1))
