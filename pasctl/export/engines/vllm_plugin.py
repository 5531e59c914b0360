"""Engine vllm-plugin: o_proj biases in a checkpoint that vLLM's own model reads, with pasctl as vLLM's plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError
from pasctl.export.engines.vllm import Vllm
from pasctl.json_file import read_json
from pasctl.vllm_plugin import ARCHITECTURES

if TYPE_CHECKING:
    from pasctl.export.origin import Origin
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


class VllmPlugin(Vllm):
    """o_proj biases under an architecture of our own, which vLLM refuses where the plugin is not installed."""

    vllm_impl = "auto"  # as `vllm serve DIR` chooses: its own model if it knows the architecture
    use = """```sh
pip install pasctl
vllm serve {name} --dtype {dtype}
```

vLLM runs its own implementation. pasctl is needed beside it: it is a plugin that vLLM finds by itself, and adds the
o_proj biases that vLLM's own Qwen3 leaves out. A vLLM without it does not know the architecture in config.json and
refuses to serve; under the usual name it would serve the base model. The proof below ran in transformers; `pasctl
export check {name} --engine vllm` repeats it in vLLM. Plain transformers loads the folder too."""

    def require(self, source: ModelSource, granularity: str) -> None:
        """Refuse a family without a switch for o_proj's bias, or one that the plugin does not have."""
        super().require(source, granularity)
        if source.family is not None:
            _architecture(source.family)

    def write(
        self,
        model: LoadedModel,
        intervention: Intervention,
        folder: Path,
        *,
        shard_size: str,
        origin: Origin | None = None,
    ) -> None:
        """Save the model with o_proj biases, under the plugin's architecture."""
        architecture = _architecture(model.adapter.family)
        super().write(model, intervention, folder, shard_size=shard_size, origin=origin)
        path = folder / "config.json"
        config = read_json(path, constants=True)
        config["architectures"] = [architecture]
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _architecture(family: str) -> str:
    """The plugin's architecture of a family.

    Raises:
        InputError: it has none.
    """
    try:
        return ARCHITECTURES[family]
    except KeyError:
        raise InputError(
            f"the plugin for vLLM has no {family}, expected one of {', '.join(ARCHITECTURES)}",
            hint="use --engine vllm, and serve with --model-impl transformers",
        ) from None
