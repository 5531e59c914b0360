"""A model that is identified at once and loaded only when a stage must compute."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from pasctl.errors import InputError, MissingError
from pasctl.models.adapters import resolve_attention
from pasctl.models.device import give_memory_back, resolve_device, resolve_dtype, torch_dtype
from pasctl.models.footprint import Footprint, parse_size, require_room
from pasctl.models.hub import fetch_snapshot
from pasctl.models.identity import ModelSource, context_of, read_context, resolve_model
from pasctl.models.layout import BUNDLED
from pasctl.models.model_files import own_ends
from pasctl.models.options import ModelOptions
from pasctl.models.quantize import resolve_quantization
from pasctl.models.ranks import join
from pasctl.stages.progress import Reporter, Silent
from pasctl.text_file import expand_home

if TYPE_CHECKING:
    from pasctl.models.chat import ChatRenderer
    from pasctl.models.geometry import Geometry
    from pasctl.models.load import LoadedModel, MetaModel
    from pasctl.stages.runner import Artifact

    ModelLike: TypeAlias = "str | ModelSource | LoadedModel | ModelHandle"


class ModelHandle:
    """One model for several stages: its identity is known from files, its weights are loaded once, on demand."""

    def __init__(
        self, spec: str | ModelSource, options: ModelOptions | None = None, max_memory: str | int | None = None
    ) -> None:
        """Resolve the source, the device and the dtype.

        Args:
            spec: a hub id, a local folder, a .gguf file, "demo", or where one of these was found.
            options: how to load it.
            max_memory: peak memory of a run with it, process and weights included: bytes, or words such as "6GB".
                Batches are made to fit, which changes no key. None is no bound.

        Raises:
            MissingError: no such model.
            InputError: an unknown dtype, device or family, or a memory limit that is no size.
        """
        self.options = options or ModelOptions()
        self.max_memory = parse_size(max_memory)
        self.source = spec if isinstance(spec, ModelSource) else resolve_model(spec, revision=self.options.revision)
        self.device = resolve_device(self.options.device)
        self.attn = resolve_attention(self.options.attn, self.source.family)
        self.quantization = resolve_quantization(self.options.quantize)
        self.dtype = resolve_dtype(self.options.dtype, self.device, self.quantization)
        self._loaded: LoadedModel | None = None
        if self.options.tp:
            if self.max_memory is not None:
                raise InputError("--tp and --max-memory exclude each other", hint="use --batch-tokens")
            join(self.device)

    @classmethod
    def of(
        cls, model: str | ModelSource | LoadedModel | ModelHandle, options: ModelOptions | None = None
    ) -> ModelHandle:
        """Make a handle of whatever a caller has: a spec, a source, a loaded model, or a handle already."""
        if isinstance(model, ModelHandle):
            return model
        if isinstance(model, str | ModelSource):
            return cls(model, options)
        weights = model.quantization or "auto"
        known = ModelOptions(dtype=model.dtype, device=model.device, attn=model.attn, quantize=weights)
        handle = cls(model.source, known, model.max_memory)
        handle._loaded = model
        return handle

    def is_like(self, other: ModelHandle) -> bool:
        """Whether the two are one model, loaded in one way."""
        settled = ("identity", "device", "dtype", "attn", "quantization")
        placed = (self.options.device_map, self.options.tp) == (other.options.device_map, other.options.tp)
        return placed and all(getattr(self, name) == getattr(other, name) for name in settled)

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory, and with them dtype and attention settled."""
        return self._loaded is not None

    @property
    def slug(self) -> str:
        """The model's part of artifact names."""
        return self.source.slug

    @property
    def identity(self) -> dict[str, Any]:
        """What enters keys: repository and commit, or digests of the files."""
        return self.source.identity

    def numerics(self, seed: int, *, writes: bool = False) -> dict[str, Any]:
        """What else of the model's run enters keys; device and batch size do not.

        Args:
            seed: of what is drawn.
            writes: the stage lets the model write, which ends at tokens that generation_config.json may name.
        """
        ends = own_ends(self.source.path) if writes and self.source.kind == "folder" and self.source.path else None
        more: dict[str, Any] = {} if ends is None else {"ends": ends}
        if self.quantization is not None:  # keys from before weights could be quantized stay as they are
            more["quantize"] = self.quantization
        return {"dtype": self.dtype, "attn": self.attn, "seed": seed, **more} | self._answer_form

    @cached_property
    def _answer_form(self) -> dict[str, str]:
        """What the template wants before an answer, where it wants something; the weights stay where they are."""
        from pasctl.models.stored_form import form_digest

        folder = self.source.path
        if folder is None and self.source.repo and self.source.sha:  # the key must be the same once it is cached
            with suppress(MissingError):
                folder = fetch_snapshot(self.source.repo, self.source.sha, weights=False)
        own = self.source.spec not in BUNDLED
        digest = form_digest(folder) if folder is not None and folder.is_dir() and own else None
        return {} if digest is None else {"answer_form": digest}

    def provenance(self) -> dict[str, Any]:
        """Where the model was found and how it is run: kept in the manifest, not in the key."""
        local = self.source.path if self.source.spec not in BUNDLED and not self.source.repo else None
        spec = str(local.absolute()) if local else self.source.spec
        return {
            "spec": spec,
            "revision": self.source.sha,
            "device": self.device,
            "dtype": self.dtype,
            "attn": self.attn,
            **({} if self.options.quantize == "auto" else {"quantize": self.options.quantize}),
        }

    def load(self, reporter: Reporter | None = None) -> LoadedModel:
        """Load the weights and check the model, or give the one loaded before; say what is odd about it."""
        reporter = reporter or Silent()
        if self._loaded is None:
            from pasctl.models.load import load_model

            if self.max_memory is not None:
                require_room(self.footprint())
                give_memory_back()
            packed = "" if self.quantization is None else f" with {self.quantization} weights"
            reporter.note(f"loading {self.source.spec} on {self.device} in {self.dtype}{packed}")
            self._loaded = load_model(
                self.source,
                dtype=self.dtype,
                device=self.device,
                attn=self.attn,
                quantize=self.options.quantize,
                device_map=self.options.device_map,
                tp=self.options.tp,
                trust_remote_code=self.options.trust_remote_code,
                note=reporter.note,
            )
            self._loaded.max_memory = self.max_memory
            if self._loaded.chat.warning:
                reporter.note(f"warning: {self._loaded.chat.warning}")
        return self._loaded

    def chat(self) -> ChatRenderer:
        """The model's chat renderer; the weights stay where they are."""
        if self._loaded is not None:
            return self._loaded.chat
        from pasctl.models.load import load_chat

        return load_chat(self.source, trust_remote_code=self.options.trust_remote_code)

    def geometry(self) -> Geometry:
        """Layers, heads and widths; the weights stay where they are."""
        return self._loaded.geometry if self._loaded is not None else self._meta_model.geometry

    def footprint(self) -> Footprint:
        """How much memory it takes while it runs; the weights stay where they are."""
        if self._loaded is not None:
            return self._loaded.footprint
        size, meta = torch_dtype(self.dtype).itemsize, self._meta_model
        return Footprint(meta.geometry, meta.sizes, size, self.device == "cpu", self.max_memory)

    def takes_masks(self) -> bool:
        """Whether a forward pass takes a mask of our own; the weights stay where they are."""
        return self._loaded.takes_masks if self._loaded is not None else self._meta_model.takes_masks

    @cached_property
    def _meta_model(self) -> MetaModel:
        from pasctl.models.load import load_meta_model

        return load_meta_model(
            self.source,
            attn=self.attn,
            dtype=self.dtype,
            quantization=self.quantization,
            trust_remote_code=self.options.trust_remote_code,
        )

    def context(self, *, steady: bool = False) -> int | None:
        """Tokens that the model's positions were made for; None if it does not say. Of a hub model, from its config.

        Args:
            steady: whether only those count up to which its attention does not depend on the length of the text.
        """
        if self._loaded is not None:
            return context_of(self._loaded.model.config.to_dict(), steady=steady)
        if self.source.repo and self.source.sha:
            return read_context(fetch_snapshot(self.source.repo, self.source.sha, weights=False), steady=steady)
        if steady and self.source.kind == "folder" and self.source.path is not None:
            return read_context(self.source.path, steady=True)
        return self.source.context

    def require(self, identity: dict[str, Any], name: str) -> None:
        """Refuse to use an artifact of another model.

        Raises:
            InputError: the artifact `name` was made with a model of another identity.
        """
        if identity != self.identity:
            raise InputError(
                f"{name} was made with another model than {self.source.spec}",
                hint="give the model it was made with, or run the earlier stages for this one",
            )


def base_name(handle: ModelHandle) -> str:
    """What a model is called in what is made from it: its hub id, or its own name without a machine's folders."""
    source = handle.source
    return source.repo or (source.path.resolve().name if source.path else source.slug)


def options_of_artifact(artifact: Artifact, options: ModelOptions) -> ModelOptions:
    """How to load the model of an artifact: what the options leave open is as it was when the artifact was made."""
    known = artifact.provenance.get("model") or {}
    before = {
        name: known[name]
        for name in ("dtype", "attn", "quantize", "revision")
        if name in known and getattr(options, name) in ("auto", None)
    }
    return replace(options, **before)


def of_model(model: ModelLike | None) -> Callable[[Artifact], bool]:
    """Whether an artifact is of the model that a user names, without a network.

    Args:
        model: a folder or .gguf file that is here, told by its contents; a hub id, whatever its commit; or a model's
            name in artifact names. A handle is its own model, None is any.

    Raises:
        MissingError: a folder that lacks a model's files.
        InputError: a file that is no model.
    """
    if model is None:
        return lambda artifact: True
    if not isinstance(model, str):
        identity = ModelHandle.of(model).identity
        return lambda artifact: bool(artifact.document["model"] == identity)
    if model in BUNDLED or expand_home(model).exists():
        identity = resolve_model(model).identity
        return lambda artifact: bool(artifact.document["model"] == identity)
    if "/" in model:
        return lambda artifact: bool((artifact.document["model"] or {}).get("repo") == model)
    return lambda artifact: artifact.model == model
