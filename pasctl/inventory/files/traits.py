"""The traits and the norms of an inventory file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.inventory.files.node import Node, unknown
from pasctl.inventory.norms import NO_NORMS, Norm, PublishedNorms
from pasctl.inventory.scale import Scale
from pasctl.inventory.traits import Trait
from pasctl.inventory.usual import USUAL_TRAITS

FIELDS = ("code", "name", "high", "low", "desirable")
NORM_FIELDS = ("trait", "mean", "sd", "n", "group")
_DESIRABLE = {"1": 1, "+1": 1, "+": 1, "high": 1, "-1": -1, "-": -1, "low": -1, "0": 0}


@dataclass(frozen=True)
class TraitCodes:
    """The traits that a file names, by their codes and names.

    Attributes:
        traits: in the file's order; none where it names none, and then any code will do.
    """

    traits: tuple[Trait, ...]

    def code(self, node: Node) -> str:
        """The code that a field means: a code, or the name of a trait."""
        said = node.text("the code of a trait")
        if not self.traits:
            return said
        for trait in self.traits:
            if said.casefold() in (trait.code.casefold(), trait.name.casefold()):
                return trait.code
        raise unknown(node.where, f"trait {said!r}", said, [trait.code for trait in self.traits])


def traits_of(node: Node | None) -> TraitCodes:
    """The traits of the field `traits`: a list of {code, name, high, low, desirable}, or {code: name}."""
    if node is None:
        return TraitCodes(())
    if isinstance(node.value, dict):
        entries = [_under_code(code, value) for code, value in node.value.items()]
    else:
        entries = node.nodes("a list of traits, or a mapping code: name")
    traits = [_trait(entry) for entry in entries]
    names: set[str] = set()
    for trait, entry in zip(traits, entries, strict=True):
        own = {trait.code.casefold(), trait.name.casefold()}
        if own & names:
            raise InputError(f"{entry.where}: trait {trait.code} has the code or name of another one")
        names |= own
    return TraitCodes(tuple(traits))


def _under_code(code: str, value: Node) -> Node:
    """A member of a mapping as one of a list."""
    named = value.value if isinstance(value.value, dict) else {"name": value}
    return Node(value.where, {"code": Node(value.where, code), **named})


def _trait(node: Node) -> Trait:
    if isinstance(node.value, str):
        node = Node(node.where, {"code": node})
    fields = node.fields(FIELDS, "a trait")
    if "code" not in fields:
        raise node.refusal("a trait with code")
    desirable = 0
    if "desirable" in fields:
        said = fields["desirable"].text("+1, -1 or 0").lower().replace("−", "-").removesuffix(".0")
        if said not in _DESIRABLE:
            raise fields["desirable"].refusal("+1 (people would rather be high), -1 (low) or 0 (neither)")
        desirable = _DESIRABLE[said]
    try:
        return Trait(
            code=fields["code"].text("a code"),
            name=fields["name"].text("a name") if "name" in fields else "",
            high=_words(fields.get("high")),
            low=_words(fields.get("low")),
            desirable=desirable,
        )
    except InputError as error:
        raise InputError(f"{node.where}: {error.message}") from error


def _words(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    marked = isinstance(node.value, str) and "|" not in node.value
    return node.texts("a word", "," if marked else "|")


def known_traits(named: TraitCodes, codes: Sequence[str]) -> tuple[Trait, ...]:
    """The traits of an inventory whose items have these codes; those of the built-in one have its names and poles."""
    if named.traits:
        return named.traits
    spelled: dict[str, str] = {}
    for code in codes:
        if spelled.setdefault(code.casefold(), code) != code:
            raise InputError(f"traits: expected one spelling of each code, found {spelled[code.casefold()]} and {code}")
    if set(codes) <= {trait.code for trait in USUAL_TRAITS}:
        return USUAL_TRAITS
    return tuple(Trait(code, desirable=0) for code in dict.fromkeys(codes))


def norms_of(norms: Node | None, correlations: Node | None, traits: TraitCodes, scale: Scale) -> PublishedNorms:
    """The fields `norms` and `correlations`; means are of mean scores, on the inventory's scale."""
    if norms is None:
        if correlations is not None:
            raise correlations.refusal("norms beside correlations")
        return NO_NORMS
    made = tuple(_norm(node, traits, scale) for node in norms.nodes("a list of norms"))
    twice = [norm for place, norm in enumerate(made) if (norm.trait, norm.group) in _places(made[:place])]
    if twice:
        raise InputError(f"{norms.where}: trait {twice[0].trait} has two norms for group {twice[0].group!r}")
    pairs = () if correlations is None else correlations.nodes("a list of correlations")
    return PublishedNorms(made, tuple(_correlation(node, traits) for node in pairs))


def _places(norms: Sequence[Norm]) -> set[tuple[str, str]]:
    return {(norm.trait, norm.group) for norm in norms}


def _norm(node: Node, traits: TraitCodes, scale: Scale) -> Norm:
    fields = node.fields(NORM_FIELDS, "a norm")
    absent = [name for name in ("trait", "mean", "sd") if name not in fields]
    if absent:
        raise node.refusal(f"a norm with {absent[0]}")
    mean = fields["mean"].number("a number")
    if not scale.low <= mean <= scale.high:
        raise fields["mean"].refusal(
            f"a mean score from {scale.low} to {scale.high}",
            "norms are of mean scores per item: divide published sums, and their sd, by the number of items",
        )
    try:
        return Norm(
            trait=traits.code(fields["trait"]),
            mean=mean,
            sd=fields["sd"].number("a number"),
            n=fields["n"].whole("a whole number") if "n" in fields else 0,
            group=fields["group"].text("a text") if "group" in fields else "",
        )
    except InputError as error:
        at_field = error.message.startswith(node.where.partition(",")[0])
        raise error if at_field else InputError(f"{node.where}: {error.message}") from error


def _correlation(node: Node, traits: TraitCodes) -> tuple[str, str, float]:
    """[A, B, r], or {traits: [A, B], r: r}."""
    if isinstance(node.value, dict):
        fields = node.fields(("traits", "r"), "a correlation")
        if len(fields) < 2:
            raise node.refusal("a correlation with traits and r")
        members = [*fields["traits"].nodes("a list of two traits"), fields["r"]]
    else:
        members = node.nodes("a list [trait, trait, r]")
    if len(members) != 3:
        raise node.refusal("two traits and their correlation: [A, B, 0.3]")
    first, second = traits.code(members[0]), traits.code(members[1])
    r = members[2].number("a correlation")
    if not -1 < r < 1 or first == second:
        raise node.refusal("two different traits and a correlation between -1 and 1")
    return first, second, r
