"""Wrong input: one line that names the thing, at most one hint, the right exit code, nothing on stdout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.refusal import assert_refused
from tests.integration.warm import Warm
from tests.inventory.papi_files import answers, write_folder

PAPI_FILES = ("IPIP-NEO-ItemKey.xls", "mpi_300_split.json", "Test-set.json")


@dataclass(frozen=True)
class Place:
    """A folder to write in, with a model and a store that has all stages' artifacts of two personas' sets."""

    folder: Path
    model: Path
    store: Path

    def model_copy(self) -> Path:
        return Path(shutil.copytree(self.model, self.folder / "model"))

    def file(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


Arguments = Callable[[Place], list[object]]


@dataclass(frozen=True)
class Case:
    """A wrong command, its exit code, and words that the error line must hold."""

    name: str
    code: int
    arguments: Arguments
    words: tuple[str, ...] = ()


def _without_config(place: Place) -> list[object]:
    model = place.model_copy()
    (model / "config.json").unlink()
    return ["extract", "--model", model]


def _unknown_family(place: Place) -> list[object]:
    model = place.model_copy()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "qwen33"}))
    return ["extract", "--model", model]


def _only_pickles(place: Place) -> list[object]:
    model = place.model_copy()
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    return ["extract", "--model", model]


def _papi_without(name: str) -> Arguments:
    def arguments(place: Place) -> list[object]:
        papi = write_folder(place.folder / "papi", answers(30, keyed=True))
        (papi / name).unlink()
        return ["data", "check", f"papi:{papi}"]

    return arguments


def _papi_answer(value: object) -> Arguments:
    def arguments(place: Place) -> list[object]:
        papi = write_folder(place.folder / "papi", answers(30, keyed=True))
        people = json.loads((papi / "Test-set.json").read_text())
        people[7]["i9"] = value
        (papi / "Test-set.json").write_text(json.dumps(people))
        return ["data", "check", f"papi:{papi}"]

    return arguments


def _answers(change: Callable[[dict[str, object]], dict[str, object]]) -> Arguments:
    """Personas from a JSON file with proper answers that `change` spoils."""

    def arguments(place: Place) -> list[object]:
        from pasctl.inventory import builtin_inventory

        given = change({item.id: 4 for item in builtin_inventory().items})
        return ["train-probes", "--personas", place.file("ada.json", given)]

    return arguments


def _set_first(value: object) -> Callable[[dict[str, object]], dict[str, object]]:
    return lambda given: given | {next(iter(given)): value}


CASES = [
    Case("model path", 3, lambda p: ["extract", "--model", p.folder / "no-model"], ("no-model",)),
    Case("model word", 3, lambda p: ["extract", "--model", "no-model"], ("no-model",)),
    Case("gguf path", 3, lambda p: ["extract", "--model", "no-model.gguf"], ("no-model.gguf",)),
    Case("folder without config", 3, _without_config, ("config.json",)),
    Case("family", 2, _unknown_family, ("qwen33", "did you mean qwen3")),
    Case("pickled weights", 2, _only_pickles, ("pickle",)),
    Case("revision of a folder", 2, lambda p: ["extract", "--model", p.model, "--revision", "v2"], ("v2",)),
    Case("dtype", 2, lambda p: ["extract", "--model", p.model, "--dtype", "int3"], ("int3",)),
    Case("device", 2, lambda p: ["extract", "--model", p.model, "--device", "abacus"], ("abacus",)),
    Case("answers option", 2, lambda p: ["extract", "--model", p.model, "--answers", "some"], ("some",)),
    Case("option order", 2, lambda p: ["extract", "--model", p.model, "--option-order", "up"], ("up",)),
    Case("inventory", 2, lambda p: ["extract", "--model", p.model, "--inventory", "mmpi"], ("mmpi",)),
    Case("papi folder", 3, lambda p: ["data", "check", f"papi:{p.folder}/none"], ("none",)),
    *(Case(f"papi without {name}", 3, _papi_without(name), (name,)) for name in PAPI_FILES),
    Case("papi answer 6", 2, _papi_answer(6), ("i9", "1007", "6")),
    Case("papi answer -1", 2, _papi_answer(-1), ("i9", "-1")),
    Case("papi answer null", 2, _papi_answer(None), ("i9",)),
    Case("answers file", 3, lambda p: ["train-probes", "--personas", "none.json"], ("none.json",)),
    *(Case(f"answer {value!r}", 2, _answers(_set_first(value)), (repr(value),)) for value in (0, 6, 2.5, True, "yes")),
    Case("unknown item", 2, _answers(lambda given: given | {"no-item": 4}), ("no-item",)),
    Case("all neutral", 2, _answers(lambda given: dict.fromkeys(given, 3)), ("ada",)),
    Case("all missing", 2, _answers(lambda given: dict.fromkeys(given)), ("ada",)),
    Case("personas", 2, lambda p: ["train-probes", "--personas", "X+"], ("X+",)),
    Case("case", 2, lambda p: ["train-probes", "--personas", "builtin:case=nobody"], ("nobody",)),
    Case("persona range", 2, lambda p: ["train-probes", "--personas", "builtin:40-60"], ("40-60",)),
    Case("parquet file", 3, lambda p: ["train-probes", "--personas", "none.parquet:0-9"], ("none.parquet",)),
    Case("parquet selection", 2, lambda p: ["train-probes", "--personas", "many.parquet:first"], ("first",)),
    Case("no parquet", 2, lambda p: ["train-probes", "--personas", p.file("x.parquet", "id,E01")], ("x.parquet",)),
    Case("coding", 2, lambda p: ["train-probes", "--coding", "morse"], ("morse",)),
    Case("validation share", 2, lambda p: ["train-probes", "--validation", "1.5"], ("1.5",)),
    Case("penalty", 2, lambda p: ["train-probes", "--c", "-1"], ("-1",)),
    Case("top-k", 2, lambda p: ["fit-directions", "--top-k", "19"], ("19", "18")),
    Case("method", 2, lambda p: ["fit-directions", "--method", "median"], ("median",)),
    Case("center", 2, lambda p: ["fit-directions", "--center", "earth"], ("earth",)),
    *(
        Case(f"alpha {a!r}", 2, lambda p, a=a: ["eval", f"--alpha={a}"], ("alpha",))
        for a in ("abc", "nan", "inf", "1,", "")
    ),
    Case("mode", 2, lambda p: ["eval", "--mode", "pas,hypnosis"], ("hypnosis",)),
    Case("shard", 2, lambda p: ["eval", "--shard", "9/8"], ("9/8",)),
    Case("shards", 2, lambda p: ["eval", "--shard", "1/9"], ("1/9", "4")),
    Case("positions", 2, lambda p: ["eval", "--positions", "first"], ("first",)),
    Case("ref of nothing", 3, lambda p: ["store", "show", "no-such-thing"], ("no-such-thing",)),
    Case("ref of no version", 3, lambda p: ["store", "show", "directions@v9"], ("v9",)),
    Case("ref of two", 2, lambda p: ["store", "show", "probes/tiny-a"], ("probes/tiny-a/builtin", "probes/tiny-a/e+")),
    Case("input that is nothing", 3, lambda p: ["train-probes", "--activations", "nothing"], ("nothing",)),
    Case("input of wrong kind", 2, lambda p: ["eval", "--directions", "activations"], ("activations", "directions")),
    Case("empty store", 3, lambda p: ["train-probes", "--store", p.folder / "empty"], ("activations",)),
    Case("store without probes", 3, lambda p: ["fit-directions", "--store", p.folder / "empty"], ("probes",)),
    Case("store without directions", 3, lambda p: ["eval", "--store", p.folder / "empty"], ("directions",)),
    Case("no activations of model", 3, lambda p: ["train-probes", "--model", "qwen3-8b"], ("qwen3-8b",)),
    Case("tag that reads as a key", 2, lambda p: ["store", "tag", "latest", "abcd"], ("abcd",)),
]


@pytest.fixture(scope="module")
def shared_store(warm: Warm, finished_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which `probes/tiny-a` means two things."""
    store = tmp_path_factory.mktemp("errors") / "artifacts"
    shutil.copytree(finished_master, store)
    done = warm.run("train-probes", "--personas", "E+", "--store", store)
    assert done.returncode == 0, done.stderr
    return store


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_input_is_refused_in_one_line(
    case: Case, warm: Warm, shared_store: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    arguments = case.arguments(Place(tmp_path, tiny_folder, shared_store))
    takes_store = arguments[0] != "data" and "--store" not in arguments
    done = warm.run(*arguments, *(["--store", shared_store] if takes_store else []), folder=tmp_path)
    assert_refused(done, case.code, *case.words)


def test_debug_adds_the_traceback_to_the_same_line(warm: Warm, tmp_path: Path) -> None:
    done = warm.run("extract", "--model", "no-model", folder=tmp_path, env={"PASCTL_DEBUG": "1"})
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
