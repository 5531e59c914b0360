"""A memory inside transformers' own generate, pipelines and calls: the model within the window, a memory beyond."""

from __future__ import annotations

import copy
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, TextIteratorStreamer, pipeline

import pasctl
from pasctl.errors import InputError
from pasctl.memory.dropin import remember
from pasctl.memory.em_llm import parameters
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.memory_cache import MemoryCache
from pasctl.memory.params import MemoryParams
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from tests.generation.test_generate import weak
from tests.memory.test_every_family import REFUSED
from tests.memory.test_exactness import SMALL, text_ids
from tests.memory.test_long_contexts import LIMIT, model_of
from tests.tiny import tiny_loaded, tiny_model, tiny_tokenizer
from tests.tiny_configs import EVERY_FAMILY

WITHIN = SMALL | {"n_local": 128}
GREEDY: dict[str, Any] = {"max_new_tokens": 10, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}


def batch(*lengths: int, left: bool = True) -> tuple[Tensor, Tensor]:
    """Token ids and mask [B, longest] of texts of some lengths."""
    longest = max(lengths)
    rows, masks = [], []
    for number, length in enumerate(lengths):
        ids, rest = text_ids(length, seed=number), [0] * (longest - length)
        rows.append([*rest, *ids] if left else [*ids, *rest])
        masks.append([*rest, *[1] * length] if left else [*[1] * length, *rest])
    return torch.tensor(rows), torch.tensor(masks)


def written(model: Any, ids: Tensor, mask: Tensor | None = None, **how: Any) -> Tensor:
    mask = torch.ones_like(ids) if mask is None else mask
    made: Tensor = model.generate(ids, attention_mask=mask, **GREEDY | how)
    return made[:, ids.shape[1] :]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@pytest.mark.parametrize("family", sorted(set(EVERY_FAMILY) - set(REFUSED)))
def test_within_the_window_generate_is_the_models_own_in_every_family(family: str) -> None:
    loaded = tiny_loaded(family)
    model = loaded.model
    ids, mask = batch(40)
    padded, its_mask = batch(30, 20)
    with torch.inference_mode():
        logits, alone, both = model(ids).logits, written(model, ids, mask), written(model, padded, its_mask)
        with remember(model, loaded.tokenizer, **WITHIN):
            assert torch.allclose(model(ids).logits, logits, atol=1e-4)
            assert torch.equal(written(model, ids, mask), alone)
            assert torch.equal(written(model, padded, its_mask), both)
        assert torch.equal(model(ids).logits, logits)


@pytest.mark.parametrize("positions", ["compact", "paper"])
def test_beyond_the_window_generate_is_an_episodic_memory(loaded: LoadedModel, positions: str) -> None:
    settings = SMALL | {"positions": positions, "query": "mean"}  # a prompt has no question to look for
    text = text_ids(300)
    memory = EpisodicMemory(loaded, **settings)
    memory.read_ids(text)
    expected = memory.logits([text_ids(1)])  # something after it, to see that both have read the same
    with remember(loaded, **settings) as inside:
        cache = inside.cache()
        with torch.inference_mode():
            out = loaded.model(torch.tensor([text]), past_key_values=cache)
            follows = loaded.model(torch.tensor([text_ids(1)]), past_key_values=cache).logits[:, -1]
    assert torch.allclose(follows, expected, atol=1e-4)
    surprise = torch.nn.functional.cross_entropy(out.logits[0, :-1], torch.tensor(text[1:]), reduction="none")
    assert torch.allclose(surprise, memory.reader.surprise[1:], atol=1e-4)


def test_every_row_of_a_batch_has_a_memory_of_its_own(loaded: LoadedModel) -> None:
    lengths = (300, 120, 40)
    with remember(loaded, **SMALL) as inside:
        alone = [written(loaded.model, torch.tensor([text_ids(n, seed=row)])) for row, n in enumerate(lengths)]
        together = written(loaded.model, *batch(*lengths))
        figures = inside.describe()
    assert torch.equal(together, torch.cat(alone))
    assert [each["tokens"] for each in figures] == [n + GREEDY["max_new_tokens"] - 1 for n in lengths]
    assert figures[0]["events_outside_window"] > figures[1]["events_outside_window"] > 5
    assert figures[0]["tokens_attended"] > 0


def test_padding_on_the_right_changes_no_logits(loaded: LoadedModel) -> None:
    ids, mask = batch(200, 90, left=False)
    with torch.inference_mode(), remember(loaded, **SMALL):
        both = loaded.model(ids, attention_mask=mask).logits
        for row, length in enumerate((200, 90)):
            own = loaded.model(ids[row : row + 1, :length]).logits[0]
            assert torch.allclose(both[row, :length], own, atol=1e-5)


def test_samples_of_one_prompt_are_read_once_and_differ(loaded: LoadedModel) -> None:
    ids = torch.tensor([text_ids(300)])
    how = {"do_sample": True, "temperature": 3.0, "num_return_sequences": 3}
    with remember(loaded, **SMALL):
        torch.manual_seed(0)
        first = written(loaded.model, ids, **how)
        torch.manual_seed(0)
        assert torch.equal(written(loaded.model, ids, **how), first)
    assert len({tuple(row) for row in first.tolist()}) == 3


def test_a_long_answer_slides(loaded: LoadedModel) -> None:
    with remember(loaded, **SMALL) as inside:
        written(loaded.model, torch.tensor([text_ids(20)]), max_new_tokens=200)
        [text] = inside.texts
    assert text.describe()["events_outside_window"] > 10
    assert text.reader.windows[0].turned.shape[2] <= SMALL["n_local"] + SMALL["max_block"] + SMALL["chunk"]
    assert isinstance(text.ask("Who?", max_new_tokens=3), str)


def test_a_cache_goes_on_from_call_to_call_and_can_be_copied(loaded: LoadedModel) -> None:
    text, more = text_ids(200), text_ids(60, seed=5)
    with torch.inference_mode(), remember(loaded, **SMALL) as inside:
        cache = inside.cache()
        loaded.model(torch.tensor([text]), past_key_values=cache)
        fork = copy.deepcopy(cache)
        again = written(loaded.model, torch.tensor([text + more]), past_key_values=cache)
        assert torch.equal(written(loaded.model, torch.tensor([text + more]), past_key_values=fork), again)
        assert cache.get_seq_length() == 260 + GREEDY["max_new_tokens"] - 1


def test_pipelines_and_streamers_work_as_usual(loaded: LoadedModel) -> None:
    model, tokenizer = loaded.model, loaded.tokenizer
    prompt = "I am the life of the party. " * 60
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with remember(model, tokenizer, **SMALL):
        expected = tokenizer.decode(written(model, ids)[0])
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
        mask = torch.ones_like(ids)
        thread = Thread(
            target=model.generate, args=(ids,), kwargs=GREEDY | {"streamer": streamer, "attention_mask": mask}
        )
        thread.start()
        assert "".join(streamer) == expected
        thread.join()
        [made] = pipeline("text-generation", model=model, tokenizer=tokenizer)(prompt, return_full_text=False, **GREEDY)
    assert made["generated_text"] == expected


def test_only_the_wanted_states_are_kept(loaded: LoadedModel) -> None:
    ids, mask = batch(90, 40)
    with torch.inference_mode(), remember(loaded, **SMALL):
        whole = loaded.model(ids, attention_mask=mask).logits
        last = loaded.model(ids, attention_mask=mask, logits_to_keep=3).logits
    assert last.shape[1] == 3
    assert torch.equal(last, whole[:, -3:])


def test_steering_is_in_force_at_all_positions_or_refused(loaded: LoadedModel) -> None:
    ids = torch.tensor([text_ids(40)])
    moved = weak(1, (1,))
    with torch.inference_mode(), steer(loaded, moved):
        expected = loaded.model(ids).logits
        with remember(loaded, **WITHIN):
            assert torch.allclose(loaded.model(ids).logits, expected, atol=1e-4)
    with (
        remember(loaded, **WITHIN),
        steer(loaded, moved, positions="answer"),
        pytest.raises(InputError, match="answer"),
    ):
        loaded.model(ids, attention_mask=torch.ones_like(ids))


def test_what_memory_cannot_do_is_one_line(loaded: LoadedModel) -> None:
    model, ids = loaded.model, torch.tensor([text_ids(40)])
    mask = torch.ones_like(ids)
    foreign = DynamicCache(config=model.config)
    model(ids, past_key_values=foreign)
    with remember(loaded, **SMALL) as inside:
        with pytest.raises(InputError, match="beam search"):
            model.generate(ids, attention_mask=mask, **GREEDY, num_beams=2)
        with pytest.raises(InputError, match="DynamicCache of 40 tokens"):
            model(ids, past_key_values=foreign)
        with pytest.raises(InputError, match="inputs_embeds"):
            model(inputs_embeds=model.get_input_embeddings()(ids))
        with pytest.raises(InputError, match="attention_mask is"):
            model(ids, attention_mask=torch.ones(1, 1, 40, 40))
        with pytest.raises(InputError, match="position_ids"):
            model(ids, position_ids=torch.arange(5, 45)[None])
        with pytest.raises(InputError, match="attention weights"):
            model(ids, output_attentions=True)
        with pytest.raises(InputError, match="take back"):
            inside.cache().crop(-1)
        cache = inside.cache()
        model(ids, past_key_values=cache)
        with pytest.raises(InputError, match="1 texts and the batch 2"):
            model(ids.expand(2, -1), past_key_values=cache)
    assert "forward" not in vars(loaded.backbone)
    assert "generate" not in vars(model)
    assert not model._forward_pre_hooks


def test_the_model_is_as_it_was_after_a_failure(loaded: LoadedModel) -> None:
    ids = torch.tensor([text_ids(40)])
    before = loaded.model(ids).logits
    with pytest.raises(ZeroDivisionError), remember(loaded, **SMALL):
        raise ZeroDivisionError
    assert torch.equal(loaded.model(ids).logits, before)


def test_a_model_that_learns_goes_on_learning() -> None:
    model = tiny_model("qwen3").train()
    frozen = next(model.parameters()).requires_grad_(False)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is not frozen)
    with remember(model, tiny_tokenizer(), **SMALL):
        assert not model.training
        assert written(model, torch.tensor([text_ids(60)])).shape == (1, 10)
    assert all(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()].count(False) == 1
    model(torch.tensor([text_ids(9)]), labels=torch.tensor([text_ids(9)])).loss.backward()


def test_sizes_that_are_not_given_keep_to_where_the_model_attends_alike() -> None:
    model = model_of("longrope")
    with remember(model, n_local=48) as inside:
        assert inside.params == MemoryParams.for_context(LIMIT, n_local=48)
    assert inside.params != MemoryParams.for_context(model.model.config.max_position_embeddings, n_local=48)


def test_em_llms_names_patch_a_model(loaded: LoadedModel) -> None:
    model, ids = loaded.model, torch.tensor([text_ids(300)])
    named = {"n_init": 4, "n_local": 32, "n_mem": 24, "exc_block_size": 8, "min_block_size": 2, "max_block_size": 8}
    plain = written(model, ids)
    patched = pasctl.patch(
        model,
        attn_type="em_llm",
        tokenizer=loaded.tokenizer,
        **named,
        repr_topk=2,
        surprisal_threshold_gamma=0.5,
        contiguity_buffer=True,
        contiguity_buffer_kwargs={"buffer_size": 0.3},
    )
    assert patched is model
    made = written(model, ids)
    with pytest.raises(InputError, match="already"):
        pasctl.patch(model, tokenizer=loaded.tokenizer)
    assert pasctl.unpatch(model) is model
    assert torch.equal(written(model, ids), plain)
    with pasctl.remember(model, loaded.tokenizer, **SMALL):
        assert torch.equal(written(model, ids), made)


def test_what_is_no_tokenizer_of_the_model_is_refused() -> None:
    model, params, other = tiny_loaded(), MemoryParams(**SMALL), tiny_tokenizer()
    other.add_tokens(["Brücke"])
    for make in (EpisodicMemory, lambda *given: remember(*given).__enter__()):
        with pytest.raises(InputError, match="the tokenizer is a MemoryParams, expected one of transformers"):
            make(model, params)
        with pytest.raises(InputError, match="another vocabulary than its own"):
            make(model, other)
    assert EpisodicMemory(model, tiny_tokenizer(), params=params).params is params


def test_names_without_a_meaning_here_are_said_and_wrong_ones_refused() -> None:
    with pytest.warns(UserWarning, match="fattn, pin_memory"):
        assert parameters({"n_local": 64, "fattn": True, "pin_memory": False}) == {"n_local": 64}
    refined = {"similarity_refinement": True, "similarity_refinement_kwargs": {"similarity_metric": "conductance"}}
    assert parameters(refined | {"contiguity_buffer": False, "base": None}) == {
        "refine": "conductance",
        "contiguity": 0,
    }
    with pytest.raises(InputError, match="n_locl") as wrong:
        parameters({"n_locl": 3})
    assert "n_local" in str(wrong.value.hint)
    with pytest.raises(InputError, match="distance_scale is 2"):
        parameters({"distance_scale": 2.0})
    with pytest.raises(InputError, match="attn_type"):
        pasctl.patch(torch.nn.Linear(1, 1), attn_type="inf_llm")


def test_a_copied_cache_has_no_part_in_the_first() -> None:
    assert copy.deepcopy(MemoryCache()).columns == 0
