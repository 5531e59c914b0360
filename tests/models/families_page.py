"""docs/families.md, made by running the proofs on tiny models: `python -m tests.models.families_page`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.activations.extract import extract_head_outputs
from pasctl.errors import InputError, PasctlError
from pasctl.export.engines import ENGINES
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.proof import require_memory
from pasctl.models.identity import ModelSource
from pasctl.models.loaded import LoadedModel
from pasctl.models.selfcheck import self_check
from pasctl.models.sites import RESIDUAL
from tests.memory.test_exactness import SMALL, text_ids
from tests.models.test_every_family import hooked, sequences
from tests.tiny import tiny_loaded
from tests.tiny_configs import EVERY_FAMILY

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
ENGINES_SHOWN = ("transformers", "stock", "gguf", "vllm", "vllm-plugin")

INTRO = """# Which models work, and what is proven of each?

A model is a list of *sites*: places that can be read and shifted. They are found from its modules when it is loaded,
and proven before anything is computed: a head shifted before its projection is the projection shifted by W_o d, a zero
delta changes no logit, a text read after a shared prefix is the text read at once, and the logits are those of
the last hidden states. So a family needs no entry anywhere. One that does something else in its attention is refused
before work begins, with what was measured. `pasctl doctor` prints a model's sites and each proof:

```sh
pasctl doctor --model demo
```

| kind of site | what is read and shifted | which models have it |
|---|---|---|
| `heads` | the heads of full attention, where they enter their output projection | all below |
| `linear` | the heads of linear attention, in a hybrid | Qwen3-Next, Qwen3.5, OLMo hybrid |
| `residual` | the residual stream after each layer | all |
| `heads@W` | heads that are W wide, where layers differ | Gemma 4 |

`pasctl extract --site KIND` chooses what is read; directions keep it, and whatever is steered later is shifted there.
Layers are counted as the model counts them: the directions of a hybrid's full attention are in its layers 3, 7, 11 …

```sh
pasctl extract --model demo --contrast items --site residual
```

A model for images and text (Qwen3-VL, Qwen2.5-VL, Qwen3.5, Gemma 3, Mistral 3) is used by its text decoder: it is
steered, remembers and is exported as a text model; images are not read.

## What was proven

On tiny models with random weights, in float32, with transformers {version}. *Shift* is how far a head that is shifted
before its projection is from the projection shifted, as a share of the shift's effect; *prefix* how far last hidden
states after a shared prefix are from those of the whole text, over their spread; *extract* how far what is read at all
sites, prefixes shared, is from plain hooks on each text alone, over its largest value; *window* how far logits through
a memory whose text is all in its window are from the plain model's, over their spread; *retrieved* the same with nearly
everything retrieved at its true place; *resumed* whether a memory that was taken up from its files goes on bit for bit.
Attention implementation `sdpa`, or `eager` where the family needs it. The last column names the engines that a steered
model of the family can be exported to.

| model type | sites | shift | prefix | extract | window | retrieved | resumed | exports |
|---|---|---|---|---|---|---|---|---|
"""

OUTRO = """
`tests/models/families_page.py` makes this table, and a test compares the two. `tests/models/test_every_family.py` and
`tests/memory/test_every_family.py` look at each family more closely: every kind of site against plain hooks, longer
texts than a sliding window, padded batches, statements, written texts, memories that were killed, saved and extended.

Families that are not listed are tried in the same way. These are refused by what they lack: no attention whose output
projection is found (RWKV, Mamba), a class of transformers that takes no cache of others (MiniMax), and those that read
a text in two parts differently from the whole (Jamba).
"""


def row(family: str) -> str:
    """One line of the table.

    Raises:
        PasctlError: a proof at load does not hold.
    """
    model = tiny_loaded(family)
    report = self_check(model)
    sites = ", ".join(kind for kind in model.geometry.kinds if kind != RESIDUAL)
    errors = (digit(max(report.shifts.values())), digit(report.prefix), digit(extracted(model)))
    return f"| {' | '.join((family, sites, *errors, *memory(model), engines(family)))} |"


def extracted(model: LoadedModel) -> float:
    """How far what is read at a model's sites is from plain hooks, over the largest value."""
    worst = 0.0
    for kind in model.geometry.kinds:
        read = extract_head_outputs(model, sequences(3), batch_tokens=10_000, kind=kind).head_outputs
        for sequence, found in zip(sequences(3), read, strict=True):
            plain = hooked(model, kind, sequence).view(found.shape)
            worst = max(worst, float((found - plain).abs().max() / plain.abs().max()))
    return worst


def digit(error: float) -> str:
    """An error with one digit."""
    return f"{error:.0e}".replace("e-0", "e-")


def memory(model: LoadedModel) -> tuple[str, str, str]:
    """Errors of a memory within its window and beyond it, and whether it can be taken up; or why there is none."""
    try:
        error = require_memory(model).error
    except InputError as refused:
        return f"no: {refused.message.partition(': ')[2]}", "", ""
    return digit(windowed(model)), digit(error), "yes" if resumed(model) else "NO"


@torch.inference_mode()
def windowed(model: LoadedModel) -> float:
    """How far the logits after a text that is in the window are from the plain model's, over their spread."""
    within, text, question = EpisodicMemory(model, **SMALL | {"n_local": 128}), text_ids(60), text_ids(10, seed=1)
    within.read_ids(text)
    plain = model.model(input_ids=torch.tensor([text + question]), use_cache=False).logits[0, -1].float()
    return float((within.logits([question])[0] - plain).square().mean().sqrt() / plain.std())


def resumed(model: LoadedModel) -> bool:
    """Whether a memory that is taken up from its first files gives the bits of one that was not killed."""
    files: list[Path] = []
    with tempfile.TemporaryDirectory() as folder:

        def write(number: int, tensors: dict[str, Tensor]) -> Path:
            files.append(Path(folder) / f"{number}.safetensors")
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, files[-1])
            return files[-1]

        text, question = text_ids(150), text_ids(9, seed=3)
        whole, later = EpisodicMemory(model, writer=write, **SMALL), EpisodicMemory(model, **SMALL)
        whole.read_ids(text)
        whole.finish()
        later.restore(files[:1])
        later.read_ids(text[len(later.reader.ids) :])
        return torch.equal(whole.logits([question]), later.logits([question]))


def engines(family: str) -> str:
    """The engines that take a family."""
    source = ModelSource("<memory>", "memory", None, None, None, family, {}, family)
    taken = []
    for name in ENGINES_SHOWN:
        try:
            ENGINES.get(name)().require(source, "kv-group")
        except PasctlError:
            continue
        taken.append(name)
    return ", ".join(taken) or "none"


def page() -> str:
    """The whole page."""
    import transformers

    rows = "\n".join(row(family) for family in EVERY_FAMILY)
    return INTRO.replace("{version}", transformers.__version__) + rows + "\n" + OUTRO


if __name__ == "__main__":
    sys.stdout.write(page())
