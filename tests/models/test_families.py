"""Every family of the adapter table, on a tiny model: paths, geometry, self-check, letter scores."""

from __future__ import annotations

import pytest
import torch

from pasctl.errors import InputError, PasctlError
from pasctl.models.adapters import ADAPTERS, Adapter, adapter_for
from pasctl.models.geometry import Geometry, read_geometry
from pasctl.models.identity import ModelSource
from pasctl.models.load import load_model
from pasctl.models.selfcheck import self_check
from pasctl.models.sites import attention_blocks
from tests.tiny import FAMILIES, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, tiny_loaded, tiny_model
from tests.tiny_configs import EVERY_FAMILY


def test_every_row_has_a_tiny_model():
    assert set(ADAPTERS) <= set(EVERY_FAMILY)
    assert set(FAMILIES) <= set(EVERY_FAMILY)


@pytest.mark.parametrize("family", FAMILIES)
def test_geometry_is_the_configs_and_heads_are_not_hidden(family):
    geometry = read_geometry(tiny_model(family), adapter_for(family))
    assert geometry == Geometry(LAYERS, HEADS, KV_HEADS, HEAD_DIM, HIDDEN)
    assert geometry.width == HEADS * HEAD_DIM != geometry.hidden


@pytest.mark.parametrize("family", FAMILIES)
def test_self_check_passes(family):
    loaded = tiny_loaded(family)
    report = self_check(loaded)
    tokens = len(loaded.chat.encode('Statement: "I worry about things."'))
    assert report.head_output_shape == (1, tokens, HEADS * HEAD_DIM)
    assert report.layers == LAYERS
    assert {loaded.tokenizer.decode([token]) for token in report.letter_ids.values()} == set("ABCDE")


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_come_in_the_order_in_which_they_run(family):
    loaded = tiny_loaded(family)
    ran: list[torch.nn.Module] = []
    handles = [module.register_forward_hook(lambda module, *_: ran.append(module)) for module in loaded.outputs()]
    loaded.backbone(torch.tensor([[5, 6, 7]]))
    for handle in handles:
        handle.remove()
    assert len(ran) == LAYERS
    assert all(first is second for first, second in zip(ran, loaded.outputs(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_bias_switch_is_what_gives_the_output_projection_a_bias(family):
    from transformers import AutoModelForCausalLM

    from tests.tiny import tiny_config

    adapter, config = adapter_for(family), tiny_config(family)
    config.attention_bias = True
    model = AutoModelForCausalLM.from_config(config)
    biased = [block.output.bias is not None for block in attention_blocks(model, adapter).values()]
    assert biased == [adapter.bias_switch == "attention_bias"] * LAYERS


@pytest.mark.parametrize("family", FAMILIES)
def test_letter_logits_equal_the_full_models(family):
    loaded = tiny_loaded(family)
    ids = torch.tensor([loaded.chat.encode("I worry about things.")])
    letters = loaded.chat.letter_ids()
    with torch.inference_mode():
        full = loaded.model(ids).logits[..., letters]
        ours = loaded.letter_logits(loaded.backbone(ids).last_hidden_state, letters)
    torch.testing.assert_close(ours, full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gemma2", "cohere", "granite"])
def test_letter_logits_follow_what_a_family_does_behind_lm_head(family):
    """These families have no adapter row yet: only the scaling behind lm_head is looked at."""
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
    extra = {
        "gemma2": {"final_logit_softcapping": 0.5},
        "cohere": {"logit_scale": 0.25},
        "granite": {"logits_scaling": 4.0},
    }
    config = AutoConfig.for_model(
        family,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        initializer_range=0.5,
        **shape,
        **extra[family],
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    loaded = tiny_loaded()
    loaded.model = model
    ids = torch.tensor([[5, 9, 11]])
    with torch.inference_mode():
        full = model(ids).logits[..., [3, 4]]
        ours = loaded.letter_logits(loaded.backbone(ids).last_hidden_state, [3, 4])
        unscaled = torch.nn.functional.linear(loaded.backbone(ids).last_hidden_state, loaded.lm_head.weight[[3, 4]])
    torch.testing.assert_close(ours, full, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(unscaled, full, rtol=1e-2)


@pytest.mark.parametrize("head_bias", [False, True])
def test_letter_logits_of_a_head_whose_rows_cannot_be_taken_apart_are_the_modules(head_bias):
    """Stands in for packed weights: an output layer with integers for a weight."""
    loaded, hidden = tiny_loaded("llama"), torch.randn(2, 3, HIDDEN)
    plain = torch.nn.Linear(HIDDEN, 50, bias=head_bias)

    class Packed(torch.nn.Module):
        weight = torch.zeros(4, dtype=torch.uint8)

        def forward(self, states):
            return plain(states)

    loaded.model.lm_head = plain
    expected = loaded.letter_logits(hidden, [7, 3])
    torch.testing.assert_close(expected, plain(hidden)[..., [7, 3]])
    loaded.model.lm_head = Packed()
    torch.testing.assert_close(loaded.letter_logits(hidden, [7, 3]), expected)


@pytest.mark.parametrize(
    ("family", "words"),
    [("qwen3moe", r"'qwen3moe' is not known .*did you mean qwen3_moe\?"), ("vit", "a vit model, and .* no class")],
)
def test_a_family_that_no_class_writes_text_for_is_refused_before_anything_is_read(family, words):
    source = ModelSource("org/name", "hub", None, "org/name", "0" * 40, "name", {}, family)
    with pytest.raises(InputError, match=words) as caught:
        load_model(source)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("row", [Adapter("qwen3", output="wo"), Adapter("qwen3", attention="attn")])
def test_a_row_that_names_modules_which_are_not_there_leaves_no_site(row):
    with pytest.raises(InputError, match="no layer of this qwen3 model has an attention"):
        read_geometry(tiny_model("qwen3"), row)


def test_a_row_that_names_layers_which_are_not_there_is_an_error_that_names_them():
    with pytest.raises(PasctlError, match=r"should have model\.blocks"):
        read_geometry(tiny_model("qwen3"), Adapter("qwen3", layers="model.blocks"))


def test_geometry_refuses_a_head_dim_that_the_weights_contradict():
    model = tiny_model("llama")
    for layer in model.model.layers:
        layer.self_attn.head_dim = HIDDEN // HEADS
    with pytest.raises(
        PasctlError,
        match=r"layer 0: .*o_proj takes 96 inputs, expected 6 heads x head_dim 8 = 48",
    ):
        read_geometry(model, adapter_for("llama"))


def test_self_check_catches_nan_logits():
    loaded = tiny_loaded()
    loaded.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(PasctlError, match="not finite"):
        self_check(loaded)


def test_self_check_catches_a_layer_that_does_not_run():
    loaded = tiny_loaded()
    loaded.model.model.layers[1].forward = lambda hidden, *_, **__: hidden
    with pytest.raises(PasctlError, match="2 output projections ran, expected 3"):
        self_check(loaded)


def test_self_check_catches_a_zero_displacement_that_changes_logits(monkeypatch):
    """Stands in for a model that does something of its own with what o_proj returns."""
    monkeypatch.setattr("pasctl.models.selfcheck._add_zero", lambda _module, _inputs, output: output + 1e-3)
    with pytest.raises(PasctlError, match="zero displacement at o_proj changes a logit"):
        self_check(tiny_loaded())


def test_the_same_seed_gives_the_same_model_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, again, other = tiny_model(seed=1), tiny_model(seed=1), tiny_model(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(first(ids).logits, again(ids).logits)
    assert (first(ids).logits - other(ids).logits).abs().max() > 0.1


def test_models_in_memory_never_share_an_identity():
    assert tiny_loaded().source.identity != tiny_loaded().source.identity
