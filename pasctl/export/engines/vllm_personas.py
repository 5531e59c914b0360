"""Engine vllm-personas: the base model and a table of personas, of which each request in vLLM names its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.export.engines.vllm import Vllm
from pasctl.json_file import read_json
from pasctl.models.layout import GENERATION
from pasctl.vllm_plugin import PERSONA_ARCHITECTURES

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.export.origin import Origin
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention

TABLE = "export.safetensors"
"""The table that an export is written with, in the folder of its tables."""
_WEIGHTS = (".safetensors", ".safetensors.index.json")


class VllmPersonas(Vllm):
    """The base model under an architecture of our own, which vLLM refuses where the plugin is not installed."""

    vllm_impl = "auto"
    signs = False
    reread = "Read again in transformers, the table's vectors added by hooks,"
    change = """The base model, no weight changed, and a table of personas in the folder `personas`: for each one a
constant displacement of attention heads, along directions that were fitted to the persona (PAS), as one vector per
layer. vLLM adds it to the output of {carrier} for the requests that name the persona, and for no other."""
    use = """```sh
pip install pasctl
vllm serve {name} --dtype {dtype}
```

```python
client.chat.completions.create(
    model="{name}",
    messages=[{{"role": "user", "content": "How was your week?"}}],
    extra_body={{"vllm_xargs": {{"persona": "NAME", "alpha": 4}}}},
)
```

pasctl is needed beside vLLM, which finds it by itself and refuses the architecture in config.json without it. The model
name `{name}+NAME` means the same, `NAME*0.5 OTHER*-1` is a blend, and a request without a persona gets the base model.
An unknown persona is refused. `pasctl export check {name} --engine vllm-personas` repeats the proof in vLLM."""

    def require(self, source: ModelSource, granularity: str) -> None:
        """Refuse a family that the plugin does not have."""
        if source.family is not None:
            _architecture(source.family)

    def require_readable(self, folder: Path, made: Any) -> None:
        """Refuse what has no table."""
        if not isinstance(made, VllmPersonas):
            raise InputError(f"{folder} has no personas per request", hint="check it with --engine vllm")

    def instructions(self, folder: Path | str, store: Path | str) -> tuple[str, ...]:
        """Those of vLLM, for this engine."""
        return tuple(
            line.replace("--engine vllm ", "--engine vllm-personas ") for line in super().instructions(folder, store)
        )

    def write(
        self,
        model: LoadedModel,
        intervention: Intervention,
        folder: Path,
        *,
        shard_size: str,
        origin: Origin | None = None,
    ) -> None:
        """Save the base model and a table of one persona, at the strength of the intervention."""
        from pasctl.vllm_plugin.persona_table import FOLDER, write_table

        self.write_base(model, folder, shard_size=shard_size, link=False)
        vectors = table_vectors(model, [intervention])
        name, alpha = ("persona", 1.0) if origin is None else (origin.persona, origin.alpha)
        path = folder / FOLDER / TABLE
        write_table(path, vectors / alpha, [name], alphas=[alpha], positions="all", about={})

    def write_base(self, model: LoadedModel, folder: Path, *, shard_size: str, link: bool) -> None:
        """Save the base model under the plugin's architecture, and make the folder of its tables.

        Args:
            model: the loaded base model.
            folder: it is there and empty.
            shard_size: bound on a weight file.
            link: point at the weights where they are, rather than write them again.

        Raises:
            InputError: the family is not the plugin's, or weights to point at are in no folder, or in another dtype.
        """
        from pasctl.vllm_plugin.persona_table import FOLDER

        architecture = _architecture(model.adapter.family)
        if link:
            _link(model, folder)
        else:
            model.model.save_pretrained(folder, max_shard_size=shard_size)
        model.tokenizer.save_pretrained(folder)
        path = folder / "config.json"
        config = read_json(path, constants=True)
        config["architectures"] = [architecture]
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / FOLDER).mkdir()


def table_vectors(model: LoadedModel, interventions: Sequence[Intervention]) -> Any:
    """What interventions of one row add to the output of each layer's o_proj, float32 array [P, layers, hidden]."""
    import torch

    from pasctl.models.projection import output_shift
    from pasctl.steering.intervention import Intervention

    projections = model.outputs()
    stacked = Intervention.stack(interventions)
    shifts: dict[int, Tensor] = {
        layer: output_shift(projections[layer], rows).float().cpu() for layer, rows in stacked.displacements.items()
    }
    hidden = next(iter(shifts.values())).shape[-1]
    vectors = torch.zeros(len(interventions), len(projections), hidden)
    for layer, rows in shifts.items():
        vectors[:, layer] = rows
    return vectors.numpy()


def _link(model: LoadedModel, folder: Path) -> None:
    """Point at the weight files of the base model's folder."""
    source = model.source.path
    if source is None or not source.is_dir():
        raise InputError(
            f"{model.source.spec} has no folder of weights to point at", hint="leave --link-base out, which writes them"
        )
    for path in sorted(source.iterdir()):
        if path.name.endswith(_WEIGHTS):
            (folder / path.name).symlink_to(path.resolve())
    for name in ("config.json", GENERATION):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _architecture(family: str) -> str:
    """The plugin's architecture of a family.

    Raises:
        InputError: it has none.
    """
    try:
        return PERSONA_ARCHITECTURES[family]
    except KeyError:
        raise InputError(
            f"the plugin for vLLM has no {family}, expected one of {', '.join(PERSONA_ARCHITECTURES)}",
            hint="use --engine vllm for one persona, or serve it with `pasctl serve`",
        ) from None
