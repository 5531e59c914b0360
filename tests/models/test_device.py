"""Device and dtype words."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pasctl.errors import InputError
from pasctl.models import device
from pasctl.models.device import DTYPES, resolve_device, resolve_dtype, torch_dtype


@pytest.mark.parametrize("name", DTYPES)
def test_dtype_names_are_torchs(name):
    assert resolve_dtype(name) == name
    assert torch_dtype(name) is getattr(torch, name)


@pytest.mark.parametrize("name", ["int8", "Float32", "", "double"])
def test_other_dtypes_are_refused(name):
    with pytest.raises(InputError, match="dtype"):
        resolve_dtype(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:0"])
def test_other_devices_are_refused(name):
    with pytest.raises(InputError, match="device"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="cuda:99"):
        resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16", "bfloat16"),
        ("fpu amx_bf16 amx_tile", "bfloat16"),
        ("fpu avx2 avx512f", "float32"),
        (None, "float32"),
    ],
)
def test_auto_dtype_on_a_cpu_follows_its_flags(tmp_path, monkeypatch, flags, expected):
    info = tmp_path / "cpuinfo"
    if flags is not None:
        info.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: {flags}\n")
    monkeypatch.setattr(device, "_CPU_INFO", info)
    assert resolve_dtype("auto", "cpu") == expected


def test_auto_dtype_on_mps_is_float32():
    assert resolve_dtype("auto", "mps") == "float32"


def test_cpu_is_resolved_without_torch():
    code = (
        "import sys; from pasctl.models.device import resolve_device, resolve_dtype, _may_have_accelerator;"
        "name = 'cpu' if _may_have_accelerator() else 'auto';"
        "assert resolve_device(name) == 'cpu'; resolve_dtype('auto', 'cpu'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_peak_memory_is_this_process_s_own_however_large_the_one_that_started_it() -> None:
    """On Linux getrusage would tell what the parent took when it forked."""
    held = bytearray(400 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    code = "from pasctl.models.device import peak_memory; print(peak_memory('cpu'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < len(held)
