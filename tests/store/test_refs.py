from __future__ import annotations

import re
from pathlib import Path

import pytest

import pasctl
from pasctl.commands import declarations
from pasctl.declaration import StageDeclaration
from pasctl.errors import InputError, MissingError
from pasctl.store import Artifact, Store, make_key
from pasctl.store.refs import KINDS
from tests.store.worker import commit, document


@pytest.fixture
def made(store: Store) -> dict[str, Artifact]:
    """Artifacts by name: two versions of one name, two labels, two kinds, two models."""
    wanted = [
        ("activations", "qwen3-0.6b", "papi"),
        ("directions", "qwen3-0.6b", "papi"),
        ("directions", "qwen3-0.6b", "papi"),
        ("directions", "qwen3-0.6b", "e+"),
        ("probes", "qwen3-0.6b", "papi"),
        ("probes", "smollm2", "papi"),
    ]
    artifacts = []
    for seed, (kind, model, label) in enumerate(wanted):
        staging = store.stage(make_key(document(seed)))
        staging.write_json("x.json", seed)
        artifacts.append(commit(staging, document(seed), kind=kind, model=model, label=label))
    return {artifact.name: artifact for artifact in artifacts}


def test_references_that_mean_one_artifact(store: Store, made: dict[str, Artifact]) -> None:
    second = made["directions/qwen3-0.6b/papi@v2"]
    expected = {
        "directions/qwen3-0.6b/papi@v1": made["directions/qwen3-0.6b/papi@v1"],
        "directions/qwen3-0.6b/papi@v2": second,
        "directions/qwen3-0.6b/papi": second,
        "directions/qwen3-0.6b/e+": made["directions/qwen3-0.6b/e+@v1"],
        "probes/smollm2": made["probes/smollm2/papi@v1"],
        "activations": made["activations/qwen3-0.6b/papi@v1"],
        "activations@v1": made["activations/qwen3-0.6b/papi@v1"],
        second.key: second,
        second.key[:20]: second,
        second.short_key: second,
        "latest": made["probes/smollm2/papi@v1"],
    }
    assert {ref: store.resolve(ref) for ref in expected} == expected
    assert all(store.resolve(name) == artifact for name, artifact in made.items())
    assert store.resolve("latest", "directions") == made["directions/qwen3-0.6b/e+@v1"]


def test_ls_is_newest_first_and_filters(store: Store, made: dict[str, Artifact]) -> None:
    assert store.artifacts() == list(reversed(made.values()))
    assert [artifact.name for artifact in store.artifacts("probes")] == [
        "probes/smollm2/papi@v1",
        "probes/qwen3-0.6b/papi@v1",
    ]
    assert [artifact.name for artifact in store.artifacts("probes", "smollm2")] == ["probes/smollm2/papi@v1"]
    assert list(store.candidates("directions", "qwen3-0.6b")) == store.artifacts("directions")


def test_what_was_asked_for_again_is_the_latest(store: Store, made: dict[str, Artifact]) -> None:
    first = made["directions/qwen3-0.6b/papi@v1"]
    store.touch(first)
    assert (
        store.resolve("latest")
        == store.resolve("latest", "directions")
        == next(store.candidates("directions"))
        == first
    )
    assert store.artifacts() == list(reversed(made.values()))
    assert store.resolve("latest", "probes") == made["probes/smollm2/papi@v1"]
    store.reindex()
    assert store.resolve("latest") == made["probes/smollm2/papi@v1"]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("directions/qwen3-0.6b/papy", "did you mean directions/qwen3-0.6b/papi"),
        ("papi", "did you mean"),
        ("nothing-like-it", "no artifact matches 'nothing-like-it'$"),
        ("directions/qwen3-0.6b/papi@v7", r"no version v7 \(has v1, v2\)"),
        ("ffffffffffff", "no artifact"),
        ("abc", "no artifact"),
        ("../../etc/passwd", "no artifact"),
        ("", "no artifact"),
        ("s1:", "no artifact"),
        ("directions/*/papi", "no artifact"),
    ],
)
@pytest.mark.usefixtures("made")
def test_references_that_match_nothing(store: Store, ref: str, message: str) -> None:
    with pytest.raises(MissingError, match=message) as caught:
        store.resolve(ref)
    assert "store ls" in (caught.value.hint or "")


@pytest.mark.usefixtures("made")
def test_references_that_match_several(store: Store) -> None:
    with pytest.raises(InputError, match=r"matches 2 artifacts: probes/qwen3-0\.6b/papi, probes/smollm2/papi"):
        store.resolve("probes")
    with pytest.raises(InputError, match="matches 2 artifacts"):
        store.resolve("directions/qwen3-0.6b")


def test_an_ambiguous_key_prefix_lists_five(store: Store) -> None:
    # try documents until the keys of six share their first four digits; then commit those six
    by_prefix: dict[str, list[int]] = {}
    seed = 0
    while len(by_prefix.setdefault(make_key(document(seed))[3:7], [])) < 5:
        by_prefix[make_key(document(seed))[3:7]].append(seed)
        seed += 1
    prefix = make_key(document(seed))[3:7]
    seeds = [*by_prefix[prefix], seed]
    for each in seeds:
        staging = store.stage(make_key(document(each)))
        staging.write_json("x.json", each)
        commit(staging, document(each), kind="probes" if each == seed else "results")
    with pytest.raises(InputError, match=r"matches 6 artifacts: .* and 1 more") as caught:
        store.resolve(prefix)
    assert caught.value.message.count("(") == 5
    assert store.resolve(prefix, "probes").key == make_key(document(seed))


def test_a_match_of_another_kind_is_refused(store: Store, made: dict[str, Artifact]) -> None:
    for ref in ("directions/qwen3-0.6b/papi", made["directions/qwen3-0.6b/papi@v2"].short_key):
        with pytest.raises(InputError, match="expected probes, found directions"):
            store.resolve(ref, "probes")


def test_an_empty_store_has_no_latest(store: Store) -> None:
    with pytest.raises(MissingError, match="holds no probes"):
        store.resolve("latest", "probes")


def test_tags(store: Store, made: dict[str, Artifact]) -> None:
    first, second = made["directions/qwen3-0.6b/papi@v1"], made["directions/qwen3-0.6b/papi@v2"]
    store.tag(first, "paper-table.2")
    assert store.resolve("paper-table.2", "directions") == first
    store.tag(first.name, "paper-table.2")  # the same again is no conflict
    with pytest.raises(InputError, match="points to"):
        store.tag(second, "paper-table.2")
    store.tag(second, "paper-table.2", force=True)
    assert store.resolve("paper-table.2") == second
    assert store.tags() == {"paper-table.2": second.key} == store.index.tags()
    with pytest.raises(MissingError, match=r"did you mean paper-table\.2"):
        store.resolve("paper-tabel.2")


@pytest.mark.parametrize(
    "tag", ["latest", "probes", "directions", "beef", "deadbeef", "a/b", "Upper", "", "-x", "a@v1"]
)
def test_tags_that_would_mean_something_else_are_refused(store: Store, made: dict[str, Artifact], tag: str) -> None:
    with pytest.raises(InputError, match="tag"):
        store.tag(next(iter(made.values())), tag)


def test_the_kinds_are_those_that_stages_make() -> None:
    stages = Path(pasctl.__file__).parent / "stages"
    made = {each.makes for each in declarations() if issubclass(each, StageDeclaration)}
    for path in stages.glob("*.py"):  # those that no command makes by itself
        made.update(re.findall(r'Stage\("[a-z-]+", "([a-z]+)"', path.read_text("utf-8")))
    assert made == set(KINDS)
