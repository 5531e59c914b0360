"""A set of personas that is cut into shards: the same results as in one piece, and some of them without the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.inventory import PersonaSet, builtin_inventory, load_personas, simulate
from pasctl.models.load import LoadedModel
from pasctl.stages import stored_personas
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.persona_slice import PersonaSlice
from pasctl.stages.report import report
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DirectionSet
from pasctl.stages.stored_personas import StoredPersonas, read_rows, spans_of
from pasctl.stages.train_probes import train_probes
from tests.tiny import tiny_loaded

PEOPLE, SHARD = 7, 3
PERSONAS = f"builtin:0-{PEOPLE}"
SPANS = [(0, 2), (2, 4), (4, 7)]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def extracted(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("extracted")
    extract(model, store=store)
    return store


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_personas, "SHARD_PERSONAS", SHARD)


def fitted(store: Path, probes: dict[str, Any] | None = None, **options: Any) -> Artifact:
    trained = train_probes(store=store, **{"personas": PERSONAS, **(probes or {})}).artifact
    made = fit_directions(probes=trained, store=store, **{"top_k": 6, **options}).artifact
    assert made is not None
    return made


@pytest.fixture(scope="module")
def whole(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return fitted(Path(shutil.copytree(extracted, tmp_path_factory.mktemp("whole") / "store")))


@pytest.fixture(scope="module")
def cut(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_personas, "SHARD_PERSONAS", SHARD)
        return fitted(Path(shutil.copytree(extracted, tmp_path_factory.mktemp("cut") / "store")))


def assert_same(one: Artifact, other: Artifact) -> None:
    """Personas, heads, directions and controls agree, up to rounding."""
    for read in (DirectionSet.read, DirectionSet.shuffled):
        first, second = read(one), read(other)
        assert first.personas.digest == second.personas.digest
        assert np.array_equal(first.heads, second.heads)
        np.testing.assert_allclose(first.theta, second.theta, atol=1e-6)
        np.testing.assert_allclose(first.sigma, second.sigma, rtol=1e-5)


def test_every_person_is_in_one_shard_and_none_is_nearly_empty() -> None:
    limit = stored_personas.SHARD_PERSONAS
    for people in (1, 2, limit - 1, limit, limit + 1, 2 * limit + 1, 300_000):
        spans = spans_of(people)
        sizes = [stop - start for start, stop in spans]
        assert [row for span in spans for row in range(*span)] == list(range(people))
        assert max(sizes) <= limit
        assert max(sizes) - min(sizes) <= 1
        assert (len(spans) == 1) == (people <= limit)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("center", "method", "granularity"),
    [
        ("none", "mass-mean", "head"),
        ("population", "mass-mean", "head"),
        ("population", "probe-weight", "head"),
        ("population", "mass-mean", "kv-group"),
    ],
)
def test_shards_are_the_whole(
    extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, center: str, method: str, granularity: str
) -> None:
    options = {"center": center, "method": method, "granularity": granularity, "top_k": 3}
    one = fitted(Path(shutil.copytree(extracted, tmp_path / "one")), **options)
    monkeypatch.setattr(stored_personas, "SHARD_PERSONAS", SHARD)
    other = fitted(Path(shutil.copytree(extracted, tmp_path / "other")), **options)
    assert one.key != other.key  # their probes are not the same files
    assert "directions.safetensors" in one.files()
    assert [len(other.files(f"{what}/")) for what in ("directions", "shuffled", "personas")] == [3, 3, 3]
    assert StoredPersonas.of(other).spans == SPANS
    assert_same(one, other)
    # probes in one piece, as earlier versions made them of any number of personas, still serve
    again = fit_directions(probes=one.inputs["probes"].key, store=tmp_path / "one", **{**options, "top_k": 2}).artifact
    assert again is not None
    assert "directions.safetensors" in again.files()


@pytest.mark.integration
def test_a_tile_changes_rounding_at_most(extracted: Path, tmp_path: Path) -> None:
    """Centred on the population, of which a tile of three is a part."""
    stores = [Path(shutil.copytree(extracted, tmp_path / name)) for name in ("one", "other")]
    one = fitted(stores[0], center="population")
    other = fitted(stores[1], {"tile": 3}, center="population", tile=3)
    assert_same(one, other)
    with pytest.raises(InputError, match="tile: expected at least 1, found 0"):
        train_probes(personas=PERSONAS, store=stores[1], seed=1, tile=0)


@pytest.mark.integration
def test_some_personas_are_read_without_the_rest(whole: Artifact, cut: Artifact) -> None:
    rows = np.array([6, 1, 2])
    known, every = DirectionSet.read(cut, rows), DirectionSet.read(whole)
    assert known.personas.digest == every.personas.subset(rows).digest
    for place, row in enumerate(rows):
        assert np.array_equal(known.theta[place], DirectionSet.read(cut).theta[row])
        # random directions are those of the persona's place among all, so that a slice finds the whole's answers
        for draw in (0, 1):
            assert np.array_equal(known.randomized(5, draw).theta[place], every.randomized(5, draw).theta[row])
    shuffled = DirectionSet.shuffled(cut, rows)
    np.testing.assert_allclose(shuffled.theta, DirectionSet.shuffled(whole).theta[rows], atol=1e-6)
    scores = read_rows(cut, "directions", rows, only=("sigma",))
    assert list(scores) == ["sigma"]
    assert np.array_equal(scores["sigma"], known.sigma)


@pytest.mark.integration
def test_steering_to_one_of_many_reads_that_one(cut: Artifact, model: LoadedModel, tmp_path: Path) -> None:
    run = Run(shutil.copytree(cut.path.parents[3], tmp_path / "store"))
    copy = run.store.resolve(cut.key, "directions")
    ids = load_personas(PERSONAS, builtin_inventory()).ids
    wanted = DirectionSet.read(copy).digest(3)
    for start, stop in (SPANS[0], SPANS[2]):
        for what in ("directions", "shuffled"):
            (copy.path / what / f"{start:07d}-{stop:07d}.safetensors").unlink()
    catalog = PersonaCatalog(run, ModelHandle.of(model), SteeringTarget(alpha=2.0, directions=cut.key))
    chosen = catalog.find(ids[3])
    assert chosen.params == {"persona": ids[3], "alpha": 2.0, "directions": wanted}
    with pytest.raises(InputError, match="7 personas, expected one to be named") as unnamed:
        catalog.find(None)
    assert f"it has {ids[0]}, {ids[1]}" in str(unnamed.value.hint)
    with pytest.raises(InputError, match="no persona of 7 is called 'nobody'"):
        catalog.find("nobody")


@pytest.mark.integration
def test_a_page_about_many_shows_some_and_says_so(
    cut: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_personas, "SAMPLE", 6)
    store = cut.path.parents[3]
    sample = StoredPersonas.of(cut).sample()
    assert sample is not None
    assert [sum(start <= row < stop for row in sample) for start, stop in SPANS] == [2, 2, 2]
    report([cut, cut.inputs["probes"].key], tmp_path / "page.html", store=store)
    page = (tmp_path / "page.html").read_text()
    assert page.count("6 of the 7 personas stand for all of them below") == 2
    assert f"<dd>{7 * 18}</dd>" in page


@pytest.mark.integration
def test_who_cannot_be_trained_on_is_left_out_or_named(extracted: Path, tmp_path: Path, small_shards: None) -> None:
    store = Path(shutil.copytree(extracted, tmp_path / "store"))
    everybody = simulate(builtin_inventory(), PEOPLE)
    answers = everybody.agreements.copy()
    answers[4] = np.nan
    answers[4, builtin_inventory().indices("fit")[:1]] = 5  # on one side of the split, nothing on the other
    answers[6] = 3
    mixed = PersonaSet("mixed", everybody.ids, answers)
    with pytest.raises(InputError, match="no usable answer from s07: all 30 items"):
        train_probes(personas=mixed, store=store)
    with pytest.raises(InputError, match=r"rank heads by, from 1 of 6 personas: s05") as caught:
        train_probes(personas=mixed.without(np.array([6])), store=store)
    assert "--leave-out-unusable" in str(caught.value.hint)
    made = train_probes(personas=mixed, store=store, leave_out_unusable=True).artifact
    again = train_probes(personas=mixed.without(np.array([4, 6])), store=store)
    assert again.reused
    assert made is not None
    assert list(StoredPersonas.of(made).ids()) == [name for name in everybody.ids if name not in ("s05", "s07")]


@pytest.mark.integration
def test_slices_of_an_evaluation_are_put_together_by_one_that_asks_nothing(
    model: LoadedModel, extracted: Path, tmp_path: Path, small_shards: None
) -> None:
    cut = fitted(Path(shutil.copytree(extracted, tmp_path / "store")), {"personas": "builtin:0-4"})
    assert StoredPersonas.of(cut).spans == [(0, 2), (2, 4)]
    options: dict[str, Any] = {"model": model, "directions": cut.key, "alpha": "2,auto", "alphas": "0,2", "folds": 2}
    options |= {"modes": "no-change,pas,random-direction,shuffled-answers", "reading": "letters,statements"}
    options |= {"control_people": 2}
    stores = [Path(shutil.copytree(cut.path.parents[3], tmp_path / name)) for name in ("sliced", "once")]
    slices = [evaluate(shard=f"{number}/3", store=stores[0], **options).artifact for number in (3, 1, 2)]
    assert [each.name for each in slices if each] == [
        f"results/{cut.model}/{cut.label}-{number}-of-3@v1" for number in (3, 1, 2)
    ]
    together, once = (evaluate(store=store, **options).artifact for store in stores)
    assert together is not None
    assert once is not None
    counts = together.provenance["counts"]
    assert counts["tokens_run"] == counts["side_effect_tokens_run"] == 0
    assert counts["units_reused"] == len(set(together.parts)) - counts["side_effects"]
    assert together.key == once.key
    for name in ("rows.parquet", "answers.safetensors", "units.json"):
        assert together.digest_of(name) == once.digest_of(name)
    shifts = [each.read_table("side_effects.parquet").column("kl").to_numpy() for each in (together, once)]
    np.testing.assert_allclose(*shifts, rtol=1e-4, atol=1e-7)
    people = [set(each.read_table("rows.parquet").column("persona").to_pylist()) for each in slices if each]
    assert sorted(map(len, people)) == [1, 1, 2]
    assert set.union(*people) == set(together.read_table("rows.parquet").column("persona").to_pylist())


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"])
def test_a_slice_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected I/N"):
        PersonaSlice.parse(text)


def test_slices_share_the_personas_evenly() -> None:
    for people, count in ((11, 3), (8, 8), (100_000, 7)):
        rows = [PersonaSlice(number, count).rows(people) for number in range(1, count + 1)]
        assert np.array_equal(np.concatenate(rows), np.arange(people))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1
    with pytest.raises(InputError, match="at most 3 shards"):
        PersonaSlice(1, 4).rows(3)
