"""A persona per request in a real vLLM on CPU, in float32: each request against `pasctl.steer`, in one batch."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pasctl.export.vllm import has_vllm
from pasctl.models.load import LoadedModel, load_model
from pasctl.models.options import ModelOptions
from pasctl.stages.export import check_export, export_model
from pasctl.stages.model import ModelHandle
from pasctl.steering import Intervention, steer
from pasctl.vllm_plugin.persona_table import FOLDER, read_table, write_table
from tests.export.planted import ALPHA, PERSONAS, plant_directions
from tests.tiny import save_tiny

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not has_vllm(), reason="vLLM is not installed: make test-vllm sets up an environment with it"),
]

SHAPE = {"head_dim": 32, "hidden_size": 96}
OWN = {"qwen3_moe": {"moe_intermediate_size": 32}, "qwen2": {"hidden_size": 192}}
"""vLLM's Qwen2 takes hidden_size / heads for head_dim, and its attention on CPU no heads smaller than 32."""
MANY = 64
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
PROMPT = [int(token) for token in np.random.default_rng(3).integers(20, 400, 48)]


class Served:
    """An export of a tiny model, with a table of many drawn personas besides its own."""

    def __init__(self, folder: Path, family: str, *, personas: int = MANY, positions: str = "all") -> None:
        changes = SHAPE | OWN.get(family, {})
        self.base = save_tiny(folder / f"tiny-{family}", family, **changes)
        handle = ModelHandle(str(self.base), ModelOptions(dtype="float32"))
        plant_directions(folder / "store", handle, head_dim=SHAPE["head_dim"])
        self.store, self.out = folder / "store", folder / "out"
        export_model("directions", self.out, alpha=ALPHA, engine="vllm-personas", store=self.store)
        self.model: LoadedModel = load_model(str(self.base), dtype="float32")
        self.width = self.model.geometry.heads * self.model.geometry.head_dim
        self.layers = self.model.geometry.layers
        self.names = [f"p{row}" for row in range(personas)]
        self.positions = positions
        self.table = self.out / FOLDER / "drawn.safetensors"
        write_table(self.table, self.vectors(), self.names, alphas=[1.0] * personas, positions=positions, about={})

    def intervention(self, row: int, alpha: float = 1.0) -> Intervention:
        """A displacement of one head of two layers, drawn by its row."""
        drawn = np.random.default_rng(row).standard_normal((self.layers, self.width)).astype(np.float32)
        return Intervention({layer: alpha * torch.from_numpy(drawn[layer : layer + 1]) for layer in range(self.layers)})

    def vectors(self) -> Any:
        from pasctl.export.engines.vllm_personas import table_vectors

        return table_vectors(self.model, [self.intervention(row) for row in range(len(self.names))])

    @torch.inference_mode()
    def read(self, ids: Sequence[int], moved: Intervention | None, positions: Any = "all") -> Any:
        """Log-probabilities of the tokens behind the first, as `pasctl.steer` gives them."""
        row = torch.tensor([ids])
        with steer(self.model, moved, positions=positions):
            logits = self.model.model(input_ids=row, use_cache=False).logits[0, :-1]
        return logits.log_softmax(-1).gather(-1, row[0, 1:, None])[:, 0].numpy()


def serve(folder: Path, steps: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """What vLLM gives, in a process of its own."""
    model = {
        "model": str(folder),
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 96,
        "kv_cache_memory_bytes": 1 << 27,
        "enable_prefix_caching": True,
        "block_size": 32,  # only whole blocks are cached, and by default they are longer than these prompts
    }
    answer = folder.parent / "answer.json"
    answer.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.vllm_plugin.serve_personas", str(answer)],
        input=json.dumps({"model": model | options, "steps": steps}),
        env=os.environ | SETTINGS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(answer.read_text()))


def mixed(served: Served) -> list[list[Any]]:
    """A request per persona, and unsteered ones between them, all of one prompt."""
    return [
        [PROMPT, None] if row % 8 == 0 else [PROMPT, {"persona": name, "alpha": 1 + row % 3}]
        for row, name in enumerate(served.names)
    ]


@pytest.mark.parametrize(
    ("family", "eager"),
    [
        pytest.param("qwen3", True, marks=pytest.mark.more),
        ("llama", True),
        pytest.param("qwen3", False, marks=pytest.mark.more),
    ],
)
def test_each_of_64_requests_in_a_batch_gets_its_own_persona(family: str, eager: bool, tmp_path: Path) -> None:
    served = Served(tmp_path, family)
    requests = mixed(served)
    how: dict[str, Any] = {"enforce_eager": eager, "max_num_seqs": 96}
    steps = [{"requests": requests}, {"requests": requests, "prompt": False}]
    first, again = serve(served.out, steps, **how)
    for row, (_, said) in enumerate(requests):
        moved = None if said is None else served.intervention(row, said["alpha"])
        np.testing.assert_allclose(first["prompt"][row], served.read(PROMPT, moved), atol=1e-4)
    assert len({tuple(values) for values in first["prompt"]}) == MANY - MANY // 8 + 1
    assert all(again["cached"]), "every prompt was read from the prefix cache, each under its own persona"
    np.testing.assert_allclose(again["logprobs"], first["logprobs"], atol=1e-4)
    base, _ = serve(served.base, [{"requests": [[PROMPT, None]] * MANY}] * 2, **how)
    for row in range(0, MANY, 8):
        assert first["prompt"][row] == base["prompt"][row]  # to the bit


@pytest.mark.parametrize(
    "family",
    ["qwen3", *(pytest.param(each, marks=pytest.mark.more) for each in ("qwen3_moe", "llama", "qwen2", "mistral"))],
)
def test_the_check_proves_a_batch_in_vllm(family: str, tmp_path: Path) -> None:
    served = Served(tmp_path, family)
    served.table.unlink()
    proof = check_export(served.out, engine="vllm-personas", store=served.store)
    assert proof.engine == "vllm"
    assert proof.fault() is None
    assert proof.largest < 1e-4
    assert proof.effect_mean > 0.1


@functools.cache
def _requests() -> list[list[Any]]:
    blend = {"persona": "p1*0.5 p2*-1", "alpha": 2}
    return [[PROMPT, None], [PROMPT, {"persona": "p3"}], [PROMPT, blend], [PROMPT, {"persona": "p1", "alpha": 0}]]


def test_blends_and_personas_that_come_and_go_without_a_restart(tmp_path: Path) -> None:
    served = Served(tmp_path, "qwen3", personas=10_000)
    [own] = [path for path in (served.out / FOLDER).iterdir() if path != served.table]
    assert [persona.name for persona in read_table(own)] == list(PERSONAS)
    later, place = tmp_path / "later.safetensors", served.out / FOLDER / "later.safetensors"
    write_table(later, served.vectors()[5:6], ["late"], alphas=[3.0], positions="all", about={})
    other = tmp_path / "other.safetensors"
    write_table(other, served.vectors()[:1, :, :-1], ["other"], alphas=[1.0], positions="all", about={})
    late = {"requests": [[PROMPT, {"persona": "late"}]]}
    last = {"requests": [[PROMPT, {"persona": "p9999"}]]}
    steps = [
        {"requests": _requests()},
        late,
        {"add": [str(later), str(place)]},
        late,
        last,
        {"remove": str(place)},
        late,
        {"add": [str(other), str(place)]},
        last,
        {"remove": str(place)},
        last,
    ]
    blended, unknown, added, of_many, removed, foreign, mended = serve(served.out, steps)
    a, b = served.intervention(1), served.intervention(2)
    both = Intervention({layer: a.displacements[layer] - 2 * b.displacements[layer] for layer in range(served.layers)})
    for values, moved in zip(blended["prompt"], [None, served.intervention(3), both, None], strict=True):
        np.testing.assert_allclose(values, served.read(PROMPT, moved), atol=1e-4)
    assert blended["prompt"][0] == blended["prompt"][3]
    assert "there is no persona 'late'" in unknown["refused"]
    np.testing.assert_allclose(added["prompt"][0], served.read(PROMPT, served.intervention(5, 3.0)), atol=1e-4)
    np.testing.assert_allclose(of_many["prompt"][0], served.read(PROMPT, served.intervention(9999)), atol=1e-4)
    assert "there is no persona 'late'" in removed["refused"]
    assert "later.safetensors: expected vectors of 1 personas" in foreign["refused"]
    assert mended["prompt"] == of_many["prompt"]


def test_from_the_answer_on_the_prompt_is_the_base_models(tmp_path: Path) -> None:
    served = Served(tmp_path, "qwen3", positions="answer")
    step = {"requests": [[PROMPT, {"persona": "p3", "alpha": 2}], [PROMPT, None]], "tokens": 12}
    begun = {"requests": [[PROMPT, {"persona": "p3", "positions": start}] for start in (0, 20, len(PROMPT) - 1)]}
    others = [{"requests": [[PROMPT, {"persona": "p3", "positions": "all"}]]}, begun]
    first, again, everywhere, after = serve(served.out, [step, step | {"prompt": False}, *others])
    assert first["prompt"][0] == first["prompt"][1]
    ids, start = [*PROMPT, *first["tokens"][0]], len(PROMPT)
    places = torch.arange(start - 1, len(ids))
    want = served.read(ids, served.intervention(3, 2.0), places)[start - 1 :]
    np.testing.assert_allclose(first["logprobs"][0], want, atol=1e-4)
    assert np.abs(want - served.read(ids, None)[start - 1 :]).max() > 0.1
    assert all(again["cached"])
    np.testing.assert_allclose(again["logprobs"], first["logprobs"], atol=1e-4)
    np.testing.assert_allclose(everywhere["prompt"][0], served.read(PROMPT, served.intervention(3)), atol=1e-4)
    assert after["prompt"][0] == everywhere["prompt"][0]
    want = served.read(PROMPT, served.intervention(3), torch.arange(20, len(PROMPT)))
    np.testing.assert_allclose(after["prompt"][1], want, atol=1e-4)
    assert after["prompt"][1][:19] == first["prompt"][1][:19]
    assert after["prompt"][2] == first["prompt"][1], "the last token is steered, and of none of these the condition"
