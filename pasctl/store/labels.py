"""Labels: the last part of a name, which says what an artifact's options are where they differ from the first of it.

The first artifact under kind/model/label has the plain label, and its options are written down beside the names. One
with other options gets words behind the label, `builtin~alpha-4`, and so does what is made from it:
`builtin~personas-0-10~alpha-4`. So all versions of a name have the same options, and differ in their inputs alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pasctl.store.keys import canonical_json, is_key
from pasctl.store.manifest import LABEL_SEPARATOR
from pasctl.store.refs import Name

if TYPE_CHECKING:
    from pasctl.store.artifact import Artifact
    from pasctl.store.refs import Refs

MOST = 100  # signs of a label
_LONGEST = 32  # signs of one value
_SHORTENED = 20  # of a longer one, before its digest

Options = Mapping[str, Any]
"""Option -> value; of an input that the user names, {"given": as it was written, "digest": [of what it held]}."""


class Stored(Protocol):
    """What labels are settled in: a store."""

    refs: Refs

    def lookup(self, key: str) -> Artifact | None:
        """The artifact of a key."""


@dataclass(frozen=True)
class Made:
    """What is about to be committed, as far as its label depends on it.

    Attributes:
        name: the name that its stage gives it; the label may have the words of an input's label in it.
        stage: the stage.
        options: those that it is made with.
        inputs: what it is made from.
    """

    name: Name
    stage: str
    options: Options
    inputs: Sequence[Artifact]


class Stages(Protocol):
    """What is known of the stages and their options."""

    def options_of(self, artifact: Artifact) -> Options:
        """The options that an artifact was made with."""

    def defaults_of(self, stage: str) -> Options:
        """Option -> value that stands for an option which artifacts of a stage from before it existed do not have."""


def plain(label: str) -> str:
    """A label without the words that say what differs."""
    return label.partition(LABEL_SEPARATOR)[0]


def words(label: str) -> list[str]:
    """The words of a label that say what differs."""
    return label.split(LABEL_SEPARATOR)[1:]


def differing(base: Options, own: Options, defaults: Options) -> list[str]:
    """The options that two artifacts do not have in common, in the order of `own`.

    Those that `own` lacks follow from others, and do not count.
    """
    return [name for name, value in own.items() if not _same(base.get(name, defaults.get(name)), value)]


def settled_label(store: Stored, made: Made, stages: Stages) -> str:
    """The label that an artifact gets, taken for its options: whoever comes with others gets another one.

    Args:
        store: the store that it goes into.
        made: what goes into it.
        stages: gives the options of artifacts that are there.

    Raises:
        StoreError: the store cannot be written.
    """
    label, defaults = made.name.label, stages.defaults_of(made.stage)
    for source in made.inputs:
        label = label.replace(source.label, plain(source.label))
    first = _named(made.name, plain(label))
    inherited = [word for source in made.inputs for word in _words_of(store, source, stages)]
    base = store.refs.claim(first, _options(store, first, stages) or made.options)
    own = _own_words(base, made.options, defaults, first.label)
    chosen = _fitted([first.label, *dict.fromkeys([*words(label), *inherited, *own])])
    if differing(store.refs.claim(_named(first, chosen), made.options), made.options, defaults):
        chosen = _fitted([*chosen.split(LABEL_SEPARATOR), _digest(dict(_identifying(made.options)))])
        store.refs.claim(_named(first, chosen), made.options)
    return chosen


def _named(name: Name, label: str) -> Name:
    return Name(name.kind, name.model, label)


def _words_of(store: Stored, source: Artifact, stages: Stages) -> list[str]:
    """The words of an input; also of one from a time when versions of one name could differ in options."""
    if known := words(source.label):
        return known
    own = stages.options_of(source)
    base = _options(store, Name(source.kind, source.model, source.label), stages)
    return _own_words(base or own, own, stages.defaults_of(source.stage), source.label)


def _own_words(base: Options, own: Options, defaults: Options, label: str) -> list[str]:
    """Words for the options that differ; those that are off follow from the others, unless nothing else differs."""
    names = differing(base, own, defaults)
    telling = [name for name in names if own[name] is not None]
    return [_word(name, own[name], label) for name in telling or names]


def _options(store: Stored, name: Name, stages: Stages) -> Options | None:
    """The options of a name: those written down, else those of its latest version; None where there is neither."""
    stored = store.refs.options(name)
    if stored is not None:
        return stored
    for key in reversed(store.refs.versions(name).values()):
        if is_key(key) and (artifact := store.lookup(key)) is not None:
            return stages.options_of(artifact)
    return None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping) and "digest" in a and "digest" in b:
        return bool(a["digest"] == b["digest"] or (a["given"] is not None and a["given"] == b["given"]))
    return bool(a == b)


def _word(name: str, value: Any, label: str) -> str:
    """An option as a word of a label: `alpha-4`, `granularity-kv-group`, `personas-0-10`."""
    text = _slug(value)
    short = text.removeprefix(f"{label}-")  # builtin:0-10 of builtin is 0-10
    if len(short) > _LONGEST:
        short = f"{short[:_SHORTENED].rstrip('-.')}-{_digest(value)}"
    return f"{name.replace('_', '-')}-{short or _digest(value)}"


def _slug(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.get("given") is None:
            return _digest(value)
        return _slug(str(value["given"]).rpartition("/")[2])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}".replace("+", "")
    if isinstance(value, list | tuple):
        return "-".join(map(_slug, value)) or "none"
    return re.sub(r"[^a-z0-9._+-]+", "-", str(value).lower()).strip("-.")


def _fitted(parts: Sequence[str]) -> str:
    """A label of these words; where it would be too long, their digest stands for them."""
    label = LABEL_SEPARATOR.join(parts).rstrip(".")
    if len(label) <= MOST:
        return label
    digest = _digest(list(parts))
    return f"{parts[0][: MOST - len(digest) - 1]}{LABEL_SEPARATOR}{digest}"


def _identifying(options: Options) -> Iterator[tuple[str, Any]]:
    """Options without what the inputs that a user names held, which may change from version to version."""
    for name, value in options.items():
        if isinstance(value, Mapping) and value.get("given") is not None:
            yield name, value["given"]
        else:
            yield name, value


def _digest(value: Any) -> str:
    """Six hex digits that tell a value from others."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()[:6]


def varying(all_options: Iterable[Options]) -> list[str]:
    """The options in which some artifacts are not all alike."""
    rows = list(all_options)
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if any(not _same(rows[0].get(name), row.get(name)) for row in rows)]
