"""Labels: versions of a name have the same options, and what differs in options stands in the label."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from pasctl.store import Artifact, Store, make_key
from pasctl.store.labels import MOST, Made, differing, plain, settled_label, words
from pasctl.store.manifest import check_word
from pasctl.store.refs import Name

PEOPLE = {"given": "builtin:0-5", "digest": ["aa"]}


class Stages:
    """Options are the parameters of the key, and granularity is newer than some artifacts."""

    def options_of(self, artifact: Artifact) -> Mapping[str, Any]:
        options: Mapping[str, Any] = artifact.params
        return options

    def defaults_of(self, stage: str) -> Mapping[str, Any]:
        return {"granularity": "head"} if stage == "eval" else {}


def make(
    store: Store,
    options: Mapping[str, Any],
    *,
    kind: str = "results",
    label: str = "builtin",
    inputs: tuple[Artifact, ...] = (),
    content: int = 0,
    labelled: bool = True,
) -> Artifact:
    """An artifact as the runner commits it; `labelled=False`: as versions before labels said what differs."""
    document = {
        "stage": "eval",
        "stage_version": 1,
        "params": dict(options),
        "inputs": {source.name: source.key for source in inputs} | {"content": str(content)},
    }
    if labelled:
        label = settled_label(store, Made(Name(kind, "demo", label), "eval", options, inputs), Stages())
    staging = store.stage(make_key(document))
    staging.write_json("x.json", content)
    return staging.commit(kind=kind, stage="eval", stage_version=1, model="demo", label=label, document=document)


def test_the_same_options_with_other_inputs_are_versions(store: Store) -> None:
    names = [make(store, {"alpha": 4.0}, content=content).name for content in range(3)]
    assert names == [f"results/demo/builtin@v{version}" for version in (1, 2, 3)]


def test_other_options_do_not_take_over_the_name(store: Store) -> None:
    first = make(store, {"alpha": 4.0, "personas": PEOPLE})
    other = make(store, {"alpha": "auto", "personas": {"given": "builtin:0-10", "digest": ["bb"]}})
    assert other.name == "results/demo/builtin~alpha-auto~personas-0-10@v1"
    assert store.resolve("results/demo/builtin") == first
    assert store.resolve("results/demo/builtin~alpha-auto~personas-0-10") == other
    again = make(store, {"alpha": "auto", "personas": {"given": "builtin:0-10", "digest": ["bb"]}}, content=1)
    assert again.name == "results/demo/builtin~alpha-auto~personas-0-10@v2"
    assert store.resolve("results/demo/builtin") == first


def test_an_input_that_a_user_names_is_the_same_by_its_name_or_by_what_it_held() -> None:
    moved, changed = {"given": "copy:0-5", "digest": ["aa"]}, {"given": "builtin:0-5", "digest": ["cc"]}
    for same in (moved, changed):
        assert differing({"personas": PEOPLE}, {"personas": same}, {}) == []
    for other in ({"given": "builtin:0-9", "digest": ["cc"]}, {"given": None, "digest": ["cc"]}):
        assert differing({"personas": PEOPLE}, {"personas": other}, {}) == ["personas"]


def test_an_option_that_older_artifacts_do_not_have_is_as_it_was_then(store: Store) -> None:
    make(store, {"alpha": 4.0})
    assert make(store, {"alpha": 4.0, "granularity": "head"}, content=1).label == "builtin"
    assert make(store, {"alpha": 4.0, "granularity": "kv-group"}).label == "builtin~granularity-kv-group"


def test_what_is_made_from_it_carries_the_words_along(store: Store) -> None:
    head = make(store, {"granularity": "head"}, kind="directions")
    group = make(store, {"granularity": "kv-group"}, kind="directions")
    # the results of the second are there first, and still do not get the plain name
    of_group = make(store, {"alpha": 4.0}, label=group.label, inputs=(group,))
    assert of_group.name == "results/demo/builtin~granularity-kv-group@v1"
    assert make(store, {"alpha": 4.0}, label=head.label, inputs=(head,)).name == "results/demo/builtin@v1"
    both = make(store, {"alpha": 2.0}, label=group.label, inputs=(group,))
    assert both.label == "builtin~granularity-kv-group~alpha-2"
    slice_of = make(store, {"alpha": 4.0}, label=f"{group.label}-1-of-4", inputs=(group,), content=1)
    assert slice_of.label == "builtin-1-of-4~granularity-kv-group"


def test_names_from_before_keep_their_meaning(store: Store) -> None:
    """Versions of one name with different options: the plain name stays what it was, the last of them."""
    old = [make(store, {"alpha": alpha}, labelled=False) for alpha in (4.0, "auto")]
    assert [each.name for each in old] == ["results/demo/builtin@v1", "results/demo/builtin@v2"]
    assert make(store, {"alpha": "auto"}, content=1).name == "results/demo/builtin@v3"
    assert make(store, {"alpha": 4.0}, content=1).name == "results/demo/builtin~alpha-4@v1"
    assert store.resolve("results/demo/builtin").params == {"alpha": "auto"}
    assert store.resolve("results/demo/builtin@v1") == old[0]


def test_what_is_made_from_either_old_version_has_a_name_of_its_own(store: Store) -> None:
    old = [make(store, {"top_k": count}, kind="directions", labelled=False) for count in (24, 48)]
    labels = [make(store, {"alpha": 4.0}, label=each.label, inputs=(each,)).label for each in old]
    assert labels == ["builtin~top-k-24", "builtin"]


VALUES: list[Any] = [
    *[None, True, False, 0, 4.0, -4.0, 1e-9, 1e30, "auto", "a b", "a-b", "A b", "", "é", "x" * 500, "x" * 501],
    *[[], [0, 2.5], ["no-change", "pas"], [[0, 1], [1, 0]], {"given": "a/p.json", "digest": ["1"]}],
    *[{"given": "b/p.json", "digest": ["2"]}, {"given": None, "digest": ["3"]}, {"given": None, "digest": ["4"]}],
]


def test_every_value_gives_a_valid_name_of_its_own(store: Store) -> None:
    """Also those that look alike once they are written with the signs of a name."""
    make(store, {"how": "first"})
    made = {number: make(store, {"how": value}, content=number) for number, value in enumerate(VALUES)}
    names = {each.name.rpartition("@")[0] for each in made.values()}
    assert len(names) == len(VALUES)
    for number, artifact in made.items():
        assert check_word("label", artifact.label) == artifact.label
        assert (plain(artifact.label), artifact.version) == ("builtin", 1)
        assert store.resolve(artifact.name.rpartition("@")[0]) == artifact
        assert make(store, {"how": VALUES[number]}, content=100 + number).label == artifact.label


def test_many_options_that_differ_still_fit_into_a_name(store: Store) -> None:
    make(store, {f"option_{number}": 0 for number in range(30)}, label="b" * MOST)
    labels = [make(store, {f"option_{n}": value for n in range(30)}, label="b" * MOST).label for value in (1, 2)]
    assert all(len(label) <= MOST and len(words(label)) == 1 for label in labels)
    assert len(set(labels)) == 2


def test_a_damaged_record_of_options_is_written_anew(store: Store) -> None:
    first = make(store, {"alpha": 4.0})
    (record,) = (store.root / "refs" / "options").rglob("*.json")
    record.write_bytes(b"")
    assert make(store, {"alpha": 2.0}).label == "builtin~alpha-2"
    assert store.resolve("results/demo/builtin") == first


def test_processes_that_come_first_together_agree(store: Store) -> None:
    """Whoever takes the plain name, nobody else has it with other options."""
    made: list[Artifact] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        made.append(make(Store(store.root), {"alpha": number % 4}, content=number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    by_label: dict[str, list[Artifact]] = {}
    for artifact in made:
        by_label.setdefault(artifact.label, []).append(artifact)
    assert sorted(map(len, by_label.values())) == [2, 2, 2, 2]
    for artifacts in by_label.values():
        assert all(a.params == b.params for a, b in pairwise(artifacts))


@pytest.mark.parametrize("label", ["builtin", "e+-n-", "papi.2"])
def test_the_first_options_keep_the_plain_label(store: Store, label: str) -> None:
    assert make(store, {"alpha": 4.0}, label=label).name == f"results/demo/{label}@v1"
