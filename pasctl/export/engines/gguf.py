"""Engine gguf: a .gguf file with v_proj biases for llama.cpp; for directions that key-value groups share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError
from pasctl.export.engines.engine import Engine, LogProbs, Reading
from pasctl.export.engines.stock import Stock
from pasctl.export.gguf_file import FILE, coarsest, gguf_package, require_family, write_with_biases
from pasctl.export.llama_cpp import has_llama_cpp, read_in_llama_cpp
from pasctl.export.origin import gguf_pairs

if TYPE_CHECKING:
    from pasctl.export.origin import Origin
    from pasctl.export.proof import Reference
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


class Gguf(Stock):
    """A .gguf file with the tensors blk.N.attn_v.bias: of a .gguf base its own file, quantized blocks and all.

    transformers drops these tensors without a word, where a family's config gives v_proj no bias; pasctl puts them
    back when it loads such a file (`pasctl.models.gguf_weights`), and so does the proof.
    """

    library = "llama.cpp"
    reread = "Read again with transformers, its biases put back,"
    vllm_impl = ""
    use = """```sh
llama-server -m {name}/model.gguf
```

llama.cpp reads the biases (blk.N.attn_v.bias); one so old that it does not know them refuses the file, since it counts
tensors. **transformers drops them without a word** and gives the base model; pasctl puts them back, in the proof below
and wherever it loads the file. `pasctl export check {name} --engine gguf` repeats the proof in llama.cpp, where
llama-cpp-python is installed (`pip install 'pasctl[llamacpp]'`)."""

    def require(self, source: ModelSource, granularity: str) -> None:
        """Refuse directions of single heads, and families whose loader in llama.cpp takes no such biases."""
        super().require(source, granularity)
        if source.family is not None:
            require_family(source.family)
        gguf_package()

    def write(
        self,
        model: LoadedModel,
        intervention: Intervention,
        folder: Path,
        *,
        shard_size: str,
        origin: Origin | None = None,
    ) -> None:
        """Write one file, with the biases: the base model's own .gguf copied, or the model in its dtype."""
        from pasctl.export.gguf_model import write_model

        require_family(model.adapter.family)
        biases = {layer: shift.numpy() for layer, shift in self.shifts(model, intervention).items()}
        pairs = None if origin is None else gguf_pairs(origin)
        if model.source.kind == "gguf" and model.source.path is not None:
            write_with_biases(model.source.path, biases, folder / FILE, pairs)
        else:
            write_model(model, biases, folder / FILE, pairs)

    def read(self, folder: Path, reference: Reference, how: Reading) -> LogProbs:
        """What the file gives in transformers, its biases put back; the tokenizer is llama.cpp's affair."""
        from pasctl.export.reading import read_checkpoint

        return read_checkpoint(
            folder / FILE,
            reference,
            dtype=how.dtype,
            device=how.device,
            attn=how.attn,
            device_map=how.device_map,
            compare_tokens=False,
        )

    @property
    def runs_in(self) -> str:
        """What computes in `run`."""
        return "llama.cpp" if has_llama_cpp() else "transformers"

    def rounds_as(self, folder: Path, dtype: str) -> str:
        """That of the file's coarsest tensors, in llama.cpp."""
        return coarsest(folder / FILE, dtype) if has_llama_cpp() else dtype

    def remark(self) -> str | None:
        """That llama.cpp is not here."""
        if has_llama_cpp():
            return None
        return (
            "llama-cpp-python is not installed here, so the file is read in transformers, its biases put back; where "
            "it is (pip install 'pasctl[llamacpp]') the same command reads it in llama.cpp"
        )

    def require_readable(self, folder: Path, made: Engine) -> None:
        """Refuse what is no .gguf file."""
        if not isinstance(made, Gguf):
            raise InputError(f"{folder} holds no .gguf file", hint="export it with --engine gguf")

    def run(self, folder: Path, reference: Reference, how: Reading, made: Engine) -> LogProbs:
        """What the file gives in llama.cpp, tokenizer included; in transformers where llama.cpp is not here."""
        if not has_llama_cpp():
            return self.read(folder, reference, how)
        return read_in_llama_cpp(folder / FILE, reference)
