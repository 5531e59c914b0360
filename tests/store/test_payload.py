from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from pasctl.store import Bf16
from pasctl.store.payload import (
    FormatError,
    decode_table,
    decode_tensors,
    encode_json,
    encode_table,
    encode_tensors,
)

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
SHAPES = [(), (1,), (3, 5), (0, 4), (2, 3, 1, 7)]


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        f"{dtype}/{shape}": np.asarray(draw.integers(0, 100, size=shape)).astype(dtype)
        for dtype in DTYPES
        for shape in SHAPES
    }


def save(path: Path, *arguments: object) -> Path:
    path.write_bytes(b"".join(encode_tensors(*arguments)))  # type: ignore[arg-type]
    return path


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_the_safetensors_library_reads_what_we_write(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", arrays(), {"note": "é"})
    theirs = safetensors.numpy.load_file(path)
    assert theirs.keys() == arrays().keys()
    assert all(same(theirs[name], array) for name, array in arrays().items())
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"note": "é"}


def test_we_read_what_the_safetensors_library_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(arrays(), path, {"a": "b"})
    ours = decode_tensors(path)
    assert ours.keys() == arrays().keys()
    assert all(same(np.asarray(ours[name]), array) for name, array in arrays().items())


def test_bfloat16_round_trip_agrees_with_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    special = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 3.4e38, 1e-40]
    values = np.concatenate([np.float32(special), np.random.default_rng(0).normal(size=4000).astype(np.float32)])
    theirs = torch.from_numpy(values).bfloat16()
    ours = Bf16(theirs.view(torch.uint16).numpy())
    assert np.array_equal(ours.to_float32(), theirs.float().numpy(), equal_nan=True)
    path = save(tmp_path / "x.safetensors", {"x": ours})
    assert torch.equal(load_file(path)["x"].view(torch.uint16), torch.from_numpy(ours.bits))
    back = decode_tensors(path)["x"]
    assert isinstance(back, Bf16)
    assert np.array_equal(back.bits, ours.bits)


def test_bytes_do_not_depend_on_order_or_memory_layout(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(4, 6)), draw.normal(size=(3,)).astype(np.float32)
    first = b"".join(encode_tensors({"a": a, "b": b}))
    assert first == b"".join(encode_tensors({"b": b, "a": np.asfortranarray(a)}))
    assert first == b"".join(encode_tensors({"b": b.astype(">f4"), "a": np.repeat(a, 2, axis=1)[:, ::2]}))


def test_arrays_are_writable_and_can_be_chosen(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", {"a": np.arange(3), "b": np.arange(4.0)})
    found = decode_tensors(path, ["b"])
    assert list(found) == ["b"]
    np.asarray(found["b"])[0] = 7
    assert np.array_equal(np.asarray(decode_tensors(path)["b"]), np.arange(4.0))
    with pytest.raises(FormatError, match="no tensor 'c'"):
        decode_tensors(path, ["c"])


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.zeros(2, complex), [1, 2]])
def test_what_safetensors_cannot_hold_is_refused(array: object) -> None:
    with pytest.raises(TypeError, match="tensor x"):
        list(encode_tensors({"x": array}))  # type: ignore[dict-item]


def raw(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        raw([]),
        raw({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        raw({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"\0" * 8),
        raw({"x": {"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]}}, b"\0" * 8),
        raw({"x": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8),
        raw({"x": {"shape": [1]}}, b"\0" * 8),
        raw({"x": 3}),
    ],
)
def test_a_file_that_lies_about_itself_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        decode_tensors(path)


def test_json_is_deterministic_and_refuses_nan() -> None:
    assert encode_json({"b": 1, "a": [1.5, "é"]}) == encode_json({"a": [1.5, "é"], "b": 1})
    assert json.loads(encode_json({"a": [1.5, "é"]})) == {"a": [1.5, "é"]}
    with pytest.raises(ValueError, match="JSON"):
        encode_json({"a": float("nan")})


def test_tables_round_trip_with_equal_bytes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"persona": ["a", None], "alpha": [1.0, float("nan")], "logits": [[0.5], [1.5, 2.5]]})
    path = tmp_path / "a=1" / "x.parquet"  # a folder name that pyarrow's dataset reader would take for a column
    path.parent.mkdir()
    path.write_bytes(encode_table(table))
    assert path.read_bytes() == encode_table(pa.table(table.to_pydict()))
    back = decode_table(path)
    assert back.schema == table.schema
    assert repr(back.to_pydict()) == repr(table.to_pydict())  # repr: NaN is not equal to itself
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="no Parquet"):
        decode_table(path)
