"""`pasctl.load_model` takes models that are loaded: transformers' own, in pipelines, in training, and with adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import pasctl
from pasctl.errors import InputError
from pasctl.models.loaded import LoadedModel
from pasctl.steering.hooks import steer
from tests.whole_run import intervention

PROMPT = "I worry about things."


@pytest.fixture
def both(tiny_folder: Path) -> tuple[Any, Any]:
    """transformers' model and tokenizer, loaded by transformers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    return model, transformers.AutoTokenizer.from_pretrained(tiny_folder)


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(PROMPT, return_tensors="pt")).logits
    return found


def test_it_is_steered_as_one_that_pasctl_loads(both: tuple[Any, Any], tiny_folder: Path) -> None:
    model, tokenizer = both
    loaded, own = pasctl.load_model(model, tokenizer), pasctl.load_model(str(tiny_folder), dtype="float32")
    assert loaded.model is model
    assert loaded.report is not None
    assert pasctl.load_model(loaded) is loaded
    plain = logits(model, tokenizer)
    with steer(own, intervention(own)):
        expected = logits(own.model, own.tokenizer)
    with steer(loaded, intervention(loaded)):
        found = logits(model, tokenizer)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-3)
    torch.testing.assert_close(logits(model, tokenizer), plain, rtol=0, atol=0)


def test_a_pipeline_writes_as_the_persona_within_the_block_alone(both: tuple[Any, Any], tiny_folder: Path) -> None:
    model, tokenizer = both
    loaded, own = pasctl.load_model(model, tokenizer), pasctl.load_model(str(tiny_folder), dtype="float32")
    pipe = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)

    def text() -> str:
        return str(pipe(PROMPT, max_new_tokens=8, do_sample=False)[0]["generated_text"])

    def own_text() -> str:
        ids = own.tokenizer(PROMPT, return_tensors="pt")
        written = own.model.generate(**ids, max_new_tokens=8, do_sample=False)[0]
        return str(own.tokenizer.decode(written, skip_special_tokens=True))

    before = text()
    with steer(loaded, intervention(loaded)), steer(own, intervention(own)):
        within, expected = text(), own_text()
    assert within == expected
    assert within != before == text()


def test_a_model_in_training_stays_so_and_its_gradients_flow(both: tuple[Any, Any]) -> None:
    model, tokenizer = both
    model.train()
    frozen = model.get_input_embeddings().weight.requires_grad_(False)
    before = {name: each.requires_grad for name, each in model.named_parameters()}
    loaded = pasctl.load_model(model, tokenizer)
    assert model.training
    assert {name: each.requires_grad for name, each in model.named_parameters()} == before
    ids = tokenizer(PROMPT, return_tensors="pt")
    with steer(loaded, intervention(loaded)):
        model(**ids, labels=ids["input_ids"]).loss.backward()
    assert model.training
    assert frozen.grad is None
    first = model.model.layers[0].self_attn.o_proj.weight
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_adapters_of_peft_are_steered_through_their_own_weights(both: tuple[Any, Any]) -> None:
    """W_o d is of the projection with its adapter, and the same without the dropout that training has."""
    peft = pytest.importorskip("peft")
    model, tokenizer = both
    config = peft.LoraConfig(r=4, target_modules=["o_proj", "q_proj"], lora_dropout=0.5, init_lora_weights=False)
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(model, config).train()
    loaded = pasctl.load_model(wrapped, tokenizer)
    assert wrapped.training
    assert any(each.requires_grad for each in wrapped.parameters())
    with steer(loaded, intervention(loaded)):
        wrapped.eval()
        found = logits(wrapped, tokenizer)
        wrapped.train()
    merged = wrapped.merge_and_unload().eval()
    alone = LoadedModel.wrap(merged, tokenizer)
    plain = logits(merged, tokenizer)
    with steer(alone, intervention(alone)):
        expected = logits(merged, tokenizer)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-3)


def test_what_is_no_loaded_model_is_refused(both: tuple[Any, Any], tiny_folder: Path) -> None:
    model, tokenizer = both
    with pytest.raises(InputError, match="found no tokenizer, expected a CausalLM of transformers and its tokenizer"):
        pasctl.load_model(model)
    with pytest.raises(InputError, match="found a Linear, expected a CausalLM"):
        pasctl.load_model(torch.nn.Linear(2, 2), tokenizer)
    with pytest.raises(InputError, match="options of how to load are given with a model that is loaded"):
        pasctl.load_model(model, tokenizer, dtype="bfloat16")
    with pytest.raises(InputError, match="a tokenizer is given with a model that has its own"):
        pasctl.load_model(str(tiny_folder), tokenizer)
