"""Whether a model fits the machine: what memory can be had, and what is said of one that cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pasctl.errors import InputError
from pasctl.models import load as loading
from pasctl.models import machine
from pasctl.models.footprint import Footprint, Sizes
from pasctl.models.geometry import Geometry
from pasctl.models.load import load_model
from pasctl.models.machine import available_memory, require_fit
from tests.tiny import save_tiny

GIB = 1 << 30
NO_LIMIT = "9223372036854771712"  # of control groups of version 1
EIGHT = 8_190_735_360  # numbers in Qwen3-8B


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def meminfo(available: int, swap: int = 0) -> str:
    return f"MemTotal: 99999999 kB\nMemAvailable:   {available // 1024} kB\nSwapFree: {swap // 1024} kB\n"


def v2(folder: str, limit: object, used: int, cache: int) -> dict[str, str]:
    stat = f"anon 5\ninactive_file {cache}\nactive_file 0\nslab_reclaimable 0\n"
    place = f"sys/fs/cgroup/{folder}".rstrip("/")
    return {f"{place}/memory.max": f"{limit}\n", f"{place}/memory.current": f"{used}\n", f"{place}/memory.stat": stat}


def test_the_systems_memory_counts_what_it_can_give_up(tmp_path):
    assert available_memory(write(tmp_path, {"proc/meminfo": meminfo(4 * GIB, GIB)})) == 5 * GIB


def test_a_limit_of_any_group_around_the_process_counts(tmp_path):
    files = {"proc/meminfo": meminfo(64 * GIB), "proc/self/cgroup": "0::/outer/inner\n"}
    root = write(tmp_path, files | v2("outer", 8 * GIB, 7 * GIB, 2 * GIB) | v2("outer/inner", "max", GIB, 0))
    assert available_memory(root) == 3 * GIB
    write(tmp_path, v2("outer/inner", 2 * GIB, GIB, 0))
    assert available_memory(root) == GIB
    write(tmp_path, v2("outer/inner", GIB, 2 * GIB, 0))
    assert available_memory(root) == 0


def test_a_containers_own_top_counts_where_the_path_is_the_hosts(tmp_path):
    files = {"proc/meminfo": meminfo(64 * GIB), "proc/self/cgroup": "0::/docker/abc\n"}
    assert available_memory(write(tmp_path, files | v2("", 2 * GIB, GIB, GIB))) == 2 * GIB


def test_groups_of_version_1_count(tmp_path):
    place = "sys/fs/cgroup/memory/job"
    files = {
        "proc/meminfo": meminfo(64 * GIB),
        "proc/self/cgroup": "5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n",
        f"{place}/memory.usage_in_bytes": str(3 * GIB),
        f"{place}/memory.stat": f"total_inactive_file {GIB}\ntotal_active_file 0\n",
    }
    root = write(tmp_path, files | {f"{place}/memory.limit_in_bytes": NO_LIMIT})
    assert available_memory(root) == 64 * GIB
    write(tmp_path, {f"{place}/memory.limit_in_bytes": str(6 * GIB)})
    assert available_memory(root) == 4 * GIB


def footprint(itemsize: int, parameters: int = EIGHT, stored: int = 2) -> Footprint:
    sizes = Sizes(parameters, 151936 * 4096, 12288, 151936, stored)
    return Footprint(Geometry(36, 32, 8, 128, 4096), sizes, itemsize, on_host=True)


def fit(itemsize: int, device: str = "cpu", parameters: int = EIGHT, stored: int = 2) -> str | None:
    dtype = {4: "float32", 2: "bfloat16"}[itemsize]
    weights = itemsize * parameters
    return require_fit("org/m", footprint(itemsize, parameters, stored), weights=weights, dtype=dtype, device=device)


@pytest.fixture
def memory(monkeypatch):
    """Sets what can be had, in GB: of memory, and on a CUDA device."""

    def settle(host: float | None, device: float | None = None) -> None:
        monkeypatch.setattr(machine, "available_memory", lambda: None if host is None else int(host * 1e9))
        monkeypatch.setattr(machine, "free_on_device", lambda name: None if device is None else int(device * 1e9))

    return settle


def test_what_does_not_fit_is_told_with_what_is_there_and_what_to_do(memory):
    memory(24)
    with pytest.raises(InputError, match=r"org/m in float32 does not fit: it needs 3\d\.\d\d GB of memory") as caught:
        fit(4)
    assert "weights 32.76 GB" in caught.value.message
    assert "24.00 GB can be had" in caught.value.message
    assert "--dtype bfloat16 makes the weights 16.38 GB" in caught.value.hint
    assert "Qwen3-8B" in caught.value.hint
    assert "--quantize int8 or int4" in caught.value.hint
    largest = re.search(r"up to about (\d+\.\d) billion", caught.value.hint)
    assert largest is not None
    assert 11.5 < float(largest[1]) <= 12.0  # 24 GB of two bytes each, less the work
    assert "\n" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("room", [2.0, 9.0, 40.0])
def test_the_size_that_is_named_as_fitting_does_fit(memory, room):
    memory(room)
    with pytest.raises(InputError) as caught:
        fit(2, parameters=int(1e12))
    largest = re.search(r"up to about (\d+\.\d) billion", caught.value.hint)
    assert largest is not None
    fit(2, parameters=int((float(largest[1]) - 0.05) * 1e9))
    with pytest.raises(InputError):
        fit(2, parameters=int((float(largest[1]) + 0.1) * 1e9))


def test_what_is_tight_is_noted_and_what_fits_is_not(memory):
    memory(18)
    assert "memory is tight" in (fit(2) or "")
    memory(24)
    assert fit(2) is None
    memory(None)
    assert fit(4) is None


def test_a_gpus_own_memory_counts_and_the_hosts_only_for_what_is_converted(memory):
    memory(host=4, device=24)
    assert fit(2, "cuda") is None
    with pytest.raises(InputError, match=r"16\.38 GB of memory, to be loaded"):
        fit(2, "cuda", stored=4)
    memory(host=64, device=12)
    with pytest.raises(InputError, match="on cuda:1") as caught:
        fit(2, "cuda:1")
    assert "--device-map auto" in caught.value.hint


def test_a_model_is_refused_before_its_weights_are_read(tmp_path, monkeypatch, memory):
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    folder = save_tiny(tmp_path / "m")
    memory(1e-6)
    monkeypatch.setattr(loading, "read_weights", lambda *_, **__: pytest.fail("weights are read"))
    with pytest.raises(InputError, match="does not fit"):
        load_model(str(folder), device="cpu")


def test_a_quantized_checkpoint_counts_as_large_as_it_is(tmp_path, monkeypatch):
    import json

    from pasctl.models.footprint import Packed
    from pasctl.models.identity import resolve_model
    from pasctl.models.load import load_meta_model

    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    folder = save_tiny(tmp_path / "m")
    assert load_meta_model(str(folder)).sizes.packed is None
    config = json.loads((folder / "config.json").read_text())
    quantization = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    size = (folder / "model.safetensors").stat().st_size
    assert load_meta_model(resolve_model(str(folder))).sizes.packed == Packed(size)


@pytest.mark.parametrize("sizes", [{"vocab_size": 10**10}, {"hidden_size": 10**9}])
def test_a_config_of_impossible_sizes_is_refused_before_it_takes_memory(tmp_path, monkeypatch, sizes):
    import json

    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    folder = save_tiny(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | sizes))
    with pytest.raises(InputError, match="does not fit"):
        load_model(str(folder), device="cpu")
