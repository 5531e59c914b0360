"""Engine transformers: o_proj biases in a folder that plain transformers loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.export.engines.engine import Engine
from pasctl.export.origin import sign_folder
from pasctl.models.adapters import adapter_for

if TYPE_CHECKING:
    from pasctl.export.origin import Origin
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


class Transformers(Engine):
    """o_proj.bias = W_o d: exact for all directions, in engines that read this bias."""

    carrier = "the attention's output projection (o_proj)"
    use = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}", dtype="{dtype}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```

Other engines may drop the biases without a word: vLLM's own Qwen3 does, and serves the base model. There, use
`vllm serve {name} --model-impl transformers`."""

    def require(self, source: ModelSource, granularity: str) -> None:
        """Refuse a family without a switch for o_proj's bias."""
        from pasctl.steering.as_llama import require_folder_without_window
        from pasctl.steering.bake import bias_switch

        if source.family is not None:
            adapter = adapter_for(source.family)
            if bias_switch(adapter) and adapter.as_llama:
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
        """Save the model with o_proj biases."""
        from pasctl.steering import bake

        bake(model, intervention, folder, max_shard_size=shard_size)
        if origin is not None:
            sign_folder(folder, origin)
