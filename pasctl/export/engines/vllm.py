"""Engine vllm: the same files as for transformers, which vLLM runs through transformers' implementation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError
from pasctl.export.engines.engine import AbsentEngine, Engine, LogProbs, Reading
from pasctl.export.engines.transformers import Transformers
from pasctl.export.vllm import environment, has_vllm, read_in_vllm

if TYPE_CHECKING:
    from pasctl.export.proof import Reference


class Vllm(Transformers):
    """o_proj biases, and words on how vLLM is made to read them."""

    use = """```sh
vllm serve {name} --model-impl transformers --dtype {dtype}
```

**The option `--model-impl transformers` is needed.** vLLM's own Qwen3 drops the o_proj biases without a word and
serves the base model; its own Llama reads them. The proof below ran in transformers; `pasctl export check {name}
--engine vllm` repeats it in vLLM. Plain transformers loads the folder as well."""

    @property
    def runs_in(self) -> str:
        """What computes in `run`."""
        return "vllm"

    def instructions(self, folder: Path | str, store: Path | str) -> tuple[str, ...]:
        """Two shell lines, where vLLM is not installed: one makes an environment, one repeats the check in it."""
        return () if has_vllm() else environment(folder, store)

    def require_readable(self, folder: Path, made: Engine) -> None:
        """Refuse what no implementation in vLLM reads."""
        if not made.vllm_impl:
            raise InputError(
                f"{folder} is an export that vLLM does not read", hint="check it with the engine that it was made for"
            )

    def require_here(self) -> None:
        """Refuse to run without vLLM."""
        if not has_vllm():
            raise AbsentEngine(
                "vLLM is not installed here",
                hint="the lines on stdout make an environment for it and repeat the check there",
            )

    def run(self, folder: Path, reference: Reference, how: Reading, made: Engine) -> LogProbs:
        """What the export gives in vLLM, in the implementation that reads it; the tokenizer is compared first."""
        made.read(folder, reference, how)
        return read_in_vllm(folder, reference.passages, how.dtype, model_impl=made.vllm_impl)
