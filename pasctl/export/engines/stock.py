"""Engine stock: v_proj biases, which every engine reads as it is; for directions that key-value groups share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError
from pasctl.export.engines.engine import Engine
from pasctl.export.origin import sign_folder
from pasctl.models.adapters import adapter_for

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.export.origin import Origin
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


class Stock(Engine):
    """v_proj.bias = d of each key-value group: exact at all positions, in transformers and in vLLM's own models.

    Families whose switch biases o_proj together with q, k and v get a zero o_proj bias, so an engine that drops that
    one, such as vLLM's Qwen3, serves the steered model all the same.
    """

    carrier = "the attention's value projection (v_proj)"
    tensor = "v_proj.bias"
    vllm_impl = "vllm"
    use = """```sh
vllm serve {name} --dtype {dtype}
```

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}", dtype="{dtype}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```

Any engine that reads the biases of q, k and v serves it as it is. The o_proj biases, where there are any, are zero:
an engine that drops them loses nothing. The proof below ran in transformers; `pasctl export check {name} --engine vllm`
repeats it in vLLM."""

    def require(self, source: ModelSource, granularity: str) -> None:
        """Refuse directions of single heads, and a family without biased values."""
        from pasctl.steering.as_llama import require_folder_without_window
        from pasctl.steering.bake import value_bias_switch

        if granularity != "kv-group":
            raise InputError(
                f"directions of granularity {granularity} are no biases of v_proj, expected kv-group",
                hint="fit them with `pasctl fit-directions --granularity kv-group`",
            )
        if source.family is not None:
            adapter = adapter_for(source.family)
            if value_bias_switch(adapter) and adapter.as_llama:
                require_folder_without_window(source.path)

    def write(
        self,
        model: LoadedModel,
        intervention: Intervention,
        folder: Path,
        *,
        shard_size: str,
        origin: Origin | None = None,
    ) -> None:
        """Save the model with v_proj biases."""
        from pasctl.steering.bake import bake_values

        bake_values(model, intervention, folder, max_shard_size=shard_size)
        if origin is not None:
            sign_folder(folder, origin)

    def shifts(self, model: LoadedModel, intervention: Intervention) -> dict[int, Tensor]:
        """What is added to the biases of v_proj: layer -> float32 [G*D]."""
        from pasctl.steering.bake import value_shift

        return {
            layer: value_shift(displacement, model.geometry).float().cpu()
            for layer, displacement in intervention.displacements.items()
        }
