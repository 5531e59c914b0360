"""Answers with a form: what is written has it, and is what the model prefers among all texts that have it.

They need llguidance, which `make test-structured` installs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from pasctl.errors import InputError, PasctlError
from pasctl.generation import grammars, loop
from pasctl.generation.engine import Engine
from pasctl.generation.grammars import grammars_of
from pasctl.generation.likelihoods import token_likelihoods
from pasctl.generation.loop import generate
from pasctl.generation.matcher import StructuredText
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.generation.structure import Structure
from pasctl.generation.token_rules import TokenRules
from pasctl.models.load import LoadedModel
from pasctl.models.token_bytes import TokenBytes
from pasctl.steering import Intervention, steer
from tests.generation.test_engine import mixed, persona
from tests.memory.test_exactness import text_ids
from tests.models.test_token_bytes import pieces
from tests.tiny import tiny_loaded, tiny_model

pytest.importorskip("llguidance")

ROOM = 160
GREEDY = SamplingParams(max_new_tokens=ROOM)
NAME = {"type": "string", "minLength": 1, "maxLength": 6}
SCHEMAS: dict[str, Any] = {
    "object": {
        "type": "object",
        "properties": {"name": NAME, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "optional": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}, "c": {"const": 7}},
        "additionalProperties": False,
    },
    "map": {"type": "object", "additionalProperties": {"enum": [1, 2]}, "maxProperties": 1},
    "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    "pair": {"type": "array", "prefixItems": [NAME, {"type": "boolean"}], "items": False, "minItems": 2},
    "number": {"type": "number", "minimum": -3.5, "exclusiveMaximum": 3},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 700},
    "enum": {"enum": ["Größe 🙂", 3, None, [1, {"a": "b"}], 'a "quote"', "line\nend"]},
    "pattern": {"type": "string", "pattern": "^[A-C]{2,4}-[0-9]+$", "maxLength": 8},
    "date": {"type": "string", "format": "date"},
    "uuid": {"type": "string", "format": "uuid"},
    "any of": {"anyOf": [{"type": "boolean"}, {"type": "array", "maxItems": 0}, {"const": "x"}]},
    "all of": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]},
    "tree": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"left": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                "required": ["left"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    "whatever": True,
}
REGEXES = [
    r"[a-c]{3,5}-[0-9]{2}",
    r"(yes|no)( maybe)?",
    r"^(\+[0-9]{2} )?[0-9]{3}/[0-9]{1,4}$",
    r"[^aeiou\n]{4,9}",
    r"(?i:hello), [A-Z][a-z]{1,8}!?",
    r"a/b\$",
    r"(\[\]|\(\)|\{\}){1,4}",
    r"[ä-ü🙂]{1,3}x?",
]
CHOICES = ["yes", "no", "no idea", "A", " spaced", "Größe 🙂", "line\nend", 'q"uo\\te/', "worry", "worry about things"]


@pytest.fixture(scope="module", params=["bytes", "pieces"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    """A random model: its tokenizer is byte-level, or like SentencePiece's, which leaves out a text's first space."""
    return tiny_loaded() if request.param == "bytes" else LoadedModel.wrap(tiny_model("llama"), pieces())


def asked(
    structure: Structure | None, *, how: SamplingParams = GREEDY, seed: int = 0, rules: TokenRules | None = None
) -> Request:
    """A request with the prompt of a number."""
    rules = TokenRules() if rules is None else rules
    return Request(
        [token % 200 + 20 for token in text_ids(9, seed=seed)], how, rules=replace(rules, structure=structure)
    )


def sampled(structure: Structure, count: int) -> list[Request]:
    """Requests that differ by prompt, seed and temperature."""
    hot = [replace(GREEDY, temperature=0.6 + 0.2 * (n % 4), seed=n) for n in range(count)]
    return [asked(structure, how=how, seed=n) for n, how in enumerate(hot)]


def ended(streams: Sequence[Stream], least: float) -> list[str]:
    """The texts that came to their end, which must be a share of all."""
    assert {stream.finish_reason for stream in streams} <= {"stop", "length"}
    texts = [stream.written for stream in streams if stream.finish_reason == "stop"]
    assert len(texts) >= least * len(streams)
    return texts


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_answer_is_json_that_the_schema_allows(model: LoadedModel, name: str) -> None:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")  # schemathesis brings it
    validator = jsonschema_rs.validator_for(SCHEMAS[name], validate_formats=True)
    streams = generate(model, sampled(Structure.json_schema(SCHEMAS[name]), 8))
    texts = ended(streams, 0.2 if name in ("tree", "whatever") else 0.7)
    for text in texts:
        validator.validate(json.loads(text))
    assert len(set(texts)) > 1


def test_properties_come_in_the_order_of_the_schema(model: LoadedModel) -> None:
    for names in (["b", "a", "c"], ["c", "b", "a"]):
        schema = {
            "type": "object",
            "properties": {each: {"type": "boolean"} for each in names},
            "required": names,
            "additionalProperties": False,
        }
        for text in ended(generate(model, sampled(Structure.json_schema(json.dumps(schema)), 4)), 0.5):
            assert list(json.loads(text)) == names


def test_json_mode_is_an_object(model: LoadedModel) -> None:
    # an end that is likely wherever it may come, and short strings
    rules = TokenRules(logit_bias=tuple((token, 60.0) for token in spelled(model, b"}") | spelled(model, b"{")))
    requests = [
        replace(each, rules=replace(rules, structure=Structure.json_object()))
        for each in sampled(Structure.json_object(), 8)
    ]
    for text in ended(generate(model, requests), 0.9):
        assert isinstance(json.loads(text), dict)


def spelled(model: LoadedModel, text: bytes) -> set[int]:
    """Tokens that are some bytes."""
    return {token for token, own in enumerate(grammars_of(model).bytes_of) if own == text}


@pytest.mark.parametrize("pattern", REGEXES)
def test_an_answer_matches_the_expression_as_a_whole(model: LoadedModel, pattern: str) -> None:
    texts = ended(generate(model, sampled(Structure.regex(pattern), 8)), 0.9)
    for text in texts:
        assert re.fullmatch(pattern, text), text


def test_an_answer_is_one_of_the_choices(model: LoadedModel) -> None:
    texts = ended(generate(model, sampled(Structure.choice(CHOICES), 24)), 1)
    assert set(texts) <= set(CHOICES)
    assert len(set(texts)) > 3


GRAMMARS = {
    "lark": """start: sum
        sum: NUMBER ("+" NUMBER)~1..3
        NUMBER: /[1-9][0-9]{0,2}/""",
    "gbnf": """root ::= number ("+" number){1,3}
        number ::= [1-9] [0-9]{0,2}""",
}


@pytest.mark.parametrize("syntax", GRAMMARS)
def test_an_answer_is_a_sentence_of_the_grammar(model: LoadedModel, syntax: str) -> None:
    texts = ended(generate(model, sampled(Structure.grammar(GRAMMARS[syntax]), 8)), 0.9)
    for text in texts:
        assert re.fullmatch(r"[1-9][0-9]{0,2}(\+[1-9][0-9]{0,2}){1,3}", text)


def by_force(
    model: LoadedModel, prompt: Sequence[int], texts: Collection[str], shift: Intervention | None
) -> list[int]:
    """The likeliest tokens one after the other, of all that are the beginning of one of some texts: an argmax loop."""
    bytes_of, ends, written = TokenBytes(model.tokenizer), loop.end_tokens(model), list[int]()
    dropped = bytes_of.first(spaced) != bytes_of(spaced) if (spaced := a_spaced_token(bytes_of, model)) else False
    wanted = [(b" " if dropped else b"") + text.encode() for text in texts]
    said = b""
    while True:
        with torch.inference_mode(), steer(model, shift):
            logits = model.model(torch.tensor([[*prompt, *written]], device=model.device)).logits[0, -1]
        allowed = [
            token
            for token in range(len(model.tokenizer))
            if token not in bytes_of.special and any(text.startswith(said + bytes_of(token)) for text in wanted)
        ]
        if not allowed:
            return written
        allowed += sorted(ends) if said in wanted else []
        token = max(allowed, key=lambda each: float(logits[each]))
        if token in ends:
            return written
        written.append(token)
        said += bytes_of(token)


def a_spaced_token(bytes_of: TokenBytes, model: LoadedModel) -> int:
    return next(
        token
        for token in range(len(model.tokenizer))
        if token not in bytes_of.special and bytes_of(token).startswith(b" ") and bytes_of(token).strip()
    )


@pytest.mark.parametrize("steered", [False, True])
def test_a_greedy_answer_takes_the_likeliest_of_all_tokens_that_may_come(model: LoadedModel, steered: bool) -> None:
    values = ["ab", 3, None, True, "I worry"]
    finite = {
        Structure.choice(CHOICES): CHOICES,
        Structure.regex("(wo|I)(rr)?y{0,2}"): [
            a + b + c for a in ("wo", "I") for b in ("", "rr") for c in ("", "y", "yy")
        ],
        Structure.json_schema({"enum": values}): [json.dumps(value) for value in values],
    }
    shift = persona(3) if steered else None
    requests = [replace(asked(each, seed=n), intervention=shift) for each in finite for n in range(4)]
    expected = [by_force(model, each.prompt, finite[each.rules.structure], shift) for each in requests]
    streams = generate(model, requests)
    assert [stream.tokens for stream in streams] == expected
    assert {stream.finish_reason for stream in streams} == {"stop"}
    plain = generate(model, [replace(each, intervention=None) for each in requests])
    assert ([stream.tokens for stream in plain] == expected) is not steered


def test_others_in_the_batch_are_written_as_without_it() -> None:
    model = tiny_loaded()
    forms = [Structure.json_schema(SCHEMAS["object"]), Structure.choice(CHOICES), Structure.regex(REGEXES[0])]
    free = [
        replace(each, how=replace(each.how, temperature=1.1, seed=n), logprobs=2) for n, each in enumerate(mixed(10))
    ]
    formed = [
        replace(each, how=replace(GREEDY, temperature=0.9, seed=n), rules=TokenRules(structure=forms[n % 3]))
        for n, each in enumerate(mixed(10))
    ]
    alone = generate(model, free)
    turns = [each for pair in zip(free, formed, strict=True) for each in pair]
    together = generate(model, turns)
    assert [stream.tokens for stream in together[::2]] == [stream.tokens for stream in alone]
    assert [stream.tokens for stream in together[1::2]] == [generate(model, [each])[0].tokens for each in formed]


def test_an_engine_streams_the_same_text_and_keeps_its_beginning() -> None:
    model = tiny_loaded()
    request = replace(asked(Structure.json_schema(SCHEMAS["object"])), prompt=text_ids(60))
    [expected] = generate(model, [request])
    with Engine(model) as engine:
        first = engine.submit(request)
        pieces_of_text = list(first)
        again = engine.submit(request)
        assert "".join(pieces_of_text) == again.text() == expected.written
        assert (len(pieces_of_text) > 3, again.cached_tokens) == (True, 59)
        following = engine.submit(replace(request, prompt=[*request.prompt, *first.tokens, 40, 41]))
        following.text()
        # all of the answer but the token that ended it was read, and is kept
        assert following.cached_tokens == 60 + len(first.tokens) - 1


def test_an_answer_that_is_cut_says_so(model: LoadedModel) -> None:
    [stream] = generate(model, [asked(Structure.regex("[a-z]{50}"), how=SamplingParams(max_new_tokens=5))])
    assert (stream.finish_reason, len(stream.tokens)) == ("length", 5)
    # the last token that there is room for may complete it
    [whole] = generate(model, [asked(Structure.regex("[a-z]{50}"))])
    room = SamplingParams(max_new_tokens=len(whole.tokens))
    [fits] = generate(model, [asked(Structure.regex("[a-z]{50}"), how=room)])
    assert (whole.finish_reason, fits.finish_reason, fits.tokens) == ("stop", "stop", whole.tokens)


def test_special_tokens_are_no_text(model: LoadedModel) -> None:
    special = sorted(TokenBytes(model.tokenizer).special)
    ends = loop.end_tokens(model)
    rules = TokenRules(logit_bias=tuple((token, 100.0) for token in special if token not in ends))
    name = model.tokenizer.convert_ids_to_tokens(special[0])
    forms = [
        Structure.choice([name]),
        Structure.regex(r"(?s:.){6}"),
        Structure.grammar(f'start: <[{special[-1]}]> "a"'),
    ]
    for form in forms[:2]:
        [stream] = generate(model, [asked(form, rules=rules)])
        assert stream.finish_reason == "stop"
        assert not set(special) & set(stream.tokens)
        assert len(stream.written) in (6, len(name))
    with pytest.raises(PasctlError, match="no token of the model goes on"):
        generate(model, [asked(forms[2], rules=rules)])


def test_tokens_that_end_an_answer_come_where_it_is_complete_and_nowhere_else(model: LoadedModel) -> None:
    form, ends = Structure.regex("[a-z]{3,30}"), loop.end_tokens(model)
    eager = tuple((token, 100.0) for token in ends)
    [free] = generate(model, [asked(form)])
    short, on, listed = generate(
        model,
        [
            asked(form, rules=TokenRules(logit_bias=eager)),
            asked(form, rules=TokenRules(logit_bias=eager, ignore_eos=True)),
            # an ordinary token that is listed as one that ends the answer
            asked(form, rules=TokenRules(stop_token_ids=frozenset(free.tokens[:1]), ignore_eos=True)),
        ],
    )
    assert {stream.finish_reason for stream in (short, on, listed)} == {"stop"}
    assert len(short.written) < 30 == len(on.written)
    assert free.tokens[0] not in listed.tokens
    assert all(re.fullmatch("[a-z]{3,30}", stream.written) for stream in (short, on, listed))


def test_other_rules_choose_among_what_may_come(model: LoadedModel) -> None:
    form = Structure.choice(CHOICES)
    [greedy, first, biased] = generate(
        model,
        [
            asked(form),
            asked(form, how=replace(GREEDY, temperature=1.5, seed=5), rules=TokenRules(top_k=1)),
            asked(form, rules=TokenRules(logit_bias=tuple((token, 90.0) for token in spelled(model, b"A")))),
        ],
    )
    assert first.tokens == greedy.tokens
    if not a_dropped_space(model):
        assert biased.written == "A"


def a_dropped_space(model: LoadedModel) -> bool:
    bytes_of = TokenBytes(model.tokenizer)
    token = a_spaced_token(bytes_of, model)
    return bytes_of.first(token) != bytes_of(token)


def test_log_probabilities_are_those_of_the_free_model(model: LoadedModel) -> None:
    [stream] = generate(model, [replace(asked(Structure.choice(CHOICES)), logprobs=3)])
    prompt = asked(None).prompt
    for place, (token, found) in enumerate(zip(stream.tokens, stream.likelihoods, strict=False)):
        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *stream.tokens[:place]]], device=model.device)
            logits = model.model(ids).logits[0, -1:].float()
        [expected] = token_likelihoods(logits, [token], 3)
        assert found.logprob == pytest.approx(expected.logprob, abs=1e-4)
        assert [each for each, _ in found.top] == [each for each, _ in expected.top]


def test_what_may_come_is_computed_once_per_token(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[StructuredText] = []
    begin = StructuredText.__init__

    def noted(self: StructuredText, *given: Any, **more: Any) -> None:
        made.append(self)
        begin(self, *given, **more)

    monkeypatch.setattr(StructuredText, "__init__", noted)
    streams = generate(model, sampled(Structure.json_schema(SCHEMAS["list"]), 4))
    assert {stream.finish_reason for stream in streams} == {"stop"}
    assert [each.masks for each in made] == [len(stream.tokens) for stream in streams]


def test_a_vocabulary_is_read_once(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read = grammars_of(model)
    monkeypatch.setattr(grammars, "TokenBytes", None)
    generate(model, [asked(Structure.choice(["a"])), asked(Structure.choice(["b"]))])
    assert grammars_of(model) is read


TRIGGER = "//"


def likely(model: LoadedModel) -> TokenRules:
    """Rules under which a random model soon writes it."""
    return TokenRules(logit_bias=tuple((token, 7.0) for token in set(model.tokenizer(TRIGGER)["input_ids"])))


def after(structure: Callable[..., Structure], *given: Any, **more: Any) -> Structure:
    return structure(*given, after=TRIGGER, **more)


def test_a_structure_may_begin_after_a_text() -> None:
    model = tiny_loaded()
    bias = likely(model)
    hot = [replace(GREEDY, temperature=1.0, seed=n) for n in range(12)]
    forms = [
        after(Structure.choice, CHOICES),
        after(Structure.json_schema, {"type": "array", "maxItems": 0}, spaced=True),
        after(Structure.regex, "[a-c]{3}", spaced=True),
        after(Structure.grammar, 'start: "x" "y"', spaced=True),
    ]
    for form, wanted in zip(forms, ["|".join(map(re.escape, CHOICES)), r"\[\s*\]", "[a-c]{3}", "xy"], strict=True):
        streams = generate(model, [asked(form, how=how, seed=n, rules=bias) for n, how in enumerate(hot)])
        for text in ended(streams, 0.5):
            _, trigger, rest = text.partition(TRIGGER)
            assert trigger
            assert re.fullmatch(wanted if not form.spaced else rf"[ \n]{{0,8}}({wanted})", rest), text


def test_before_a_structure_text_is_as_free_as_without_one() -> None:
    model = tiny_loaded()
    assert not any(grammars_of(model).beyond(TRIGGER.encode()))  # no token has more than the trigger's end
    hot = [replace(GREEDY, temperature=1.0, seed=n) for n in range(12)]
    form, bias = after(Structure.choice, CHOICES, required=False), likely(model)
    formed, free = (
        generate(model, [asked(each, how=how, seed=n, rules=bias) for n, how in enumerate(hot)])
        for each in (form, None)
    )
    for stream, other in zip(formed, free, strict=True):
        before, trigger, rest = stream.written.partition(TRIGGER)
        assert other.written.startswith(before + trigger)
        assert not trigger or rest in CHOICES
    assert sum(TRIGGER in stream.written[1:] for stream in formed) > 4


def test_an_answer_ends_before_a_structure_only_if_it_may() -> None:
    model = tiny_loaded()
    eager = TokenRules(logit_bias=tuple((token, 100.0) for token in loop.end_tokens(model)))
    must, may = after(Structure.choice, ["a"]), after(Structure.choice, ["a"], required=False)
    [bound, free] = generate(
        model, [asked(form, how=replace(GREEDY, max_new_tokens=9), rules=eager) for form in (must, may)]
    )
    assert (bound.finish_reason, len(bound.tokens)) == ("length", 9)
    assert (free.finish_reason, free.tokens) == ("stop", [])


def test_text_is_free_again_after_a_structure() -> None:
    model = tiny_loaded()
    bias = likely(model)
    form = after(Structure.regex, "[0-9]{2};", again=True, required=False)
    texts = [
        stream.written
        for stream in generate(
            model, [asked(form, how=replace(GREEDY, temperature=1.0, seed=n), rules=bias) for n in range(8)]
        )
    ]
    parts = [part for text in texts for part in text.split(TRIGGER)[1:]]
    assert len(parts) > len(texts)
    for part in parts:
        assert re.match("[0-9]{2};", part) or re.fullmatch("[0-9]{0,2}", part), part  # the last may be cut
    assert any(len(part) > 3 for part in parts)


def test_a_stop_string_counts_before_a_structure_and_not_in_it() -> None:
    model = tiny_loaded()
    bias = likely(model)
    form = after(Structure.regex, "stop[0-9]")
    requests = [asked(form, how=replace(GREEDY, temperature=1.0, seed=n), rules=bias) for n in range(8)]
    request, plain = max(zip(requests, generate(model, requests), strict=True), key=lambda pair: len(pair[1].written))
    free, _, rest = plain.written.partition(TRIGGER)
    assert re.fullmatch("stop[0-9]", rest)
    assert len(free) > 2
    [same, cut] = generate(model, [replace(request, stop=("stop",)), replace(request, stop=(free[1:3],))])
    assert same.written == plain.written
    assert cut.written == free[: free.find(free[1:3])]


def test_no_token_goes_over_the_beginning_of_a_structure() -> None:
    model = tiny_loaded()
    known = grammars_of(model)
    trigger = b"rr"
    text = StructuredText(known, Structure.choice(["y"], after="rr"), usual=[], ends=set())
    logits = torch.zeros(1, model.vocabulary)
    for written in (b"", b"r", b"wor"):
        text._tail = written[-2:]
        allowed = text(logits)
        assert allowed is not None
        for token, own in enumerate(known.bytes_of):
            over = (written + own).find(trigger)
            goes_over = 0 <= over < len(written + own) - len(trigger)
            assert bool(allowed[0, token] == -torch.inf) == goes_over, own


@pytest.mark.parametrize(
    ("structure", "told"),
    [
        (lambda: Structure.json_schema({"type": "nonsense"}), "the JSON schema cannot be used: Invalid type: nonsense"),
        (lambda: Structure.json_schema({"not": {}}), r'Unimplemented keys: \["not"\]'),
        (lambda: Structure.json_schema({"$ref": "http://127.0.0.1/x"}), "does not fetch"),
        (lambda: Structure.json_schema({"$ref": "#/$defs/none"}), "the JSON schema cannot be used"),
        (lambda: Structure.json_schema({"enum": []}), "Unsatisfiable"),
        (lambda: Structure.json_schema(False), "Unsatisfiable"),
        (lambda: Structure.json_schema("{"), "the JSON schema is no JSON"),
        (lambda: Structure.json_schema("[]"), "is a list, expected an object"),
        (lambda: Structure.json_schema({"const": float("nan")}), "cannot be written as JSON"),
        (lambda: Structure.json_schema(nested(100)), "nested more than 64 deep"),
        (lambda: Structure.regex("(a"), "the regular expression cannot be used: .*unclosed group"),
        (lambda: Structure.regex("(?=a)b"), "look-ahead"),
        (lambda: Structure.regex(r"[^\s\S]"), "no text has this structure"),
        (lambda: Structure.regex(""), "is empty"),
        (lambda: Structure.regex("\ud800"), "half of a character"),
        (lambda: Structure.regex("a" * 20_000), "has 20000 bytes, expected at most 16384"),
        (lambda: Structure.choice([]), "one or more choices"),
        (lambda: Structure.choice("ab"), "one or more choices"),
        (lambda: Structure.choice(["a", ""]), "one or more choices"),
        (lambda: Structure.grammar("start: nothing"), 'the grammar cannot be used: unknown name: "nothing"'),
        (lambda: Structure.grammar("hello"), "the grammar cannot be used: Expected ::="),
        (lambda: Structure.grammar("root ::= " + "(" * 9000), "the grammar cannot be used"),
        (lambda: Structure.grammar("start: " + "(" * 9000), "too deeply nested"),
        (lambda: Structure.regex("a", again=True), "begins at once"),
        (lambda: Structure("nothing", "a"), "expected one of json_schema, regex, choice, grammar"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_structure_is_refused_in_one_line(structure: Callable[[], Structure], told: str) -> None:
    model = tiny_loaded()
    with pytest.raises(InputError, match=told) as refused:
        generate(model, [asked(structure())])
    assert len(refused.value.message) < 400
    assert "\n" not in refused.value.message


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def test_long_chains_of_references_do_not_use_up_the_stack() -> None:
    model = tiny_loaded()
    links = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(6000)} | {"a6000": {"const": "end"}}
    rules = "\n".join(f"r{n}: r{n + 1}" for n in range(1100))
    forms = [
        Structure.json_schema({"$defs": links, "$ref": "#/$defs/a0"}),
        Structure.grammar(f'start: r0\n{rules}\nr1100: "end"'),
    ]
    assert [stream.written for stream in generate(model, [asked(each) for each in forms])] == ['"end"', "end"]


def test_rules_that_contradict_a_structure_are_refused() -> None:
    model, form = tiny_loaded(), Structure.choice(["a"])
    with pytest.raises(InputError, match="min_tokens is given with a structure"):
        TokenRules(min_tokens=1, structure=form)
    with pytest.raises(InputError, match="a stop string could cut"):
        generate(model, [replace(asked(form), stop=("x",))])


def test_where_nothing_has_a_probability_the_text_fails_and_no_other() -> None:
    model = tiny_loaded()
    text = StructuredText(grammars_of(model), Structure.choice(["a"]), usual=[], ends=set())
    for value in (-torch.inf, torch.nan):
        with pytest.raises(PasctlError, match="has a probability"):
            text(torch.full((1, model.vocabulary), value))
    special = sorted(TokenBytes(model.tokenizer).special)[-1]
    with Engine(model) as engine:
        lost, kept = engine.submit_all(
            [asked(Structure.grammar(f"start: <[{special}]>")), asked(Structure.choice(["a"]))]
        )
        assert kept.text() == "a"
        with pytest.raises(PasctlError, match="no token of the model"):
            lost.text()
