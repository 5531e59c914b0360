"""A memory inside a transformers model: what is given to it, or written by its own `generate`, may have any length.

While `remember`'s block runs, the text decoder's `forward` is ours: it reads the tokens into a memory per row of the
batch and gives their last hidden states, so that all around it (lm_head, `generate`, pipelines, harnesses) works as
usual. The memories travel from call to call in the place of transformers' cache.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer
from transformers.modeling_outputs import BaseModelOutputWithPast

from pasctl.errors import InputError
from pasctl.generation.packed import PackedModel, PackedSegment
from pasctl.memory.asking import MemoryTextState
from pasctl.memory.batch_rows import BatchRow, batch_rows, require_positions, spread
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.memory_cache import MemoryCache
from pasctl.memory.params import MemoryParams
from pasctl.memory.proof import require_memory
from pasctl.memory.reader import Reader
from pasctl.models.attention import attends, own_attention, run_backbone
from pasctl.models.identity import context_of
from pasctl.models.load import LoadedModel

_OTHER_INPUTS = ("pixel_values", "image", "video", "audio", "input_features")
"""How arguments begin, or what is a part of their names, that bring what is no text."""


class Remembered:
    """What `remember` gives: the texts of the last call, and caches to go on with.

    Attributes:
        model: the model with the memory inside.
        params: how events are cut and retrieved.
    """

    def __init__(self, model: LoadedModel, params: MemoryParams) -> None:
        self.model, self.params = model, params
        self._last = MemoryCache()

    def cache(self) -> MemoryCache:
        """An empty cache, to be given as `past_key_values` to calls that shall be parts of one text."""
        return MemoryCache()

    @property
    def texts(self) -> list[EpisodicMemory]:
        """The memory of each row of the last call: ask it, describe it, save it."""
        return [self._memory(reader) for reader in self._last.rows]

    def describe(self) -> list[dict[str, Any]]:
        """Figures of each row of the last call (see `EpisodicMemory.describe`), and `tokens_attended`."""
        return [{**text.describe(), "tokens_attended": text.reader.tokens_attended} for text in self.texts]

    def _memory(self, reader: Reader) -> EpisodicMemory:
        memory = EpisodicMemory(self.model, params=self.params)
        memory.reader = reader
        return memory


@contextmanager
def remember(
    model: LoadedModel | Any, tokenizer: Any = None, *, params: MemoryParams | None = None, **named: Any
) -> Iterator[Remembered]:
    """Give a transformers model a memory while the block runs.

    Within the local window the model does what it does without. Beyond, events that have left the window are retrieved
    (EM-LLM, arXiv 2407.09450). `generate`, `pipeline`, streamers and lm-eval's HFLM work as usual: batches, padding on
    either side, logits of all positions, sampling. Each call begins texts of its own, unless it is given a cache.

    Args:
        model: a CausalLM, or a loaded model.
        tokenizer: of a CausalLM; None takes the one that it was loaded with from the same place.
        params: all parameters; or give some by name, and the others are made to fit the model's context.
        **named: parameters of `MemoryParams`, such as n_local=1024.

    Raises:
        InputError: parameters that contradict each other; the model cannot have a memory; or, in a call: beams, a
            cache with tokens that memory has not read, inputs that are no text, positions or a mask of one's own.
    """
    if params is not None and named:
        raise InputError(f"params and {', '.join(named)} were both given, expected one of the two")
    with ExitStack() as stack:
        if not isinstance(model, LoadedModel):
            stack.enter_context(_settings_kept(model))
            tokenizer = tokenizer or _tokenizer_of(model)
        loaded = LoadedModel.given(model, tokenizer)
        if params is None:
            # up to where it attends alike: with some rotations that is less than its context
            params = MemoryParams.for_context(context_of(loaded.model.config.to_dict(), steady=True), **named)
        require_memory(loaded)
        inside = _Inside(loaded, params)
        stack.enter_context(own_attention(loaded))
        stack.callback(inside.packed.release)
        stack.enter_context(_replaced(loaded.backbone, inside.forward))
        stack.callback(loaded.model.register_forward_pre_hook(inside.before, with_kwargs=True).remove)
        stack.callback(loaded.model.register_forward_hook(inside.after, always_call=True).remove)
        stack.enter_context(_without_beams(loaded.model))
        yield inside.remembered


@contextmanager
def _settings_kept(model: Any) -> Iterator[None]:
    """Let a model be in eval mode and without gradients while the block runs."""
    training = [module for module in model.modules() if module.training]
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_(True)


def _tokenizer_of(model: Any) -> Any:
    """The tokenizer that lies where a model was loaded from.

    Raises:
        InputError: there is none.
    """
    place = str(getattr(model.config, "_name_or_path", "") or "")
    try:
        return AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no tokenizer where the model was loaded from ({place or 'nowhere'}), and none was given",
            hint="give the tokenizer as the second argument",
        ) from error


@contextmanager
def _replaced(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a module's forward be another while the block runs; it is given the module's own first."""
    own, had = module.forward, "forward" in vars(module)

    @functools.wraps(own)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return forward(own, *args, **kwargs)

    module.forward = replacement
    try:
        yield
    finally:
        if had:
            module.forward = own
        else:
            del module.forward


@contextmanager
def _without_beams(model: Any) -> Iterator[None]:
    """Refuse beam search before a prompt is read, while the block runs."""

    def check(generate: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        config = kwargs.get("generation_config") or model.generation_config
        if (kwargs.get("num_beams") or getattr(config, "num_beams", None) or 1) > 1:
            MemoryCache().reorder_cache(torch.empty(0))
        return generate(*args, **kwargs)

    own = model.generate
    model.generate = functools.wraps(own)(functools.partial(check, own))
    try:
        yield
    finally:
        del model.generate


class _Inside:
    """The text decoder's forward, with the memory inside."""

    def __init__(self, model: LoadedModel, params: MemoryParams) -> None:
        self.remembered, self.packed = Remembered(model, params), PackedModel(model)
        self._model, self._params = model, params
        self._given: Mapping[str, Any] = {}
        self._output: Callable[..., Any] = BaseModelOutputWithPast  # or what the decoder gives instead

    def before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note what the whole model is given: some models give their decoder vectors in the place of token ids.

        Raises:
            InputError: it is given what is no text.
        """
        given = dict(zip(inspect.signature(module.forward).parameters, args, strict=False)) | kwargs
        for name, value in given.items():
            if value is not None and any(part in name for part in _OTHER_INPUTS):
                raise InputError(f"the model was given {name}, and a memory reads text alone")
        self._given = given

    def after(self, *_: Any) -> None:
        """Forget what the whole model was given, since its decoder may be called by itself."""
        self._given = {}

    def forward(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Read token ids [B, T] on, and give their last hidden states."""
        if attends():
            out = own(*args, **kwargs)
            self._output = type(out)
            return out
        given = inspect.signature(own).bind_partial(*args, **kwargs).arguments
        given = {**given, **given.pop("kwargs", {})}
        ids, cache = self._ids(given), self._cache(given)
        # the whole model's mask, where it runs: some models make others of it for their decoder
        texts = batch_rows(ids, (self._given or given).get("attention_mask"))
        fresh = not cache.rows
        if fresh:
            cache.rows = [Reader(self._model, self._params, lazy=True) for _ in texts]
        elif len(cache.rows) != len(texts):
            raise InputError(f"the cache has {len(cache.rows)} texts and the batch {len(texts)}, expected the same")
        require_positions(given.get("position_ids"), texts, [len(reader.ids) for reader in cache.rows])
        wanted, columns = self._given.get("logits_to_keep"), ids.shape[1]
        first = max(0, columns - wanted) if isinstance(wanted, int) and wanted > 0 else 0
        hidden = self._read(cache, texts, first, fresh=fresh)
        cache.columns += columns
        self.remembered._last = cache
        return self._output(
            last_hidden_state=spread(hidden, texts, range(first, columns)),
            past_key_values=None if given.get("use_cache") is False else cache,
        )

    def _ids(self, given: Mapping[str, Any]) -> Tensor:
        ids = given.get("input_ids")
        if ids is None and self._given.get("inputs_embeds") is None:
            ids = self._given.get("input_ids")  # which the model has looked up for its decoder
        if ids is None:
            raise InputError("the model was given inputs_embeds, and a memory reads token ids", hint="give input_ids")
        if given.get("output_attentions"):
            raise InputError("attention weights were asked for, and a memory gives none")
        return ids  # type: ignore[no-any-return]

    def _cache(self, given: Mapping[str, Any]) -> MemoryCache:
        cache = given.get("past_key_values", given.get("cache"))
        if isinstance(cache, MemoryCache):
            return cache
        if cache is not None and (tokens := int(cache.get_seq_length())):
            raise InputError(
                f"the model was given a {type(cache).__name__} of {tokens} tokens, which memory has not read",
                hint="give the whole text, or a cache of memory.cache()",
            )
        return MemoryCache()

    def _read(self, cache: MemoryCache, texts: Sequence[BatchRow], first: int, *, fresh: bool) -> list[Tensor]:
        """Last hidden states [n, hidden] of each row's tokens from column `first` on."""
        if not fresh and len(texts) > 1 and all(len(text.ids) == 1 for text in texts) and not self.packed.alone:
            return self._read_packed(cache.rows, texts)
        before: dict[tuple[int, ...], int] = {}
        hidden: list[Tensor] = []
        for number, text in enumerate(texts):
            same = before.setdefault((first, *text.ids, *text.columns), number)
            if fresh and same != number:  # several samples of one prompt
                cache.rows[number] = cache.rows[same].fork()
                hidden.append(hidden[same])
            else:
                hidden.append(self._read_row(cache.rows[number], text, first))
        return hidden

    def _read_row(self, reader: Reader, text: BatchRow, first: int) -> Tensor:
        model = self._model
        states = [torch.empty(0, model.config.hidden_size, dtype=model.model.dtype, device=model.device)]
        unwanted = sum(column < first for column in text.columns)
        with torch.inference_mode():
            for start in range(0, len(text.ids), reader.pass_tokens):
                piece = text.ids[start : start + reader.pass_tokens]
                step = reader.begin(len(piece))
                hidden = run_backbone(model, torch.tensor([piece]), step, states=reader.layer_states)[0]
                reader.end(piece, step, hidden)
                states.append(hidden[max(0, unwanted - start) :])
        return torch.cat([part.to(states[-1].device) for part in states])

    def _read_packed(self, rows: Sequence[Reader], texts: Sequence[BatchRow]) -> list[Tensor]:
        """A token of each text, in one pass."""
        states = [MemoryTextState(reader, keep_retrieved=False) for reader in rows]
        segments = [
            PackedSegment(text.ids, state.begin(text.ids, retrieve=True), state)
            for state, text in zip(states, texts, strict=True)
        ]
        hidden, failed = self.packed.run(segments)
        if failed:
            raise next(iter(failed.values()))
        for state, part in zip(states, hidden, strict=True):
            state.end(part)
        return hidden
