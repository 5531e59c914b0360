"""Structures compiled by llguidance for the vocabulary of a loaded model."""

from __future__ import annotations

import importlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from pasctl.errors import InputError, MissingError
from pasctl.generation.structure import Structure
from pasctl.json_file import json_line, parse_json
from pasctl.models.load import LoadedModel
from pasctl.models.token_bytes import TokenBytes

T = TypeVar("T")

_OPTIONS = '%llguidance {"no_forcing": true}\n'  # the model chooses among all tokens, also where the text is certain
_WHITE_SPACE = r"\x20|\x0A[\x20\x09]{0,32}"  # between two parts of JSON; without a bound some models write nothing else
_MAYBE_SPACE = r"(/[\x20\n]{1,8}/)? "
_STACK = 256 << 20  # what compiles is recursive; of this only what is used is taken
_COMPILED = 64
_PLACE = re.compile(r"^(?:at )?\d+\(\d+\): (?:failed to compile JSON schema: )?")
_SHOWN = 240


class Grammars:
    """The vocabulary of a model as llguidance takes it, and the structures that were compiled for it.

    Attributes:
        vocabulary: tokens.
        bytes_of: of each; of a special token its name's, and nothing of a number that no token has.
        special: bool [vocabulary], the tokens that are no text.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Read the bytes of all tokens: about 10 microseconds for each.

        Raises:
            MissingError: llguidance is not installed.
        """
        self._library = _llguidance()
        self.vocabulary, tokenizer = model.vocabulary, model.tokenizer
        known = min(len(tokenizer), self.vocabulary)
        text, special = TokenBytes(tokenizer), _special(tokenizer, known)
        self.special = np.ones(self.vocabulary, dtype=bool)
        self.special[:known] = False
        self.special[sorted(special)] = True
        self.bytes_of = [text(token) for token in range(known)] + [b""] * (self.vocabulary - known)
        self._drops_space = any(
            text.first(token) != own
            for token, own in enumerate(self.bytes_of[:known])
            if own[:1] == b" " and own.strip() and token not in special
        )
        self._tokenizer = self._library.LLTokenizer(_Vocabulary(self.bytes_of, sorted(special)))
        self._compiled: OrderedDict[tuple[str, str, str], Any] = OrderedDict()
        self._beyond: dict[bytes, list[list[int]]] = {}
        self._lock = threading.Lock()

    def matcher(self, structure: Structure) -> Any:
        """A matcher at the beginning of a structure.

        Raises:
            InputError: the structure cannot be compiled, or no text has it.
        """
        before = _MAYBE_SPACE if structure.spaced else ""
        if self._drops_space and not structure.after:
            before = '" " '  # the text leaves out the space that its first token begins with
        key = structure.kind, structure.source, before
        with self._lock:
            found = self._compiled.get(key)
        if found is None:  # without the lock, since the engine's thread may want another
            found = _with_stack(lambda: self._compile(*key, structure.title))
        with self._lock:
            self._compiled[key] = found
            self._compiled.move_to_end(key)
            if len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
            return found.deep_copy()

    def beyond(self, trigger: bytes) -> list[list[int]]:
        """By the number of a trigger's bytes that are there: the tokens that have the others, and go on after them."""
        if trigger not in self._beyond:
            found = [[token for token, own in enumerate(self.bytes_of) if trigger in own[:-1]]]
            for begun in range(1, len(trigger)):
                rest = trigger[begun:]
                own_rest = [token for token, own in enumerate(self.bytes_of) if own.startswith(rest)]
                found.append([token for token in own_rest if self.bytes_of[token] != rest])
            if len(self._beyond) >= _COMPILED:
                self._beyond.clear()
            self._beyond[trigger] = found
        return self._beyond[trigger]

    def _compile(self, kind: str, source: str, before: str, title: str) -> Any:
        limits = self._library.LLParserLimits(verbose_errors=False)
        try:
            grammar = self._grammar(kind, source, before)
            matcher = self._library.LLMatcher(self._tokenizer, grammar, log_level=0, limits=limits)
        except Exception as error:  # the converter of grammars has its own, and fails in other ways as well
            raise InputError(f"{title} cannot be used: {told(str(error))}") from None
        if not matcher.is_error():
            matcher.compute_bitmask()  # finds a structure that no text has
        if matcher.is_error():
            raise InputError(f"{title} cannot be used: {told(matcher.get_error())}")
        return matcher

    def _grammar(self, kind: str, source: str, before: str) -> str:
        if kind == "json_schema":
            schema = parse_json(source)
            if schema is not False:
                schema = {**({} if schema is True else schema), "x-guidance": {"whitespace_pattern": _WHITE_SPACE}}
            return f"{_OPTIONS}start: {before}%json {json_line(schema)}"
        if kind == "grammar":
            convert: Callable[[str], str] = importlib.import_module("llguidance.gbnf_to_lark").any_to_lark
            return _listed(before, convert(source)) if before else _OPTIONS + convert(source)
        pattern = _unanchored(source) if kind == "regex" else "|".join(map(_literal, parse_json(source)))
        [rule] = parse_json(self._library.LLMatcher.grammar_from_regex(pattern))["grammars"]
        return f"{_OPTIONS}start: {before}{rule['lark_grammar'].removeprefix('start: ')}"


_KNOWN: WeakKeyDictionary[LoadedModel, Grammars] = WeakKeyDictionary()
_KNOWN_LOCK = threading.Lock()


def grammars_of(model: LoadedModel) -> Grammars:
    """The grammars of a model, whose vocabulary is read once.

    Raises:
        MissingError: llguidance is not installed.
    """
    with _KNOWN_LOCK:
        if model not in _KNOWN:
            _KNOWN[model] = Grammars(model)
        return _KNOWN[model]


class _Vocabulary:
    """What llguidance takes for a tokenizer; it never asks for a text's tokens, as no text is forced."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens: list[bytes], special: list[int]) -> None:
        self.tokens, self.special_token_ids = tokens, special
        self.eos_token_id: int | None = special[0] if special else None

    def __call__(self, text: bytes | str) -> list[int]:
        return []


def _special(tokenizer: Any, known: int) -> set[int]:
    """Tokens that are no part of an answer's text."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    marked = [int(token) for token, each in added.items() if each.special]
    return {token for token in (*tokenizer.all_special_ids, *marked) if token < known}


def _llguidance() -> Any:
    try:
        return importlib.import_module("llguidance")
    except ImportError as error:
        raise MissingError(
            "a structured answer needs the package llguidance", hint="pip install 'pasctl[structured]'"
        ) from error


def _with_stack(function: Callable[[], T]) -> T:
    """What a function gives, called with a stack that its recursion cannot use up."""
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # the caller's, whatever it is
            errors.append(error)

    with _STACK_LOCK:
        before = threading.stack_size(_STACK)
        try:
            thread = threading.Thread(target=call, name="pasctl-grammar")
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


_STACK_LOCK = threading.Lock()


def _listed(before: str, lark: str) -> str:
    """A grammar with something before it."""
    main = {"name": "all", "lark_grammar": f"{_OPTIONS}start: {before}@body"}
    return json_line({"grammars": [main, {"name": "body", "lark_grammar": _OPTIONS + lark}]})


def _unanchored(pattern: str) -> str:
    """The same expression for whole texts, without `^` and `$` at its two ends."""
    pattern = pattern.removeprefix("^")
    body = pattern.removesuffix("$")
    escapes = len(body) - len(body.rstrip("\\"))
    return pattern if body == pattern or escapes % 2 else body


def _literal(text: str) -> str:
    return "".join(f"\\x{{{ord(sign):X}}}" for sign in text)


def told(message: str) -> str:
    """What llguidance said, in one line."""
    first, *rest = message.strip().splitlines() or [""]
    if first in ("", "NoExtensionBias"):
        return "no text has this structure"
    reasons = [line.strip() for line in rest if line.strip().startswith("error:")]
    return " ".join([_PLACE.sub("", first), *reasons])[:_SHOWN]
