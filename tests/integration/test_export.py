"""`pasctl export` from the command line: refusals, a kill at any moment, full disks, and loading without pasctl."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pasctl.export.files import RECORD, digests, read_record, require_files
from tests.conftest import PasctlRun
from tests.export.planted import ALPHA, plant
from tests.integration.refusal import assert_refused
from tests.integration.warm import Done, Warm

pytestmark = pytest.mark.integration

_DICE = random.Random(7)
MOMENTS = [round(_DICE.random(), 3) for _ in range(8)]  # as shares of an undisturbed run's time
FLAGS: tuple[object, ...] = ("--persona", "ada", "--alpha", ALPHA)

PLAIN = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

found = []
for folder in sys.argv[1:]:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "I worry about things."}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    with torch.inference_mode():
        found.append(model.eval()(ids).logits[0].log_softmax(-1)[:, :50].tolist())
    model.generate(ids, max_new_tokens=3, do_sample=False)
assert not [name for name in sys.modules if name.split(".")[0] == "pasctl"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny-qwen3` and a store with directions of it."""
    folder = tmp_path_factory.mktemp("master")
    plant(folder)
    return folder


@pytest.fixture
def place(master: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the store; the model stays where it is."""
    shutil.copytree(master / "store", tmp_path / "store")
    return tmp_path


def export(warm: Warm, place: Path, *arguments: object, ref: str = "directions") -> Done:
    return warm.run("export", ref, *FLAGS, "--store", place / "store", *arguments, folder=place)


def beside(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name != "store")


def test_export_and_check_print_the_figures(warm: Warm, place: Path) -> None:
    made = export(warm, place, "-o", "out", "--license", "apache-2.0")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("out  written and proven  (export/tiny-qwen3/made-ada@v1)\n")
    assert "allowed in float32" in made.stdout
    assert "100.0% of the steering's effect" in made.stdout
    assert 'license: "apache-2.0"' in (place / "out" / "README.md").read_text()
    checked = warm.run("export", "check", "out", "--store", "store", folder=place)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == made.stdout.partition("\n")[2]
    again = export(warm, place, "-o", "out", "--json").document
    assert (again["written"], again["reused"], again["name"]) == (False, True, "export/tiny-qwen3/made-ada@v1")
    as_json = warm.run("export", "check", "out", "--store", "store", "--json", folder=place).document
    assert as_json == {"folder": "out", "passed": True, "fault": None, **again["proof"]}
    tree = warm.run("store", "lineage", "export", "--store", "store", folder=place)
    assert [line.strip() for line in tree.stdout.splitlines()] == [
        "export/tiny-qwen3/made-ada@v1",
        "directions/tiny-qwen3/made@v1",
    ]


def test_create_is_the_default_and_vllm_says_how_to_serve(warm: Warm, place: Path) -> None:
    planned = export(warm, place, "-o", "out", "--dry-run", "--json").document
    assert planned["plan"]["layers"] == 2
    assert beside(place) == []
    common = ("directions", "--store", "store", "-o", "out", "--engine", "vllm")
    made = warm.run("export", "create", *FLAGS, *common, folder=place)
    assert made.returncode == 0, made.stderr
    assert "vllm serve out --model-impl transformers --dtype float32" in (place / "out" / "README.md").read_text()
    told = warm.run("export", "check", "out", "--engine", "vllm", "--store", "store", folder=place)
    assert told.returncode == 3
    assert len(told.stdout.splitlines()) == 2
    assert told.stderr.startswith("error: vLLM is not installed here\nhint: ")


def test_plain_transformers_loads_it_without_pasctl(
    warm: Warm, place: Path, master: Path, clean_environment: dict[str, str]
) -> None:
    import torch

    from pasctl.models.load import load_model
    from pasctl.stages.target import intervention
    from pasctl.steering import steer

    assert export(warm, place, "-o", "out").returncode == 0
    environment = {name: value for name, value in clean_environment.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, place / "out", master / "tiny-qwen3"],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    exported, base = (torch.tensor(each) for each in json.loads(done.stdout))
    model = load_model(str(master / "tiny-qwen3"), dtype="float32")
    moved = intervention(model, "ada", ALPHA, directions="directions", store=place / "store")
    ids = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": "I worry about things."}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    with torch.inference_mode(), steer(model, moved):
        steered = model.model(ids).logits[0].log_softmax(-1)[:, :50]
    torch.testing.assert_close(exported, steered, atol=1e-4, rtol=0)
    assert (exported - base).abs().mean() > 0.1


@pytest.fixture(scope="module")
def whole_seconds(warm: Warm, master: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long an undisturbed export takes."""
    place = tmp_path_factory.mktemp("whole")
    shutil.copytree(master / "store", place / "store")
    began = time.monotonic()
    assert export(warm, place, "-o", "out").returncode == 0
    return time.monotonic() - began


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_export_is_whole_or_not_there(moment: float, warm: Warm, place: Path, whole_seconds: float) -> None:
    running = warm.start("export", "directions", *FLAGS, "-o", "out", "--store", "store", folder=place)
    time.sleep(moment * whole_seconds)
    running.signal(signal.SIGKILL)
    running.wait()
    _whole_or_not_there(warm, place)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", RECORD, "README.md"])
def test_an_export_killed_after_any_file_is_whole_or_not_there(name: str, warm: Warm, place: Path) -> None:
    running = warm.start("export", "directions", *FLAGS, "-o", "out", "--store", "store", folder=place)
    running.wait_for(lambda: bool(list(place.glob(f".out.partial-*/{name}"))) or (place / "out").exists())
    running.signal(signal.SIGKILL)
    running.wait()
    _whole_or_not_there(warm, place)


def _whole_or_not_there(warm: Warm, place: Path) -> None:
    """After a kill; and the same command then comes to a whole export, and says what is left over."""
    if (place / "out").exists():
        record = read_record(place / "out")
        assert record is not None
        require_files(place / "out", record["files"])
    left = [name for name in beside(place) if name != "out"]
    assert all(name.startswith(".out.partial-") for name in left)
    again = export(warm, place, "-o", "out")
    assert again.returncode == 0, again.stderr
    assert all(name in again.stderr or "already" in again.stdout for name in left)
    assert warm.run("export", "check", "out", "--store", "store", folder=place).returncode == 0


def _foreign(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "thesis.txt").write_text("do not lose this")


def _file(place: Path) -> None:
    (place / "out").write_text("a file")


def _nothing(place: Path) -> None:
    return


REFUSALS: dict[str, tuple[int, Callable[[Path], None], tuple[object, ...], tuple[str, ...]]] = {
    "engine": (2, _nothing, ("--engine", "onnx"), ("'onnx'",)),
    "persona": (2, _nothing, ("--persona", "nobody"), ("nobody", "ada")),
    "alpha 0": (2, _nothing, ("--alpha", "0"), ("alpha", "0")),
    "alpha nan": (2, _nothing, ("--alpha", "nan"), ("alpha", "nan")),
    "shard size": (2, _nothing, ("--max-shard-size", "much"), ("'much'",)),
    "dtype": (2, _nothing, ("--dtype", "int3"), ("int3",)),
    "quantized weights": (2, _nothing, ("--quantize", "int8"), ("as it is stored", "--quantize int8")),
    "model that is not there": (3, _nothing, ("--model", "no-model"), ("no-model",)),
    "parent that is not there": (2, _nothing, ("-o", "none/out"), ("none/out",)),
    "foreign folder": (2, _foreign, (), ("out", "no export of pasctl")),
    "foreign folder by force": (2, _foreign, ("--force",), ("out", "no export of pasctl")),
    "file": (2, _file, ("--force",), ("out", "file")),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_leaves_all_as_it_was(name: str, warm: Warm, place: Path) -> None:
    code, prepare, arguments, words = REFUSALS[name]
    prepare(place)
    before = {
        path: path.read_bytes() for path in place.rglob("*") if path.is_file() and "index.sqlite" not in path.name
    }
    assert_refused(export(warm, place, "-o", "out", *arguments), code, *words)
    after = {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and "index.sqlite" not in path.name}
    assert after == before


def test_directions_that_are_not_there_or_of_another_model(warm: Warm, place: Path, other_tiny_folder: Path) -> None:
    assert_refused(export(warm, place, "-o", "out", ref="no-such-thing"), 3, "no-such-thing")
    assert_refused(export(warm, place, "-o", "out", "--model", other_tiny_folder), 2, "another model")
    assert export(warm, place, "-o", "out").returncode == 0
    assert_refused(export(warm, place, "-o", "new", ref="export"), 2, "expected directions, found export")
    assert_refused(
        warm.run(
            "export", "directions", "--persona", "E+", "--alpha", 1, "-o", "out", "--store", "store", folder=place
        ),
        2,
        "another export",
    )
    assert beside(place) == ["out"]


@pytest.mark.parametrize(("family", "code"), [("phi3", 2), ("starcoder2", 2), ("stablelm", 2)])
def test_families_without_biases_are_refused_in_one_line(family: str, code: int, warm: Warm, tmp_path: Path) -> None:
    plant(tmp_path, family)
    assert_refused(export(warm, tmp_path, "-o", "out"), code, family, "o_proj bias")
    assert beside(tmp_path) == [f"tiny-{family}"]


def test_check_fails_with_1_where_a_file_is_changed(warm: Warm, place: Path) -> None:
    assert export(warm, place, "-o", "out").returncode == 0
    weights = place / "out" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert_refused(warm.run("export", "check", "out", "--store", "store", folder=place), 1, "model.safetensors")
    assert_refused(warm.run("export", "check", "store", "--store", "store", folder=place), 2, "store")


def test_check_prints_the_figures_of_what_fails(warm: Warm, place: Path) -> None:
    """A checkpoint whose record was made to agree with other biases: only the proof can tell."""
    assert export(warm, place, "-o", "out").returncode == 0
    weights = place / "out" / "model.safetensors"
    held = load_file(weights)
    held["model.layers.2.self_attn.o_proj.bias"].zero_()
    save_file(held, weights, metadata={"format": "pt"})
    record = json.loads((place / "out" / RECORD).read_text())
    record["files"]["model.safetensors"] = digests(place / "out")["model.safetensors"]
    (place / "out" / RECORD).write_text(json.dumps(record))
    done = warm.run("export", "check", "out", "--store", "store", folder=place)
    assert done.returncode == 1
    assert "checkpoint and steered model" in done.stdout
    assert "error: out differs from the steered model by" in done.stderr


def _in_namespace(script: str, place: Path) -> tuple[str, ...]:
    """A command prefix that runs `script` in a mount namespace of its own; $0 is `place`."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mounts")
    return ("unshare", "-rm", "sh", "-c", f'{script} && "$@"; code=$?; ls -A "$0" >"$0.left"; exit $code', str(place))


@pytest.mark.parametrize("full_at", ["model.safetensors", "tokenizer.json", RECORD])
def test_full_disks(full_at: str, warm: Warm, run_pasctl: PasctlRun, place: Path) -> None:
    """The disk is just too small for the file, so that each writer meets it."""
    assert export(warm, place, "-o", "sized").returncode == 0
    pages = {path.name: -(-path.stat().st_size // 4096) for path in (place / "sized").iterdir()}
    order = ["config.json", "generation_config.json", "model.safetensors", "chat_template.jinja"]
    order += ["tokenizer_config.json", "tokenizer.json", RECORD]
    assert set(order) | {"README.md"} == set(pages)
    room = 4 * sum(pages[name] for name in order[: order.index(full_at)]) + 2
    done, left = _on_disk(f"size={room}k", run_pasctl, place)
    assert_refused(done, 1, "disk full", "out")
    assert left == ""


def test_read_only_disks(run_pasctl: PasctlRun, place: Path) -> None:
    done, left = _on_disk("ro", run_pasctl, place)
    assert_refused(done, 1, "Read-only file system", "out")
    assert "loading" not in done.stderr
    assert left == ""


def _on_disk(how: str, run_pasctl: PasctlRun, place: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    """An export of E+ to a disk of its own, and what is left on that."""
    disk = place / "disk"
    disk.mkdir()
    before = _in_namespace(f'mount -t tmpfs -o {how} tmpfs "$0"', disk)
    arguments = ("--persona", "E+", "--alpha", ALPHA, "-o", disk / "out")
    done = run_pasctl("export", "directions", *arguments, store=place / "store", before=before)
    return done, disk.with_name("disk.left").read_text()


def test_help_of_the_group_tells_both_commands_and_loads_nothing_heavy(clean_environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from pasctl.cli.app import app\n"
        "print(CliRunner().invoke(app, ['export', '--help']).output)\n"
        "assert not {'torch', 'transformers', 'numpy', 'sqlalchemy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "create" in done.stdout
    assert "check" in done.stdout
    assert "REF ... | check DIR ..." in done.stdout
