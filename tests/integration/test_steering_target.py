"""A target means the same wherever it is used: an export and a server give the same next tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

import pasctl
from pasctl.commands.serve import Serve
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.generation import active
from pasctl.models.load import LoadedModel
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.store import Store
from tests.tiny import save_tiny

pytestmark = pytest.mark.integration

PERSONA, ALPHA, TOKENS = "s01", 30.0, 4
PROMPT = "I worry about things. Vivid imagination, the life of the party"


@pytest.fixture(scope="module")
def handle(tmp_path_factory: pytest.TempPathFactory) -> ModelHandle:
    folder = save_tiny(tmp_path_factory.mktemp("model") / "tiny")
    return ModelHandle(str(folder), pasctl.ModelOptions(dtype="float32"))


@pytest.fixture(scope="module")
def probed(handle: ModelHandle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("probed") / "store"
    pasctl.extract(handle, store=store)
    pasctl.train_probes(personas="builtin:0-2", store=store)
    return store


def selected(handle: ModelHandle, probed: Path, folder: Path, positions: str | None) -> Path:
    """A store with directions, selected by steering at these positions."""
    store = Path(shutil.copytree(probed, folder / "store"))
    selection = {"select": "steering", "alphas": "4,8", "positions": positions}
    how = {"top_k": 12} if positions is None else selection
    pasctl.fit_directions(model=handle, store=store, **how)
    return store


def served(handle: ModelHandle, store: Path, target: SteeringTarget, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Log-probabilities [V] of each token that a server writes after the prompt, and the tokens, most likely first."""
    read: list[Tensor] = []
    sample = active.sample

    def spy(logits: Tensor, *rest: object) -> list[int]:
        read.append(torch.log_softmax(logits[0].detach().clone(), dim=-1))
        return sample(logits, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(active, "sample", spy)
    body = {"model": f"{handle.slug}+{PERSONA}", "prompt": PROMPT, "temperature": 0, "max_tokens": TOKENS}
    declared = Serve(model=handle, directions=("latest",), steering=target, settings=Settings())
    with open_service(declared, Run(store)) as service:
        service.completion(json.dumps(body).encode()).choices[0].stream.text()
    return read


def exported(folder: Path, model: LoadedModel, read: list[Tensor]) -> list[Tensor]:
    """The same of a checkpoint that transformers loads, after the same tokens."""
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = model.tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    found = []
    for logprobs in read:
        with torch.inference_mode():
            found.append(torch.log_softmax(loaded(ids).logits[0, -1].float(), dim=-1))
        ids = torch.cat([ids, logprobs.argmax()[None, None]], dim=1)
    return found


@pytest.mark.parametrize(("positions", "asked"), [(None, None), ("all", None), ("answer", "all")])
def test_an_export_is_what_is_served(
    handle: ModelHandle,
    probed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    positions: str | None,
    asked: str | None,
) -> None:
    store = selected(handle, probed, tmp_path, positions)
    target = SteeringTarget(persona=PERSONA, alpha=ALPHA, positions=asked)  # type: ignore[arg-type]
    pasctl.export_model("latest", tmp_path / "out", steering=target, store=store)
    read = served(handle, store, target, monkeypatch)
    assert len(read) == TOKENS
    for ours, theirs in zip(read, exported(tmp_path / "out", handle.load(), read), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    plain = served(handle, store, SteeringTarget(alpha=0.0), monkeypatch)
    assert (plain[0] - read[0]).abs().max() > 0.01  # the target moves the model


def test_an_export_of_directions_selected_at_the_answer_is_refused(
    handle: ModelHandle, probed: Path, tmp_path: Path
) -> None:
    store = selected(handle, probed, tmp_path, "answer")
    for alpha in (ALPHA, "auto"):
        with pytest.raises(InputError, match="is steered from the answer on") as caught:
            pasctl.export_model("latest", tmp_path / "out", persona=PERSONA, alpha=alpha, store=store)
        assert "--positions all" in (caught.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_where_a_server_steers_makes_a_difference(
    handle: ModelHandle, probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = selected(handle, probed, tmp_path, None)
    at_answer = served(handle, store, SteeringTarget(alpha=ALPHA, positions="answer"), monkeypatch)
    everywhere = served(handle, store, SteeringTarget(alpha=ALPHA, positions="all"), monkeypatch)
    assert (at_answer[0] - everywhere[0]).abs().max() > 0.01


def test_an_export_takes_the_strength_that_was_chosen(handle: ModelHandle, tmp_path: Path) -> None:
    store = tmp_path / "store"
    pasctl.extract(handle, option_order="forward", store=store)
    pasctl.train_probes(personas="builtin:0-2", store=store)
    pasctl.fit_directions(model=handle, top_k=4, center="none", store=store)
    with pytest.raises(InputError, match="no alpha was chosen") as caught:
        pasctl.export_model("latest", tmp_path / "out", persona=PERSONA, store=store)
    assert "pasctl choose-alpha --directions directions/" in (caught.value.hint or "")
    (tmp_path / "text").write_text("The life of the party.")
    how = {"model": handle, "folds": 2, "neutral_text": str(tmp_path / "text"), "store": store}
    pasctl.choose_alpha(alphas="0", **how)
    with pytest.raises(InputError, match="none was better than no steering"):
        pasctl.export_model("latest", tmp_path / "out", persona=PERSONA, store=store)
    strengths = pasctl.choose_alpha(alphas="0,8", **how).artifact
    chosen = strengths.read_json("curves.json")["chosen"]["persona"]
    who, alpha = next(each for each in zip(("s01", "s02"), chosen, strict=True) if each[1])
    pasctl.export_model("latest", tmp_path / "out", persona=who, store=store)
    given = pasctl.export_model("latest", tmp_path / "given", persona=who, alpha=int(alpha), store=store)
    [artifact] = Store(store).artifacts("export")
    assert artifact.params == {"persona": who, "alpha": alpha, "engine": "transformers"}
    assert given.outcome.reused
