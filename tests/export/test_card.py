"""A card is sound YAML and Markdown whatever a persona is called, and names no machine's paths."""

from __future__ import annotations

import json

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from pasctl.errors import InputError
from pasctl.export.card import Export, Source
from pasctl.export.engines import ENGINES
from pasctl.export.proof import Proof

PROOF = Proof("transformers", "float32", 152, 2.3e-06, 1e-05, 1e-4, 0.41, 2.2, 0.9999)
KEY = f"s1:{'0' * 64}"
SERVED = {  # how each engine's card says it is served, and what it warns of
    "transformers": ("AutoModelForCausalLM", "`vllm serve steered --model-impl transformers`", "drop the biases"),
    "vllm": ("vllm serve steered --model-impl transformers --dtype float32", "drops the o_proj biases"),
    "vllm-plugin": ("vllm serve steered --dtype float32", "refuses to serve"),
    "vllm-personas": ("vllm serve steered --dtype float32", "An unknown persona is refused", "`steered+NAME`"),
    "stock": ("vllm serve steered --dtype float32", "an engine that drops them loses nothing"),
    "gguf": ("llama-server -m steered/model.gguf", "transformers drops them without a word"),
}


def export(
    engine: str = "vllm",
    persona: str = "ada",
    base: str = "org/name",
    *,
    hub: bool = True,
    folder: str = "steered",
) -> Export:
    return Export(
        key=KEY,
        engine=engine,
        persona=persona,
        alpha=2.0,
        positions="all",
        digest="d" * 64,
        base=base,
        hub_base=base if hub else None,
        folder=folder,
        model={"kind": "hub", "repo": base, "sha": "abc"},
        revision="abc",
        numerics={"dtype": "float32", "attn": "sdpa"},
        lineage=(Source("directions", "directions/name/made@v1", KEY), Source("probes", "probes/name/made@v2", KEY)),
        versions={"pasctl": "0.1", "transformers": "5.0"},
        license="unknown",
        layers=3,
    )


def front_matter(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(front))


@pytest.mark.parametrize("engine", ENGINES.names())
def test_a_card_has_all_that_is_asked_of_it(engine: str) -> None:
    card = export(engine).card(PROOF)
    front = front_matter(card)
    library = ENGINES.get(engine).library
    assert (front["base_model"], front["license"], front["library_name"]) == ("org/name", "unknown", library)
    for needed in ("ada", "| alpha | 2 |", "directions/name/made@v1", KEY, "probes/name/made@v2", "transformers 5.0"):
        assert needed in card
    for figure in ("2.3e-06", "1e-05", "0.41", "2.2", "100.0%", "152 tokens", "0.0001", "0.001"):
        assert figure in card
    assert "What it is not" in card
    assert all(words in card for words in SERVED[engine])
    assert ENGINES.get(engine).carrier in card


@pytest.mark.parametrize("name", ["a|b", "x`y", "two\nlines", "---", "# head", "<script>", "[a](b)", "E+,N-", "Zoë"])
def test_names_do_no_harm(name: str) -> None:
    plain, odd = export().card(PROOF), export(persona=name, base=name).card(PROOF)
    assert front_matter(odd)["base_model"] == name
    assert len(odd.splitlines()) == len(plain.splitlines())
    body, told = (card.split("---\n", 2)[2] for card in (plain, odd))
    for sign in "|`<[":
        assert told.count(sign) == body.count(sign)


@pytest.mark.parametrize("engine", ENGINES.names())
def test_a_hub_reads_the_card(engine: str) -> None:
    """The part of the hub's validation that needs no hub: the card is parsed, and the base's name is a repository's."""
    card = ModelCard(export(engine).card(PROOF), ignore_metadata_errors=False)
    data = card.data.to_dict()
    validate_repo_id(data["base_model"])
    assert {name for name, value in data.items() if not value} == set()
    assert (data["base_model"], data["pipeline_tag"]) == ("org/name", "text-generation")
    assert set(data["tags"]) == {"pasctl", "activation-steering", "personality"}
    local = ModelCard(export(engine, base="tiny-llama", hub=False).card(PROOF), ignore_metadata_errors=False)
    assert "base_model" not in local.data.to_dict()
    assert "| base model | `tiny-llama at abc` |" in local.content


@pytest.mark.parametrize("engine", ENGINES.names())
@pytest.mark.parametrize(("folder", "named"), [("my-model", "my-model"), ("a b;c", "steered-model")])
def test_a_card_names_its_own_folder(engine: str, folder: str, named: str) -> None:
    card = export(engine, folder=folder).card(PROOF)
    assert "DIR" not in card
    assert f"Here `{named}` is this folder" in card
    assert card.count(named) >= 3


def test_the_record_has_all_of_it() -> None:
    record = json.loads(export().record(PROOF, {"b": {"size": 1, "sha256": "x"}, "a": {"size": 2, "sha256": "y"}}))
    assert Proof(**record["proof"]) == PROOF
    assert list(record["files"]) == ["a", "b"]
    assert record["lineage"][0] == {"role": "directions", "name": "directions/name/made@v1", "key": KEY}
    assert (record["persona"], record["alpha"], record["engine"], record["key"]) == ("ada", 2.0, "vllm", KEY)


@pytest.mark.parametrize("engine", ["vlm", "onnx", ""])
def test_engines_that_there_are_not_name_those_that_there_are(engine: str) -> None:
    with pytest.raises(InputError, match=f"unknown engine '{engine}'") as caught:
        ENGINES.check(engine)
    assert "transformers, vllm" in str(caught.value.hint)
