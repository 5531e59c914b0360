"""Segments in memory and in files against slices of one big tensor."""

from __future__ import annotations

import itertools
import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.errors import IntegrityError
from pasctl.memory.codec import round_trip, segment_tensors
from pasctl.memory.segments import Segments

L, G, D = 3, 2, 8
CUTS = [0, 1, 14, 15, 40, 57]


def drawn(tokens: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    both = torch.randn(2, L, G, tokens, D, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return both[0], both[1]


def written(path: Path, k: Tensor, v: Tensor, int8: bool = False) -> Path:
    save_file(segment_tensors(k, v, int8), path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("place", ["memory", "file", "mixed", "replaced"])
def test_spans_equal_slices_of_one_tensor(tmp_path: Path, dtype: torch.dtype, int8: bool, place: str) -> None:
    k, v = drawn(CUTS[-1], dtype)
    if int8:  # what the reader holds was rounded, so that memory and file agree
        k, v = round_trip(k), round_trip(v)
    segments = Segments(L, G, D, dtype)
    for number, (start, stop) in enumerate(itertools.pairwise(CUTS)):
        part = k[:, :, start:stop], v[:, :, start:stop]
        path = tmp_path / f"{number}.safetensors"
        if place == "file" or (place == "mixed" and number % 2):
            segments.attach(written(path, *part, int8), start, stop)
        else:
            segments.append(start, *part)
        if place == "replaced":
            segments.replace_with_file(number, written(path, *part, int8))
        assert segments.tokens == stop
    draw = random.Random(0)
    for _ in range(60):
        starts = [draw.randint(0, CUTS[-1]) for _ in range(draw.randint(0, 5))]
        spans = [(start, draw.randint(start, CUTS[-1])) for start in starts]
        layer = draw.randrange(L)
        where = [token for start, stop in spans for token in range(start, stop)]
        found_k, found_v = segments.read(layer, spans)
        assert found_k.dtype == found_v.dtype == dtype
        assert torch.equal(found_k, k[layer][:, where])
        assert torch.equal(found_v, v[layer][:, where])
    all_k, all_v = segments.read_all_layers(7, 50)
    assert torch.equal(all_k, k[:, :, 7:50])
    assert torch.equal(all_v, v[:, :, 7:50])


def test_what_is_not_there_cannot_be_read() -> None:
    segments = Segments(L, G, D, torch.float32)
    with pytest.raises(IndexError, match="0-1"):
        segments.read(0, [(0, 1)])
    segments.append(5, *drawn(10, torch.float32))
    for span in [(4, 6), (14, 16), (15, 20), (9, 8), (-2, 6)]:
        with pytest.raises(IndexError, match="hold 5-15"):
            segments.read(0, [span])
        with pytest.raises(IndexError, match="hold 5-15"):
            segments.read_all_layers(*span)


def test_segments_follow_each_other_and_have_the_models_shape(tmp_path: Path) -> None:
    k, v = drawn(10, torch.float32)
    segments = Segments(L, G, D, torch.float32)
    segments.append(0, k, v)
    for start in (0, 9, 11):
        with pytest.raises(ValueError, match="expected 10"):
            segments.append(start, k, v)
        with pytest.raises(ValueError, match="expected 10"):
            segments.attach(written(tmp_path / "a", k, v), start, start + 10)
    with pytest.raises(ValueError, match="expected"):
        segments.append(10, k, v[:, :, :9])
    with pytest.raises(ValueError, match="expected"):
        segments.append(10, k[..., :4], v[..., :4])
    assert segments.tokens == 10


def test_close_forgets_all_but_what_was_read(tmp_path: Path) -> None:
    k, v = drawn(10, torch.float32)
    segments = Segments(L, G, D, torch.float32)
    segments.attach(written(tmp_path / "a", k, v), 0, 10)
    found, _ = segments.read(1, [(2, 9)])
    segments.close()
    segments.close()
    assert segments.tokens == 0
    assert torch.equal(found, k[1][:, 2:9])
    with pytest.raises(IndexError):
        segments.read(1, [(2, 9)])
    if sys.platform == "linux":
        assert not any(str(tmp_path) in str(link.resolve()) for link in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("int8", [False, True])
def test_a_file_cut_short_is_refused(tmp_path: Path, int8: bool) -> None:
    path = written(tmp_path / "segment.safetensors", *drawn(6, torch.bfloat16), int8)
    whole = path.read_bytes()
    for size in (0, 5, 8, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        segments = Segments(L, G, D, torch.bfloat16)
        with pytest.raises(IntegrityError, match=r"segment\.safetensors"):
            segments.attach(path, 0, 6)
        assert segments.tokens == 0
    with pytest.raises(IntegrityError, match="missing"):
        Segments(L, G, D, torch.bfloat16).attach(tmp_path / "missing", 0, 6)


def test_a_file_of_another_shape_or_without_its_scales_is_refused(tmp_path: Path) -> None:
    k, v = drawn(6, torch.float32)
    cases = {
        "tokens": segment_tensors(k[:, :, :5], v[:, :, :5], False),
        "layers": segment_tensors(k[:2], v[:2], False),
        "width": segment_tensors(k[..., :4], v[..., :4], False),
        "no_values": {"k": k},
        "no_scale": {name: t for name, t in segment_tensors(k, v, True).items() if name != "v_scale"},
        "scale": {**segment_tensors(k, v, True), "k_scale": torch.ones(L, G, 6, D)},
        "dtype": {"k": k.long(), "v": v.long()},
    }
    for name, tensors in cases.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / name)
        with pytest.raises(IntegrityError, match=name):
            Segments(L, G, D, torch.float32).attach(tmp_path / name, 0, 6)


GOOD = {"dtype": "F32", "shape": [L, G, 6, D], "data_offsets": [0, L * G * 6 * D * 4]}


@pytest.mark.parametrize(
    "entry",
    [
        {**GOOD, "shape": [L, G, 6, D + 1]},
        {**GOOD, "shape": 4},
        {**GOOD, "data_offsets": [-8, L * G * 6 * D * 4 - 8]},
        {**GOOD, "data_offsets": GOOD["data_offsets"][::-1]},
        {**GOOD, "data_offsets": [0, 4]},
        {**GOOD, "data_offsets": [0, 10**30]},
        {**GOOD, "data_offsets": [1 << 70, (1 << 70) + L * G * 6 * D * 4]},
        {**GOOD, "data_offsets": [0]},
        {**GOOD, "dtype": "U9"},
        {},
        None,
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, entry: Any) -> None:
    path = tmp_path / "segment"

    def attach(header: object) -> None:
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8192))
        Segments(L, G, D, torch.float32).attach(path, 0, 6)

    attach({"k": GOOD, "v": GOOD})
    for header in ({"k": GOOD, "v": entry}, [entry]):
        with pytest.raises(IntegrityError, match=str(path)):
            attach(header)


def resident_file_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssFile:")[1].split()[0]) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells no RssFile")
@pytest.mark.parametrize(("length", "step"), [(1024, 1024), (8, 64)])
def test_resident_memory_stays_bounded(tmp_path: Path, length: int, step: int) -> None:
    """Long spans, and short ones far apart, of which maps would keep 2 MiB each."""
    layers, heads, width, tokens, files = 8, 4, 64, 4096, 6
    k = torch.randn(layers, heads, tokens, width).to(torch.bfloat16)
    segments = Segments(layers, heads, width, torch.bfloat16)
    for number in range(files):
        path = tmp_path / f"{number}"
        save_file({"k": k, "v": -k}, path)  # 32 MiB
        segments.attach(path, number * tokens, (number + 1) * tokens)
    before = peak = resident_file_bytes()
    for layer in range(layers):
        for start in range(0, files * tokens, step):
            found, negative = segments.read(layer, [(start, start + length)])
            where = start % tokens
            assert torch.equal(found, k[layer][:, where : where + length])
            assert torch.equal(negative, -found)
            peak = max(peak, resident_file_bytes()) if start % 1024 == 0 else peak
    segments.close()
    assert peak - before < 8 << 20


_FEW_FILES = """
import resource, sys, torch
from pathlib import Path
from pasctl.memory.segments import OPEN_FILES, Segments
segments = Segments(1, 1, 4, torch.float32)
for number, path in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    segments.attach(path, number, number + 1)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + OPEN_FILES + 2,) * 2)
for _ in range(2):
    k, _ = segments.read(0, [(place, place + 1) for place in range(0, segments.tokens, 2)])
    assert k[0, :, 0].tolist() == list(range(0, segments.tokens, 2)), k
print(segments.files.bytes_read)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_text_of_any_length_has_few_open_files(tmp_path: Path) -> None:
    for number in range(300):
        k = torch.full((1, 1, 1, 4), float(number))
        save_file({"k": k, "v": -k}, tmp_path / f"{number:04d}")
    done = subprocess.run([sys.executable, "-c", _FEW_FILES, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 2 * 150 * 2 * 16


def test_a_file_that_is_cut_or_gone_after_it_was_opened_is_told(tmp_path: Path) -> None:
    k, v = drawn(10, torch.float32)
    for change in ("cut", "gone"):
        path = written(tmp_path / change, k, v)
        segments = Segments(L, G, D, torch.float32)
        segments.attach(path, 0, 10)
        if change == "cut":
            path.write_bytes(path.read_bytes()[:600])
        else:
            path.unlink()
        with pytest.raises(IntegrityError, match=change):
            segments.read(2, [(0, 10)])
