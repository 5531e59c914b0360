"""A contrast from its texts to directions: head outputs by a naive pass, weighted sums by NumPy, names that combine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import pasctl
from pasctl.contrasts import load_contrast
from pasctl.errors import InputError
from pasctl.inventory import builtin_inventory, simulate
from pasctl.inventory.combination import parse_combination
from pasctl.inventory.trait_scores import Norms, trait_scores
from pasctl.models.load import LoadedModel
from pasctl.stages.contrast_personas import contrast_personas
from pasctl.stages.extract import read_head_outputs
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.progress import Silent
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.steering import DirectionSet
from tests.tiny import HEADS, LAYERS, tiny_loaded

OWN = "speaks like a cautious lawyer|speaks like a reckless salesman"
PAIRS = [
    {"prompt": "I worry about things.", "positive": "I am the life of the party.", "negative": "I get stressed out."},
    {"prompt": "Imagine the person.", "positive": "Accurate answer.", "negative": "Option question statement."},
]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def store(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("contrast")
    pasctl.extract(model, contrast="big5", store=store)
    return store


@pytest.fixture(scope="module")
def poles(store: Path) -> Artifact:
    return pasctl.fit_directions(store=store).artifact


def naive(model: LoadedModel, tokens: list[int], read: int) -> Tensor:
    """Head outputs at the last `read` tokens of one unshared, unbatched pass, averaged [L, H, D]."""
    seen: list[Tensor] = []
    hooks = [each.register_forward_pre_hook(lambda _, args: seen.append(args[0][0])) for each in model.outputs()]
    with torch.inference_mode():
        model.model(torch.tensor([tokens]))
    for hook in hooks:
        hook.remove()
    return torch.stack([each[-read:].mean(dim=0).view(HEADS, -1) for each in seen])


def test_descriptions_are_read_at_the_last_prompt_token(model: LoadedModel, store: Path) -> None:
    [activations] = Store(store).artifacts("activations")
    values, described = read_head_outputs(activations)
    contrast = load_contrast("big5")
    assert values.shape[:2] == (len(contrast.pairs), 2)
    assert described["pairs"] == [[0, 1]]
    for place in (0, len(contrast.pairs) // 2, len(contrast.pairs) - 1):
        pair = contrast.pairs[place]
        for side, example in enumerate((pair.plus, pair.minus)):
            tokens = model.chat.encode(str(example.user), example.system)
            torch.testing.assert_close(values[place, side], naive(model, tokens, 1), atol=2e-5, rtol=1e-4)


def test_completions_are_averaged_over_their_own_tokens(model: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(pair) for pair in PAIRS))
    made = pasctl.extract(model, contrast=f"pairs:{file}", store=tmp_path / "store").artifact
    values, _ = read_head_outputs(made)
    for place, pair in enumerate(PAIRS):
        for side, name in enumerate(("positive", "negative")):
            text = model.tokenizer(pair[name], add_special_tokens=False)["input_ids"]
            tokens = model.chat.encode(pair["prompt"]) + text
            torch.testing.assert_close(values[place, side], naive(model, tokens, len(text)), atol=2e-5, rtol=1e-4)


def test_a_pole_is_the_mean_difference_and_its_opposite_the_reverse(store: Path, poles: Artifact) -> None:
    [activations] = Store(store).artifacts("activations")
    values, _ = read_head_outputs(activations)
    contrast, known = load_contrast("big5"), DirectionSet.read(poles)
    assert known.personas.ids == tuple(f"{trait}{sign}" for trait in "OCEAN" for sign in "+-")
    for row, name in enumerate(known.personas.ids):
        rows = [place for place, pair in enumerate(contrast.pairs) if pair.axis == name[0]]
        expected = (values[rows, 0].double() - values[rows, 1].double()).mean(dim=0).numpy()
        expected = expected if name[1] == "+" else -expected
        delta = known.sigma[row][:, None] * known.theta[row]
        for (layer, head), found in zip(known.heads[row].tolist(), delta, strict=True):
            np.testing.assert_allclose(found, expected[layer, head], atol=1e-5)


def test_a_respondent_is_a_sum_of_traits_by_standardised_scores(store: Path, poles: Artifact) -> None:
    inventory, people = builtin_inventory(), simulate(builtin_inventory())
    fitted = pasctl.fit_directions(personas="builtin:2-6", store=store).artifact
    known, axes = DirectionSet.read(fitted), DirectionSet.read(poles)
    norms = Norms.of(inventory, people, "OCEAN")
    scores = trait_scores(inventory, people.subset(range(2, 6)), "OCEAN")
    z = norms.reliability * (scores - norms.mean) / norms.spread
    plus = axes.sigma[::2, :, None] * axes.theta[::2]  # of O+, C+, E+, A+, N+
    expected = np.einsum("pt,tkd->pkd", z, plus)
    np.testing.assert_allclose(known.sigma[..., None] * known.theta, expected, atol=1e-5)
    shuffled = DirectionSet.shuffled(fitted)
    np.testing.assert_array_equal(shuffled.sigma, known.sigma)  # a control of equal norm
    cosine = (shuffled.theta * known.theta).sum(axis=2)
    assert (cosine < 0.999).any()


def test_what_desirable_poles_share_can_be_removed(store: Path, poles: Artifact) -> None:
    plain, less = (
        np.stack([(known.sigma[row][:, None] * known.theta[row]).ravel() for row in range(0, 10, 2)]).astype(np.float64)
        for known in (
            DirectionSet.read(poles),
            DirectionSet.read(pasctl.fit_directions(remove="desirability", store=store).artifact),
        )
    )
    shared = sum(sign * row / np.linalg.norm(row) for sign, row in zip((1, 1, 1, 1, -1), plain, strict=True))
    for before, after in zip(plain, less, strict=True):
        expected = before - before @ shared / (shared @ shared) * shared
        np.testing.assert_allclose(after, expected, atol=1e-5)
        assert not np.allclose(after, before, atol=1e-3)


def test_trait_scores_are_means_of_keyed_answers() -> None:
    inventory, people = builtin_inventory(), simulate(builtin_inventory()).subset(range(3))
    scores = trait_scores(inventory, people, "OCEAN")
    for person in range(3):
        for place, trait in enumerate("OCEAN"):
            values = [
                answer if item.key > 0 else 6 - answer
                for item, answer in zip(inventory.items, people.agreements[person], strict=True)
                if item.trait == trait and item.split == "fit" and np.isfinite(answer)
            ]
            assert scores[person, place] == pytest.approx(np.mean(values))


def test_a_combination_is_the_weighted_sum_of_its_poles(store: Path, model: LoadedModel, poles: Artifact) -> None:
    spec = "E+ & 0.5*N-"
    fitted = DirectionSet.read(pasctl.fit_directions(personas=spec, store=store).artifact)
    assert fitted.personas.ids == (spec,)
    run = Run(store)
    catalog = PersonaCatalog(run, ModelHandle.of(model), directions=[poles])
    target = catalog.find(spec, 2.0)
    by_name = dict(zip(DirectionSet.read(poles).personas.ids, range(10), strict=True))
    axes = DirectionSet.read(poles)
    row_e, row_n = by_name["E+"], by_name["N-"]
    expected = axes.sigma[row_e, :, None] * axes.theta[row_e] + 0.5 * axes.sigma[row_n, :, None] * axes.theta[row_n]
    for known in (fitted, target.known):
        np.testing.assert_allclose(known.sigma[0, :, None] * known.theta[0], expected, atol=1e-5)
    assert (target.alpha, target.persona) == (2.0, spec)


def test_a_contrast_of_ones_own_has_two_poles_and_no_answers(model: LoadedModel, tmp_path: Path) -> None:
    pasctl.extract(model, contrast=OWN, store=tmp_path)
    fitted = pasctl.fit_directions(store=tmp_path).artifact
    known = DirectionSet.read(fitted)
    assert known.personas.ids == ("+", "-")
    assert np.isnan(known.personas.agreements).all()
    np.testing.assert_array_equal(known.theta[0], -known.theta[1])
    assert known.heads.shape[1] % HEADS == 0
    assert known.heads[..., 0].max() < LAYERS


def test_what_is_refused(model: LoadedModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no pole 'X\+', expected one of O\+"):
        pasctl.fit_directions(personas="E+ & X+", store=store)
    with pytest.raises(InputError, match="expected personas with weights"):
        parse_combination("E+ & much*N-")
    pasctl.extract(model, contrast=OWN, store=tmp_path)
    with pytest.raises(InputError, match="expected traits of inventory builtin for respondents"):
        pasctl.fit_directions(personas="builtin:0-3", store=tmp_path)
    with pytest.raises(InputError, match="--center is for directions of answers"):
        pasctl.fit_directions(center="population", store=tmp_path)


def test_only_traits_share_desirability(model: LoadedModel, tmp_path: Path) -> None:
    pasctl.extract(model, contrast=OWN, store=tmp_path)
    with pytest.raises(InputError, match="--remove desirability is for two or more traits"):
        pasctl.fit_directions(remove="desirability", store=tmp_path)
    pasctl.extract(model, store=tmp_path)
    pasctl.train_probes(personas="builtin:0-5", store=tmp_path)
    with pytest.raises(InputError, match="--remove desirability is for directions of traits"):
        pasctl.fit_directions(recipe="paper", remove="desirability", store=tmp_path)


def test_few_respondents_are_compared_with_the_midpoint() -> None:
    inventory, people = builtin_inventory(), simulate(builtin_inventory()).subset(range(2))
    found = contrast_personas(people, load_contrast("big5"), inventory, "auto", Silent())
    assert found.norms is not None
    assert found.norms.persons == 0
    scores = trait_scores(inventory, people, "OCEAN")
    np.testing.assert_allclose(found.weights(people, range(2)), (scores - 3) / 0.6)
