"""Memory tasks: texts of the wanted length, with the answer where it should be and nowhere else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import islice

import pytest

from pasctl.errors import InputError, PasctlError
from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.filler import REFRAIN, TEMPLATES, WORDS, _largest, around, repetitive, varied, weave
from pasctl.memory.tasks.needle import CODE_WORDS, HOLDERS
from pasctl.memory.tasks.trial import Trial, exact_match, random_stream


def words(text: str) -> int:
    """A tokenizer whose counts add up."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def blocks(text: str) -> int:
    """One whose counts do not: a token each four characters begun, and one at the start."""
    return 1 + -(-len(text) // 4)


def squeezed(text: str) -> int:
    """One for which a long text takes a tenth less than the sum of its sentences."""
    return words(text) if len(text) < 400 else round(0.9 * words(text))


COUNTS = pytest.mark.parametrize("count", [words, blocks, squeezed])
NAMES = pytest.mark.parametrize("name", ["passkey", "passkey-varied", "needle", "keyvalue", "tracking"])


@NAMES
def test_the_trial_is_a_function_of_its_arguments(name: str) -> None:
    make = TASKS.get(name)
    trial = make(900, 0.3, 5, words)
    assert trial == make(900, 0.3, 5, words)
    assert (trial.task, trial.length, trial.depth, trial.seed) == (name, 900, 0.3, 5)
    others = [make(900, 0.3, 6, words), make(901, 0.3, 5, words), make(900, 0.4, 5, words)]
    assert all(other.answers != trial.answers for other in others)


def test_another_process_makes_the_same_trial() -> None:
    code = "from pasctl.memory.tasks.needle import make; print(make(2000, 0.5, 1, len).text, end='')"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert run.stdout == TASKS.get("needle")(2000, 0.5, 1, len).text


@COUNTS
@NAMES
@pytest.mark.parametrize("length", [400, 3000, 20_000])
def test_the_text_is_as_long_as_wanted(name: str, length: int, count: Callable[[str], int]) -> None:
    trial = TASKS.get(name)(length, 0.5, 0, count)
    longest = 30 if count is not blocks else 40  # one sentence
    assert length - max(0.02 * length, longest) <= count(trial.text) <= length


@COUNTS
@NAMES
@pytest.mark.parametrize("depth", [0.0, 0.37, 0.5, 1.0])
def test_the_evidence_is_at_its_depth(name: str, depth: float, count: Callable[[str], int]) -> None:
    trial = TASKS.get(name)(6000, depth, 3, count)
    allowed = {"needle": 0.05, "tracking": 0.1}.get(name, 0.0) + 0.02
    for evidence in trial.evidence:
        assert trial.text.count(evidence) == 1
        start = trial.text.index(evidence)
        assert abs(len(trial.text[:start]) / len(trial.text) - depth) <= allowed
        assert start == 0 or trial.text[:start].endswith((". ", "\n"))
    if depth == 0.0:
        assert trial.text.split("\n\n", 1)[1].startswith(trial.evidence[0])
    if depth == 1.0:
        assert trial.text.endswith(trial.evidence[-1])


@NAMES
@pytest.mark.parametrize("seed", range(8))
def test_without_the_evidence_there_is_no_answer(name: str, seed: int) -> None:
    trial = TASKS.get(name)(2500, 0.6, seed, words)
    assert exact_match(trial.text, trial)
    rest = trial.text
    for evidence in trial.evidence:
        rest = rest.replace(evidence, "")
    assert not any(answer.lower() in rest.lower() for answer in trial.answers)
    assert not any(answer in trial.question for answer in trial.answers)


@NAMES
def test_long_texts_are_counted_a_few_times_only(name: str) -> None:
    calls: list[str] = []

    def count(text: str) -> int:
        calls.append(text)
        return squeezed(text)

    trial = TASKS.get(name)(30_000, 0.5, 0, count)
    long = [text for text in calls if len(text) > 1000]
    assert len(long) <= 2 * len(trial.text).bit_length()
    short = [text for text in calls if len(text) <= 1000]
    assert len(short) - len(set(short)) <= 2  # a sentence is counted once


def test_a_chain_of_variables_leads_to_the_answer() -> None:
    trial = TASKS.get("tracking")(3000, 0.8, 2, words)
    values: dict[str, str] = {}
    for name, source in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)\.", trial.text):  # in the order of the text
        assert name not in values
        values[name] = values[source] if source.isalpha() else source
    assert trial.answers == (values[trial.question.removesuffix("?").split()[-1]],)
    assert len(set(values.values())) == 3


def test_keys_and_values_are_told_once() -> None:
    _, lines = TASKS.get("keyvalue")(20_000, 0.5, 0, words).text.split("\n\n")
    found = re.findall(r"\w+", lines)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("length", [400, 3000])
@pytest.mark.parametrize("depth", [0.0, 0.4, 1.0])
def test_a_scene_is_told_by_its_name_alone(length: int, depth: float) -> None:
    trial = TASKS.get("scenes")(length, depth, 4, words)
    assert trial == TASKS.get("scenes")(length, depth, 4, words)
    assert length - 40 <= words(trial.text) <= length
    told = re.findall(r"(\w+) stood [^.]+\. \1 sold ([^.]+?) to (the \w+)\. (The \w+) gave \1 the \w+\.", trial.text)
    names = [name for name, *_ in told]
    assert len(names) == len(set(names)) == trial.text.count(" sold ")
    assert all(folk == again.lower() for _, _, folk, again in told)
    assert {name: goods for name, goods, *_ in told}[trial.question.split()[2]] == trial.answers[0]
    assert abs(trial.text.index(trial.evidence[0]) / len(trial.text) - depth) <= 60 / length + 0.1


def test_varied_prose_hardly_repeats_and_holds_no_digit() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 60
    sentences = list(islice(varied(random_stream("filler", 1, 0.0, 0)), 3000))
    text = " ".join(sentences)
    assert words(text) > 32_000
    assert len(set(sentences)) >= 0.995 * len(sentences)
    assert not re.search(r"[\d{}]", text)
    assert all(sentence[0].isupper() and sentence.count(".") == 1 for sentence in sentences)


def test_no_filler_holds_a_needle() -> None:
    filler = " ".join([*TEMPLATES, *REFRAIN, *(word for group in WORDS.values() for word in group)]).lower()
    for needle in [*CODE_WORDS, *HOLDERS, "code word", "pass key", "var "]:
        assert needle not in filler
    assert len(set(CODE_WORDS)) == len(CODE_WORDS)


def test_repetitive_filler_goes_round() -> None:
    sentences = list(islice(repetitive(random_stream("filler", 1, 0.0, 0)), 2 * len(REFRAIN)))
    assert set(sentences[: len(REFRAIN)]) == set(REFRAIN)
    assert sentences[: len(REFRAIN)] == sentences[len(REFRAIN) :]


def test_depths_around_one_stay_inside() -> None:
    assert around(0.3, 1, 0.1) == [0.3]
    assert around(0.5, 3, 0.2) == pytest.approx([0.4, 0.5, 0.6])
    assert around(0.0, 2, 0.1) == pytest.approx([0.0, 0.1])
    assert around(1.0, 2, 0.1) == pytest.approx([0.9, 1.0])


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
@pytest.mark.parametrize("guess", [0, 1, 7, 8, 60, 500])
def test_the_search_finds_the_limit_from_any_guess(limit: int, guess: int) -> None:
    assert _largest(guess, lambda n: n <= limit) == limit


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="cannot hold its facts"):
        weave(3, [(0.5, "The pass key is lost.")], repetitive(random_stream("filler", 1, 0.0, 0)), words)
    for length, depth in [(500, -0.1), (500, 1.1), (500, float("nan")), (0, 0.5)]:
        with pytest.raises(InputError, match="depth within"):
            TASKS.get("passkey")(length, depth, 0, words)
    with pytest.raises(PasctlError, match="evidence"):
        Trial("passkey", 10, 0.5, 0, "text", "question?", ("12345",), ("not there",))
    with pytest.raises(PasctlError, match="answers"):
        Trial("passkey", 10, 0.5, 0, "text", "question?", (), ("text",))


def test_an_unknown_task_gets_near_names() -> None:
    with pytest.raises(InputError, match="unknown memory task 'paskey'") as caught:
        TASKS.get("paskey")
    assert "did you mean passkey" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("answers", "reply", "right"),
    [
        (("12345",), "12345", True),
        (("12345",), "The pass key is **12345**.", True),
        (("12345",), "_12345_, I think", True),
        (("12345",), "密码是12345。", True),
        (("12345",), "密码是12345没错", True),
        (("12345",), "not 123456 but 12345", True),
        (("12345",), "123456", False),
        (("12345",), "912345", False),
        (("12345",), "12345.6", False),
        (("12345",), "12,345", False),
        (("12345",), "12345,678", False),
        (("12345",), "A12345", False),
        (("12345",), "1 2 3 4 5", False),
        (("12345",), "", False),
        (("coral", "topaz"), "Topaz and Coral.", True),
        (("coral", "topaz"), "coral", False),
        (("coral",), "corals", False),
        (("coral",), "coralé", False),
        (("a.c",), "abc", False),
    ],
)
def test_exact_match(answers: tuple[str, ...], reply: str, right: bool) -> None:
    trial = Trial("passkey", 10, 0.5, 0, "text", "question?", answers, ("text",))
    assert exact_match(reply, trial) is right
