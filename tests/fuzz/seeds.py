"""Writes the seeds of the corpora; they are kept in the repository, with small files that once went wrong beside them.

The `.xls` files were written by xlwt.

`python -m tests.fuzz.seeds` makes those again that are named here.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pasctl.inventory import builtin_inventory
from pasctl.inventory.files.template import write_template
from pasctl.store.keys import make_key
from pasctl.store.manifest import SCHEMA, digest_content
from pasctl.store.payload import encode_tensors
from tests.fuzz.reader import CORPUS
from tests.fuzz.readers import MANIFEST_KEY
from tests.fuzz.store_seeds import write_store
from tests.fuzz.table_seeds import write_tables
from tests.inventory.instruments import INSTRUMENTS


def main() -> None:
    """Write them."""
    _models()
    _steered()
    _store()
    _people()
    _texts()
    write_store(_put)
    write_tables(CORPUS)


def _put(name: str, data: bytes | str | Any) -> None:
    path = CORPUS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(data, bytes | str):
        data = json.dumps(data, indent=1) + "\n"
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _models() -> None:
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    }
    _put("config/tiny-config.json", config)
    nested = {"model_type": "mistral3", "text_config": {"model_type": "mistral", "max_position_embeddings": 4096}}
    _put("config/nested-config.json", nested)
    _put("config/null.json", "null")
    _put("config/list.json", "[1, 2]")
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(3)]
    index = {"metadata": {"total_size": 96}, "weight_map": dict.fromkeys(names, "model-1-of-1.safetensors")}
    _put("model/tiny-model.safetensors.index.json", index)
    _put("model/pickle.json", {"weight_map": dict.fromkeys(names, "weights.bin")})
    _put("model/outside.json", {"weight_map": dict.fromkeys(names, "../outside.safetensors")})
    _put("model/numbers.json", {"weight_map": {"a": 1, "b": 2}})
    _put("model/long.json", {"weight_map": {"a": "x" * 5000}})
    _put("model/long-name.json", {"weight_map": {"a": f"model-{'x' * 300}.safetensors"}})
    _put("gguf/tiny.gguf", _gguf())
    template = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}{% endfor %}"
    words = {"chat_template": template, "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    _put("tokenizer/plain.json", words)
    named = [{"name": "default", "template": template}, {"name": ["rag"], "template": template}]
    versions = ["tokenizer.json", f"tokenizer.{'5' * 300}.json"]
    _put("tokenizer/several.json", {**words, "chat_template": named})
    _put("tokenizer/versions.json", {**words, "fast_tokenizer_files": versions})
    _put("generation/ends.json", {"eos_token_id": [1, 2], "temperature": 0.6, "do_sample": True})


def _gguf() -> bytes:
    def text(words: str) -> bytes:
        return struct.pack("<Q", len(words)) + words.encode()

    def array(kind: int, values: list[bytes]) -> bytes:
        return struct.pack("<IQ", kind, len(values)) + b"".join(values)

    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("qwen3"),
        text("general.name") + struct.pack("<I", 8) + text("tiny"),
        text("tokenizer.ggml.tokens") + struct.pack("<I", 9) + array(8, [text(each) for each in "abc"]),
        text("tokenizer.ggml.scores") + struct.pack("<I", 9) + array(6, [struct.pack("<f", 1.0)] * 3),
        text("qwen3.rope.freq_base") + struct.pack("<If", 6, 10000.0),
        text("qwen3.block_count") + struct.pack("<II", 4, 3),
        text("qwen3.attention.head_count") + struct.pack("<II", 4, 6),
        text("qwen3.context_length") + struct.pack("<II", 4, 512),
    ]
    tensors = [
        text(name) + struct.pack("<IQQIQ", 2, 4, 4, 0, offset)
        for offset, name in ((0, "token_embd.weight"), (64, "output.weight"))
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs + tensors)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 128


def _steered() -> None:
    """Vectors in each form of file, a table of personas, and a config.json that says who its model is steered to."""
    import torch

    from pasctl.export.origin import NAME, Origin, Trace
    from pasctl.export.vectors import FORMATS
    from pasctl.export.vectors.vector_format import About, Vectors
    from pasctl.vllm_plugin.persona_table import write_table

    said = ("E+", 2.0, "all", "org/tiny", "directions/tiny/made@v1", f"s1:{'0' * 64}", "d" * 64, "")
    origin = Origin(*said, "vector", {2: Trace(2.0, 1, -2.0)})
    vectors = Vectors("block", {2: torch.tensor([0.0, -2.0, 0.0, 0.0])})
    for folder in ("vector", "personas"):
        (CORPUS / folder).mkdir(exist_ok=True)
    for name in ("repeng", "steering-vectors", "vllm-lens"):
        form = FORMATS.build(name)
        form.write(CORPUS / "vector" / f"tiny{form.suffix}", vectors, About(origin, "tiny", "llama", 3))
    write_table(
        CORPUS / "personas" / "two.safetensors",
        np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        ["E+", "N-"],
        alphas=[2.0, 1.0],
        positions="all",
        about={},
    )
    _put("origin/tiny-config.json", {"model_type": "qwen3", NAME: origin.document()})


def _store() -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(4, dtype=np.int64), "c": np.ones(0)}
    _put("safetensors/three.safetensors", b"".join(map(bytes, encode_tensors(tensors, {"made": "by hand"}))))
    zero = json.dumps({"a": {"dtype": "F32", "shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}}).encode()
    _put("safetensors/empty-and-huge.safetensors", struct.pack("<Q", len(zero)) + zero)
    _put("json/metrics.json", {"conditions": [{"condition": "pas", "alpha": 4.0, "mae": {"O": 1.0}}], "notes": ["x"]})
    document = {"kind": "probes", "stage": "train-probes", "params": {"c": 1.0, "items": "fit"}, "model": {"sha": "a"}}
    files = [{"name": "probes.safetensors", "size": 8, "sha256": "0" * 64}]
    source = {"key": f"s1:{'1' * 64}", "content_digest": "2" * 64, "name": "activations/tiny/builtin@v1"}
    manifest = {
        "schema": SCHEMA,
        "key": f"s1:{MANIFEST_KEY}",
        "kind": "probes",
        "stage": "train-probes",
        "stage_version": 3,
        "model": "tiny",
        "label": "builtin",
        "document": document,
        "inputs": {"activations": source},
        "parts": [make_key(document)],
        "provenance": {"host": "here", "seconds": 1.5, "counts": {"tokens_run": 10, "tokens_asked": 20}},
        "created_at": "2026-01-02T03:04:05.000006+00:00",
        "files": files,
        "content_digest": digest_content(files),
    }
    _put("manifest/probes.json", manifest)
    _put("manifest/escapes.json", {**manifest, "stage": "\x1b[2J\nspoofed", "provenance": {"\ud800": ["\u202e"]}})
    _put("manifest/surrogates.json", {**manifest, "created_at": "\ud800" * 20})
    segment = {
        "ids": np.arange(3, dtype=np.int32),
        "surprise": np.ones(3, dtype=np.float32),
        "counts": np.array([0, 3, 3], dtype=np.int64),
        "starts": np.array([1], dtype=np.int64),
        "pending": np.array([2], dtype=np.int64),
        "k": np.ones((2, 1, 3, 4), dtype=np.float32),
        "v": np.ones((2, 1, 3, 4), dtype=np.float32),
    }
    _put("segment/three-tokens.safetensors", b"".join(map(bytes, encode_tensors(segment))))


def _people() -> None:
    ids = [item.id for item in builtin_inventory().items]
    rng = np.random.default_rng(0)
    answers = {name: {item: int(rng.integers(1, 6)) for item in ids} for name in ("ada", "bob")}
    _put("answers/two.json", answers)
    _put("answers/one.json", {**answers["ada"], ids[0]: None})
    _put("answers/list.json", [{"id": name, "answers": given} for name, given in answers.items()])
    rows = [f"{name},{item},{value}" for name, given in answers.items() for item, value in given.items()]
    _put("answers/two.csv", "\n".join(["persona,item,agreement", *rows, ""]))
    columns: dict[str, Any] = {"id": list(answers)}
    columns |= {item: [answers[name][item] for name in answers] for item in ids[:12]}
    place = CORPUS / "parquet"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), place / "two.parquet", compression="zstd")
    many = {"id": list(range(40)), **{item: rng.integers(1, 6, 40).tolist() for item in ids[:3]}}
    pq.write_table(pa.table(many), place / "forty.parquet", compression="none", row_group_size=16)
    people = [{"case": 1000 + row, **given} for row, given in enumerate(answers.values())]
    _put("papi-answers/two.json", people)
    _put("papi-split/ten.json", {"train_index": [1, 2, 3], "test_index": [4, 5, 6, 7, 8, 9, 10]})
    for suffix in (".csv", ".json"):
        (CORPUS / "inventory" / f"template{suffix}").unlink(missing_ok=True)
        write_template(CORPUS / "inventory" / f"template{suffix}")
    for name in ("weights-and-norms", "mixed-scales"):
        _put(f"inventory/{name}.yaml", INSTRUMENTS[name])
    _put("prose/two.json", {"ada": "You are curious.", "bob": "You are calm."})


def _texts() -> None:
    pairs = [
        {"positive": "I love crowds.", "negative": "I avoid crowds."},
        {"prompt": "How was it?", "positive": "Splendid!", "negative": "Dull.", "axis": "E", "group": "a"},
        ["I like it.", "I do not."],
    ]
    _put("pairs/rows.json", pairs[:1] * 3)
    _put("pairs/axes.json", [pairs[1]] * 2)
    _put("pairs/persona_vectors.json", {"instruction": [{"pos": "Be kind.", "neg": "Be rude."}], "questions": ["Hi?"]})
    _put("pairs/samples.json", {"positive_samples": ["Yes."], "negative_samples": ["No."]})
    _put("pairs/rows.jsonl", "\n".join(json.dumps(each) for each in (pairs[0], pairs[0])) + "\n")
    _put("pairs/rows.csv", 'positive,negative,prompt,system\n"I love, really.",I hate.,,\nYes.,No.,Well?,Be brief.\n')
    _put("toml/some.toml", 'store = "somewhere"\nseed = 3\n\n[eval]\nalpha = [0, 4]\n\n[data.check]\ncoding = "auto"\n')
    _put("text/lines.txt", "How are you?\n\nWhat did you do today?\n")
    _put("keys/two.txt", "# of the team\nsk-0123456789  # ada\n\nsk-abcdef\n")
    _put("hub-ref/main.txt", "0123456789abcdef0123456789abcdef01234567\n")
    builtin = builtin_inventory()
    _put("note/builtin.json", {"survey": 1, "inventory": "builtin", "name": builtin.name, "digest": builtin.digest})
    turn = {"user": "Hello", "answer": "Hi", "model": "tiny", "stop": "end", "tokens": 2, "seconds": 0.1}
    journal = {"version": 1, "model": {"kind": "folder"}, "dtype": "float32", "params": {"chunk": 8}, "system": None}
    _put("journal/one.json", {**journal, "before": 0, "turns": [turn]})
    proof = {"key": "s1:" + "0" * 64, "persona": "E+", "alpha": 4.0, "numerics": {}, "lineage": [], "proof": {}}
    _put("record/one.json", {"format": "pasctl-export/1", **proof, "files": {"a.json": {"size": 1, "sha256": "0"}}})


if __name__ == "__main__":
    main()
