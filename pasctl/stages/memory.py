"""The memory-run stage: a text is read once into an episodic memory, which any later process can ask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, MissingError
from pasctl.memory.params import MemoryParams
from pasctl.models.identity import ModelSource
from pasctl.stages.model import ModelHandle, ModelOptions
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Stage, Store, Work, open_store, run_job

if TYPE_CHECKING:
    from pasctl.memory.episodic import EpisodicMemory
    from pasctl.models.load import LoadedModel

STAGE = Stage("memory-run", "memory", 1)
SEGMENTS = "segments/"


@dataclass(frozen=True)
class Text:
    """A text and what it is called."""

    name: str
    content: str

    @classmethod
    def load(cls, path: Path | str) -> Text:
        """Read a file.

        Raises:
            MissingError: no such file.
            InputError: it is empty, binary, or not UTF-8.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MissingError(f"text {path} cannot be read: {error.strerror}") from error
        return cls.decode(str(path), data)

    @classmethod
    def decode(cls, name: str, data: bytes) -> Text:
        """A text from its bytes.

        Raises:
            InputError: they are empty, binary, or not UTF-8.
        """
        zero = data.find(b"\0")
        if zero >= 0:
            raise InputError(f"text {name} is binary: byte {zero} is zero", hint="convert it to plain text first")
        try:
            content = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise InputError(
                f"text {name} is not UTF-8: byte {error.start} (line {line}) is 0x{data[error.start]:02x}",
                hint=f"convert it, for example with `iconv -f latin1 -t utf-8 {name}`",
            ) from error
        if not content.strip():
            raise InputError(f"text {name} is empty, expected something to read")
        return cls(name, content)

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def memory_run(
    model: str | ModelSource | LoadedModel | ModelHandle,
    texts: Sequence[Text],
    *,
    params: MemoryParams | None = None,
    label: str | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Read texts, one behind the other, into a memory (EM-LLM, arXiv 2407.09450).

    Args:
        model: hub id, local folder, .gguf file, or a model already loaded.
        texts: what to read.
        params: how events are cut and recalled.
        label: the artifact's name; by default the first text's.
        options: how to load the model.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: there is no text.
    """
    if not texts:
        raise InputError("there is no text to read, expected at least one")
    params = params or MemoryParams()
    handle = ModelHandle.of(model, options)
    job = Job(
        stage=STAGE,
        model=handle.slug,
        label=label or _label(texts[0].name),
        params={**asdict(params), "texts": [text.digest for text in texts]},
        inputs={},
        identity=handle.identity,
        numerics=handle.numerics(params.seed) | {"attn": "memory"},
        compute=partial(_compute, handle=handle, texts=texts, params=params),
        provenance={"model": handle.provenance(), "texts": [text.name for text in texts]},
        estimate=lambda: _estimate(handle, texts),
    )
    return run_job(open_store(store), job, reporter=reporter, dry_run=dry_run)


def open_memory(
    memory: str | Artifact | None = None,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    *,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
) -> EpisodicMemory:
    """A memory that was made earlier, ready to be asked; its text is not read again.

    Args:
        memory: which; None takes the latest.
        model: where the model is now; None takes it from where it was.
        options: how to load it; the dtype is the one that the text was read in.
        store: the store or its folder.
        reporter: receives notes.

    Raises:
        MissingError: there is no such memory, or the model is gone.
        InputError: it was made with another model.
        IntegrityError: a segment is damaged.
    """
    from pasctl.memory.episodic import EpisodicMemory

    found = find_memory(open_store(store), memory)
    if isinstance(model, str | None):
        known = found.provenance["model"]
        options = options or ModelOptions(revision=None if model else known["revision"])
        chosen = ModelOptions(**{**asdict(options), "dtype": found.document["numerics"]["dtype"]})
        model = ModelHandle(model or known["spec"], chosen)
    handle = ModelHandle.of(model, options)
    handle.require(found.document["model"], found.name)
    if handle.dtype != found.document["numerics"]["dtype"]:
        raise InputError(
            f"{found.name} was read in {found.document['numerics']['dtype']}, the model is loaded in {handle.dtype}"
        )
    params = {name: value for name, value in found.params.items() if name != "texts"}
    opened = EpisodicMemory(handle.load(reporter), params=MemoryParams(**params))
    opened.restore([found.open_path(name) for name in found.files(SEGMENTS)])
    return opened


def find_memory(store: Store, memory: str | Artifact | None) -> Artifact:
    """The memory that a reference means; None is the latest.

    Raises:
        MissingError: there is none.
    """
    if isinstance(memory, Artifact):
        return memory
    if memory is not None:
        return store.resolve(memory, "memory")
    latest = next(iter(store.candidates("memory")), None)
    if latest is None:
        raise MissingError(f"store {store.root} holds no memory", hint="run `pasctl memory-run TEXT` first")
    return latest


def _compute(work: Work, *, handle: ModelHandle, texts: Sequence[Text], params: MemoryParams) -> Payload:
    from pasctl.memory.episodic import EpisodicMemory
    from pasctl.stages.arrays import to_store

    def write(number: int, tensors: dict[str, Any]) -> Path:
        name = _segment_name(number)
        work.write(name, {each: to_store(tensor) for each, tensor in tensors.items()})
        return work.path(name)

    memory = EpisodicMemory(handle.load(work.reporter), params=params, writer=write)
    ids = memory.prompt.text("\n\n".join(text.content for text in texts))
    done: list[Path] = []
    while work.has(_segment_name(len(done))):
        done.append(work.path(_segment_name(len(done))))
    memory.restore(done)
    resumed = len(memory.reader.ids)
    if resumed:
        work.reporter.note(f"going on behind token {resumed:,} of {len(ids):,}")
    with work.reporter.progress("read", len(ids), "tokens") as advance:
        advance(resumed)
        memory.read_ids(ids[resumed:], on_chunk=advance)
    memory.finish()
    work.provenance["counts"] = {
        "tokens_run": len(ids) - resumed,
        "tokens_resumed": resumed,
        "recalled_keys": memory.reader.tokens_attended,
    }
    return {"memory.json": memory.describe()}


def _estimate(handle: ModelHandle, texts: Sequence[Text]) -> dict[str, Any]:
    """Tokens, from the tokenizer, and bytes of keys and values on disk at most; no weights are loaded."""
    from pasctl.memory.prompt import Prompt

    tokens = len(Prompt(handle.chat()).text("\n\n".join(text.content for text in texts)))
    geometry = handle.geometry()
    each = geometry.layers * geometry.kv_heads * geometry.head_dim * 2
    return {"tokens": tokens, "bytes": tokens * each * (4 if handle.dtype == "float32" else 2)}


def _segment_name(number: int) -> str:
    return f"{SEGMENTS}{number:06d}.safetensors"


def _label(name: str) -> str:
    """A word that can be part of an artifact's name, from a file's."""
    stem = Path(name).stem.lower()
    word = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in stem)
    return word.strip("-._") or "text"
