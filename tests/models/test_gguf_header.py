"""Reading the architecture from a GGUF header, against headers written here."""

from __future__ import annotations

import struct

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.models.gguf_header import GgufHeader, read_gguf_header, read_gguf_sizes, read_gguf_tensor_names


def _text(word: str) -> bytes:
    return struct.pack("<Q", len(word.encode())) + word.encode()


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _header(*pairs: bytes, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


OTHERS = [
    _pair("a.u8", 0, b"\x01"),
    _pair("a.f64", 12, b"\0" * 8),
    _pair("a.bool", 7, b"\x01"),
    _pair("a.text", 8, _text("long " * 5000)),
    _pair("a.floats", 9, struct.pack("<IQ", 6, 3) + b"\0" * 12),
    _pair("a.words", 9, struct.pack("<IQ", 8, 2) + _text("x") + _text("yz")),
    _pair("a.nested", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 2, 2) + b"\0" * 4),
]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("architecture", "family"), [("llama", "llama"), ("qwen3", "qwen3"), ("qwen3moe", "qwen3_moe")]
)
def test_the_architecture_is_found_wherever_it_stands(tmp_path, version, architecture, family):
    wanted = _pair("general.architecture", 8, _text(architecture))
    for position in range(len(OTHERS) + 1):
        file = tmp_path / f"{position}.gguf"
        file.write_bytes(_header(*OTHERS[:position], wanted, *OTHERS[position:], version=version))
        assert read_gguf_header(file).family == family


def test_the_context_is_found_before_and_behind_the_architecture(tmp_path):
    family, context = _pair("general.architecture", 8, _text("qwen3")), _pair("qwen3.context_length", 4, b"\0\x20\0\0")
    for number, pairs in enumerate([(family, *OTHERS, context), (context, *OTHERS, family)]):
        file = tmp_path / f"{number}.gguf"
        file.write_bytes(_header(*pairs))
        assert read_gguf_header(file) == GgufHeader("qwen3", 8192)


def test_none_if_the_file_does_not_say(tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(_header(*OTHERS))
    assert read_gguf_header(file) == GgufHeader()


def test_a_file_cut_anywhere_is_an_error_and_never_a_crash(tmp_path):
    whole = _header(*OTHERS[:3], _pair("general.architecture", 8, _text("qwen3")))
    file = tmp_path / "m.gguf"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_gguf_header(file)


@pytest.mark.parametrize("content", [_header(magic=b"GGML"), _header(version=1), _header(version=0x03000000)])
def test_other_formats_are_refused(tmp_path, content):
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    with pytest.raises(InputError):
        read_gguf_header(file)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(MissingError):
        read_gguf_header(tmp_path / "none.gguf")


def test_sizes_and_names_of_tensors_stand_behind_whatever_comes_before(tmp_path):
    size = _pair("qwen3.attention.key_length", 4, struct.pack("<I", 64))
    told = [_text(name) + struct.pack("<IQQIQ", 2, 3, 4, 0, 32) for name in ("blk.0.attn_v.bias", "output.weight")]
    pairs = [*OTHERS, size, *OTHERS]
    whole = b"GGUF" + struct.pack("<IQQ", 3, len(told), len(pairs)) + b"".join(pairs + told)
    file = tmp_path / "m.gguf"
    file.write_bytes(whole)
    assert read_gguf_sizes(file) == {"attention.key_length": 64}
    assert read_gguf_tensor_names(file) == ["blk.0.attn_v.bias", "output.weight"]
    file.write_bytes(whole[:-40])
    with pytest.raises(InputError, match="is not a whole GGUF file"):
        read_gguf_tensor_names(file)
