"""What an engine has to offer: how an export for it is written, read again, run and described."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import MissingError

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.export.origin import Origin
    from pasctl.export.proof import Reference
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


class AbsentEngine(MissingError):
    """An engine that is not installed here."""


LogProbs = tuple[float, ...]
"""Of the tokens of a reference's passages that count, in nats."""


@dataclass(frozen=True)
class Reading:
    """How a checkpoint is loaded for its proof: as the steered model was.

    Attributes:
        dtype: float32, float16 or bfloat16.
        device: where it runs.
        attn: attention implementation, as transformers names it.
        device_map: how accelerate spreads it; None leaves it on `device`.
    """

    dtype: str
    device: str
    attn: str
    device_map: str | None = None


class Engine:
    """An engine; what is said here holds for a folder that plain transformers loads.

    `require` and the class's texts need no torch: a refusal and a card cost nothing.

    Attributes:
        use: the card's words on how to load the export, Markdown; `{dtype}` is the proof's, `{name}` the folder's.
        change: the card's words for what is not as in the base model; `{carrier}` is the carrier.
        carrier: the card's words for where the displacement is.
        tensor: the tensors where it is, as `pasctl.export.origin.CARRIERS` names them.
        reread: the card's words for how the proof read the files.
        library: what the card tells a model hub about who loads it.
        signs: whether the files say themselves who they are steered to.
        vllm_impl: vLLM's `model_impl` that reads the displacement; empty where vLLM does not read such an export.
    """

    use: str
    carrier: str
    tensor: str = "o_proj.bias"
    reread: str = "Reloaded with plain transformers"
    library: str = "transformers"
    signs: bool = True
    change: str = """The base model with one change: a constant displacement of attention heads, along directions that
were fitted to a persona's answers to a personality questionnaire (PAS), written into the biases of
{carrier}. It acts on every token, the prompt's too."""
    vllm_impl: str = "transformers"

    def require(self, source: ModelSource, granularity: str) -> None:
        """Refuse a model or directions that it cannot express; asked before weights are loaded.

        Args:
            source: the base model.
            granularity: of the directions, "head" or "kv-group".

        Raises:
            InputError: names what cannot be expressed, and what can.
        """
        raise NotImplementedError

    def write(
        self,
        model: LoadedModel,
        intervention: Intervention,
        folder: Path,
        *,
        shard_size: str,
        origin: Origin | None = None,
    ) -> None:
        """Write the steered model (positions "all") into the folder, tokenizer and all.

        Args:
            model: the loaded base model; it is not changed.
            intervention: of one row.
            folder: it is there and empty.
            shard_size: bound on a weight file, such as "5GB".
            origin: who it is steered to, which the files say.

        Raises:
            InputError: the model or the intervention cannot be expressed.
        """
        raise NotImplementedError

    def shifts(self, model: LoadedModel, intervention: Intervention) -> dict[int, Tensor]:
        """What is added to `tensor` of each layer: layer -> float32 [width] on the CPU."""
        from pasctl.models.projection import output_shift

        projections = model.outputs()
        return {
            layer: output_shift(projections[layer], displacement)[0].float().cpu()
            for layer, displacement in intervention.displacements.items()
        }

    def read(self, folder: Path, reference: Reference, how: Reading) -> LogProbs:
        """What an export for this engine gives the reference's tokens, read again with transformers.

        Raises:
            PasctlError: it cannot be loaded, or its tokenizer gives the texts other tokens.
        """
        from pasctl.export.reading import read_checkpoint

        return read_checkpoint(
            folder, reference, dtype=how.dtype, device=how.device, attn=how.attn, device_map=how.device_map
        )

    @property
    def runs_in(self) -> str:
        """What computes in `run`."""
        return "transformers"

    def rounds_as(self, folder: Path, dtype: str) -> str:
        """The dtype whose rounding `run` has on an export; `dtype` is that of the base model."""
        return dtype

    def instructions(self, folder: Path | str, store: Path | str) -> tuple[str, ...]:
        """Shell lines that repeat the check of an export where this engine is; none if it is here."""
        return ()

    def require_readable(self, folder: Path, made: Engine) -> None:
        """Refuse an export that this engine does not read; asked before anything is loaded.

        Args:
            folder: the export.
            made: the engine that it was written for.

        Raises:
            InputError: says what reads it.
        """

    def require_here(self) -> None:
        """Refuse to run where the engine is not.

        Raises:
            AbsentEngine: it is not installed.
        """

    def remark(self) -> str | None:
        """What `run` leaves unproven here, and what would help; None if nothing."""
        return None

    def run(self, folder: Path, reference: Reference, how: Reading, made: Engine) -> LogProbs:
        """What an export gives the reference's tokens in this engine.

        Args:
            folder: the export.
            reference: the passages.
            how: dtype and place.
            made: the engine that the export was written for.

        Raises:
            PasctlError: the export cannot be loaded.
        """
        return made.read(folder, reference, how)
