"""What the option letters have of the probability is said by the doctor and by extractions that read letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pasctl.inventory import builtin_inventory, question
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.models.load import LoadedModel
from pasctl.models.options import ModelOptions
from pasctl.stages.doctor import Finding, check_model
from pasctl.stages.extract import extract
from pasctl.stages.findings import warnings
from pasctl.stages.letter_mass import ASKED, letter_mass, mass_warning
from pasctl.stages.run import Run
from tests.tiny import save_tiny, tiny_loaded

QUESTIONS = [question(item, builtin_inventory()) for item in builtin_inventory().items]
ASKED_OF = [(place, "forward") for place in range(len(builtin_inventory()))]


def plain_mass(model: LoadedModel) -> float:
    """The oracle: a softmax over the vocabulary at each prompt's end."""
    masses = []
    for text in QUESTIONS[:ASKED]:
        with torch.inference_mode():
            logits = model.model(torch.tensor([model.chat.encode(text)]), use_cache=False).logits[0, -1]
        masses.append(logits.double().softmax(-1)[model.chat.letter_ids(LETTERS)].sum().item())
    return float(np.mean(masses))


def certain(model: LoadedModel) -> LoadedModel:
    """The model with a head that gives the letters nearly everything."""
    head = torch.nn.Linear(model.geometry.hidden, model.vocabulary)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.bias[model.chat.letter_ids(LETTERS)] = 20.0
    model.model.set_output_embeddings(head.requires_grad_(False))
    return model


@pytest.mark.parametrize("template", ["qwen3", "base"])
def test_the_mass_is_the_letters_share_of_the_softmax(template: str) -> None:
    model = tiny_loaded(template=template)
    assert letter_mass(model, builtin_inventory(), ASKED_OF, 4096) == pytest.approx(plain_mass(model), rel=1e-4)
    assert letter_mass(certain(model), builtin_inventory(), ASKED_OF, 4096) > 0.99


def test_below_half_is_a_warning() -> None:
    assert mass_warning(0.5) is None
    assert "0.49 of the probability" in str(mass_warning(0.49))


@pytest.mark.parametrize("contrast", [None, "items"])
def test_an_extraction_keeps_its_warning(contrast: str | None, tmp_path: Path) -> None:
    for _ in range(2):  # computed, and found in the store
        artifact = extract(str(save_tiny(tmp_path / "tiny")), contrast=contrast, store=tmp_path / "store").artifact
        assert artifact is not None
        [line] = warnings(artifact)
        assert "the option letters have 0.0" in line
    sure = extract(certain(tiny_loaded()), contrast=contrast, store=tmp_path / "store").artifact
    assert sure is not None
    assert warnings(sure) == ()
    assert sure.provenance["letters"]["mass"] > 0.99


def test_texts_need_no_letters(tmp_path: Path) -> None:
    artifact = extract(tiny_loaded(), contrast="calm|angry", store=tmp_path).artifact
    assert artifact is not None
    assert warnings(artifact) == ()
    assert "letters" not in artifact.provenance


def test_the_doctor_says_the_mass(tmp_path: Path) -> None:
    findings = check_model(str(save_tiny(tmp_path / "tiny")), ModelOptions(device="cpu"), Run(store=tmp_path / "store"))
    [letters] = [finding for finding in findings if finding.what == "letters"]
    assert isinstance(letters, Finding)
    assert letters.ok is None
    assert letters.found.startswith("warning: the option letters have 0.0")
