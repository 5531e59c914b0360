"""Whether a chat template's form alone shows that it is cheap: its text grows with the conversation and no faster.

A template is plain if nothing in it multiplies. Loops run over messages or parts of them and are at most two deep;
texts are put together where they are written, never in variables, so none can double; there is no macro, `*`, `**`,
`range`, formatting or padding. A template that is not plain may be harmless all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols

MOST_CHARACTERS = 8192
DEEPEST_LOOP = 2
_GIVEN = {"messages", "tools", "documents"}
_FILTERS = {
    *("trim", "length", "count", "upper", "lower", "last", "first", "items", "default", "safe", "reject", "selectattr"),
    *("list", "string", "join", "tojson"),
}
_GROWING_FILTERS = {"list", "string", "join", "tojson"}
_WIDEST_INDENT = 8
_METHODS = {"strip", "lstrip", "rstrip", "startswith", "endswith", "split", "upper", "lower", "items", "keys", "get"}
_FUNCTIONS = {"raise_exception", "namespace", "strftime_now"}
_STATEMENTS = (nodes.Template, nodes.Output, nodes.If, nodes.For, nodes.Assign, nodes.Continue, nodes.Break)
_WHOLES = (nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef, nodes.Keyword, nodes.Operand, nodes.Compare)
_PARTS = (nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.CondExpr, nodes.Test)
_SIGNS = (nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Sub)
_GROWING = (nodes.Add, nodes.Concat, nodes.List, nodes.Tuple)


def is_plain(template: str) -> bool:
    """Whether a template's form shows that it is cheap."""
    if len(template) > MOST_CHARACTERS:
        return False
    try:
        tree = Environment(extensions=[loopcontrols], autoescape=True).parse(template)  # never rendered
        return _is_cheap(tree) and _loops_are_short([tree], _of_conversation(tree), 0)
    except (TemplateError, RecursionError):
        return False


def _is_cheap(tree: nodes.Template) -> bool:
    """Whether every node is known to be, and no assignment makes a value larger than what it is made of."""
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    kept = {place.attr for place in tree.find_all(nodes.NSRef)} | {
        option.key for option in tree.find_all(nodes.Keyword)
    }
    assigned = [assign.node for assign in tree.find_all(nodes.Assign)]
    return (
        stored.isdisjoint({*_FUNCTIONS, "loop"})  # a name that is called, or counted, means what jinja2 means
        and kept.isdisjoint(_METHODS)
        and all(_is_known(node) for node in _below(tree))
        and not any(_grows(node) for value in assigned for node in _below(value))
    )


def _is_known(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Call):
        called = node.node
        named = isinstance(called, nodes.Name) and called.name in _FUNCTIONS
        return named or (isinstance(called, nodes.Getattr) and called.attr in _METHODS)
    if isinstance(node, nodes.Filter):
        return node.name in _FILTERS and (node.name not in _GROWING_FILTERS or _grows_once(node))
    if isinstance(node, nodes.Mod):  # of a loop's number: a text's would be formatting
        left = node.left
        return isinstance(left, nodes.Getattr) and _root(left) == "loop" and left.attr in ("index", "index0")
    return isinstance(node, (*_STATEMENTS, *_WHOLES, *_PARTS, *_SIGNS, *_GROWING))


def _grows_once(growing: nodes.Filter) -> bool:
    """Whether a filter that makes a text longer works on no other's, and JSON is indented little."""
    others = [node for node in growing.find_all(nodes.Filter) if node.name in _GROWING_FILTERS]
    if growing.name != "tojson":
        return not others
    values = [*growing.args, *(option.value for option in growing.kwargs)]
    return not others and all(
        isinstance(value, nodes.Const) and isinstance(value.value, int) and value.value <= _WIDEST_INDENT
        for value in values
    )


def _grows(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Add) and isinstance(node.right, nodes.Const):
        return not isinstance(node.right.value, int)  # a number can be added to numbers only
    if isinstance(node, nodes.List):
        return bool(node.items)
    return isinstance(node, _GROWING) or (isinstance(node, nodes.Filter) and node.name in _GROWING_FILTERS)


def _of_conversation(tree: nodes.Template) -> set[str]:
    """Names of variables that are always the messages or parts of them."""
    names = {name.name for loop in tree.find_all(nodes.For) for name in _names(loop.target)}
    values: dict[str, list[nodes.Node]] = {}
    for assign in tree.find_all(nodes.Assign):
        for name in _names(assign.target):
            values.setdefault(name.name, []).append(assign.node)
    names |= _GIVEN | set(values)
    while other := {name for name, assigned in values.items() if not all(_root(node) in names for node in assigned)}:
        if not other & names:
            break
        names -= other
    return names


def _names(target: nodes.Node) -> Iterable[nodes.Name]:
    return [node for node in _below(target) if isinstance(node, nodes.Name)]


def _root(node: nodes.Node) -> str | None:
    """The variable that an expression takes parts of; None where it is made otherwise."""
    while isinstance(node, (nodes.Getattr, nodes.Getitem, nodes.Filter)) and node.node is not None:
        node = node.node
    return node.name if isinstance(node, nodes.Name) else None


def _loops_are_short(inside: Iterable[nodes.Node], names: set[str], depth: int) -> bool:
    """Whether all loops run over parts of the conversation, and few within each other."""
    for node in inside:
        deeper = depth + isinstance(node, nodes.For)
        if isinstance(node, nodes.For) and (node.recursive or deeper > DEEPEST_LOOP or _root(node.iter) not in names):
            return False
        if not _loops_are_short(node.iter_child_nodes(), names, deeper):
            return False
    return True


def _below(node: nodes.Node) -> Iterable[nodes.Node]:
    """A node and all below it."""
    yield node
    for child in node.iter_child_nodes():
        yield from _below(child)
