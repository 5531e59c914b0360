"""Control vectors in a .gguf file: direction.N is added to the output of layer N, counted from 0.

llama.cpp, repeng and EasySteer read the same tensors. llama.cpp refuses a file with a direction.0; the others hook any
layer, and want to know the model's type.
"""

from __future__ import annotations

from pathlib import Path

from pasctl.errors import InputError
from pasctl.export.gguf_file import ARCHITECTURES, add_pairs, gguf_package, require_family
from pasctl.export.origin import gguf_pairs
from pasctl.export.tensor_files import TensorFiles
from pasctl.export.vectors.vector_format import About, VectorFormat, Vectors, require_layers

_ARCHITECTURE = "controlvector"


class Repeng(VectorFormat):
    """As `ControlVector.import_gguf` of repeng reads it."""

    suffix = ".gguf"
    reads = "repeng: ControlVector.import_gguf"

    def hint(self, family: str) -> str:
        """What the file calls the model's family."""
        return family

    def write(self, path: Path, vectors: Vectors, about: About) -> None:
        """Write direction.N of each layer, and who they are."""
        writer = gguf_package().GGUFWriter(path, _ARCHITECTURE)
        add_pairs(writer, gguf_pairs(about.origin))
        writer.add_description(about.description)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", self.hint(about.family))
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", self.count(vectors, about))
        for name, text in self.more().items():
            writer.add_string(f"{_ARCHITECTURE}.{name}", text)
        for layer, vector in vectors.layers.items():
            writer.add_tensor(f"direction.{layer}", vector.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def count(self, vectors: Vectors, about: About) -> int:
        """What the file gives as its number of layers."""
        return len(vectors.layers)

    def more(self) -> dict[str, str]:
        """Other texts of the file."""
        return {}

    def read(self, path: Path) -> Vectors:
        """Read a file that any of the three has written."""
        files = TensorFiles.of(path)
        if files.kind != "vector":
            raise InputError(
                f"{path} is a model, expected control vectors", hint="a steered model is read as it is: --model FILE"
            )
        layers = files.layers("vector")
        return Vectors("block", require_layers(path, {layer: files.read(f"direction.{layer}") for layer in layers}))


class EasySteer(Repeng):
    """As EasySteer's vLLM and its `StatisticalControlVector.import_gguf` read it."""

    reads = "EasySteer: algorithm direct"

    def more(self) -> dict[str, str]:
        """How the directions were found, which its reader asks for."""
        return {"method": "pasctl"}


class LlamaCpp(Repeng):
    """As llama.cpp's `--control-vector` reads it; it has no place for layer 0."""

    first = 1
    reads = "llama.cpp: --control-vector FILE"

    def require(self, family: str) -> None:
        """Refuse a family that llama.cpp is not known to have."""
        require_family(family)

    def hint(self, family: str) -> str:
        """llama.cpp's name of the family."""
        return ARCHITECTURES[family]

    def count(self, vectors: Vectors, about: About) -> int:
        """The model's layers."""
        return about.model_layers
