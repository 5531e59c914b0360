"""Tasks of RULER's kinds and about made-up facts: the text has the evidence, and one answer follows from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from pasctl.errors import InputError
from pasctl.memory.tasks import FACTS, RULER, TASKS
from pasctl.memory.tasks.facts import PARAPHRASES, UNKNOWN
from pasctl.memory.tasks.filler import REFRAIN, TEMPLATES, WORDS
from pasctl.memory.tasks.ruler_needles import KINDS
from pasctl.memory.tasks.trial import Trial, exact_match, share_of_answers
from pasctl.memory.tasks.words import ADJECTIVES, NOUNS
from pasctl.memory.trial_plan import TrialPlan
from tests.memory.test_tasks import blocks, squeezed, words

NAMES = pytest.mark.parametrize("name", [*RULER, *FACTS])
COUNTING = ("common-words", "frequent-words")


def made(name: str, length: int = 1500, depth: float = 0.4, seed: int = 1) -> Trial:
    trial: Trial = TASKS.get(name)(length, depth, seed, words)
    return trial


def test_ruler_is_thirteen_tasks() -> None:
    assert len(set(RULER)) == 13
    assert TrialPlan(tasks=("ruler", "state", "niah-single-1")).tasks == (*RULER, "state")


@NAMES
def test_the_trial_is_a_function_of_its_arguments(name: str) -> None:
    trial = made(name)
    assert trial == made(name)
    assert (trial.task, trial.length, trial.depth, trial.seed) == (name, 1500, 0.4, 1)
    assert all(other.text != trial.text for other in (made(name, seed=3), made(name, depth=0.5), made(name, 1501)))


@NAMES
@pytest.mark.parametrize("count", [words, blocks, squeezed])
@pytest.mark.parametrize("length", [1200, 6000])
def test_the_text_is_as_long_as_wanted(name: str, length: int, count: Callable[[str], int]) -> None:
    size = count(TASKS.get(name)(length, 0.5, 0, count).text)
    assert length - max(0.03 * length, 60) <= size <= length


@NAMES
@pytest.mark.parametrize("depth", [0.0, 0.37, 1.0])
def test_the_evidence_is_once_in_the_text_around_its_depth(name: str, depth: float) -> None:
    trial = made(name, 6000, depth)
    for evidence in trial.evidence if name not in COUNTING else ():
        assert trial.text.count(evidence) == 1
        assert abs(trial.text.index(evidence) / len(trial.text) - depth) <= 0.33


@NAMES
@pytest.mark.parametrize("seed", range(6))
def test_without_the_evidence_there_is_no_answer(name: str, seed: int) -> None:
    trial = made(name, seed=seed)
    if trial.answers == (UNKNOWN,):
        assert UNKNOWN not in trial.text
        return
    assert exact_match(trial.text, trial)
    assert len(set(trial.answers)) == len(trial.answers)
    rest = trial.text
    for evidence in trial.evidence:
        rest = rest.replace(evidence, "")
    if name != "state":  # other things are carried to the same places
        assert not any(answer.lower() in rest.lower() for answer in trial.answers)
    assert share_of_answers(trial.question, trial) == 0.0


@NAMES
def test_what_cannot_be_made_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot hold"):
        made(name, 12)
    with pytest.raises(InputError, match="depth within"):
        made(name, depth=1.5)


@pytest.mark.parametrize("name", KINDS)
def test_needles_tell_each_value_of_each_key(name: str) -> None:
    trial, kind = made(name, 3000), KINDS[name]
    told = re.findall(r"A vault (?:number|identifier) of ([\w-]+) is ([\w-]+)\.", trial.text)
    counts = Counter(key for key, _ in told)
    assert len({value for _, value in told}) == len(told)
    assert set(counts.values()) == {kind.values}
    assert len(counts) > 20 if kind.between == "needles" else len(counts) == kind.keys
    asked = [key for key in counts if key in trial.question]
    assert len(asked) == kind.asked
    assert {value for key, value in told if key in asked} == set(trial.answers)
    shape = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" if kind.identifiers else r"\d{7}"
    assert all(re.fullmatch(shape, answer) for answer in trial.answers)


@pytest.mark.parametrize("length", [400, 2000, 8000])
@pytest.mark.parametrize("name", COUNTING)
def test_the_words_asked_for_are_the_most_frequent_by_far(name: str, length: int) -> None:
    trial = made(name, length)
    entries = [word for word in trial.text.split("\n\n", 1)[1].split() if word.isalpha()]
    counts = Counter(entries).most_common()
    n = len(trial.answers)
    assert {word for word, _ in counts[:n]} == set(trial.answers)
    assert counts[n - 1][1] >= (1.4 if name == "frequent-words" else 4) * counts[n][1]


def test_variables_of_one_value_are_asked_for() -> None:
    for seed in range(5):
        trial, values = made("variable-tracking", seed=seed), dict[str, str]()
        for name, source in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)\.", trial.text):
            values[name] = values[source] if source.isalpha() else source
        [asked] = re.findall(r"\d{5}", trial.question)
        assert {name for name, value in values.items() if value == asked} == set(trial.answers)
        assert len(set(values.values())) == 2


def test_the_answer_about_a_person_follows_from_the_paragraphs() -> None:
    for seed in range(6):
        for name in ("ruler-qa-1", "ruler-qa-2", "abstention"):
            trial = made(name, seed=seed)
            homes = dict(re.findall(r"(\w+ \w+), an? [^.]* lived in (\w+)\.", trial.text))
            teachers = dict(re.findall(r"(\w+ \w+) was a pupil of (\w+ \w+)\.", trial.text))
            [person] = [p for p in {*homes, *teachers.values()} if p in trial.question]
            person = teachers[person] if name == "ruler-qa-2" else person
            assert trial.answers == (homes.get(person, UNKNOWN),)
            assert (trial.answers == (UNKNOWN,)) == (name == "abstention" and seed % 2 == 0)


def test_no_question_shares_a_word_with_its_needle() -> None:
    for told, question in PARAPHRASES:
        shared = set(re.findall(r"\w+", told.lower())) & set(re.findall(r"\w+", question.lower()))
        assert not shared, (told, question)
    for seed in range(12):
        trial = made("no-overlap", seed=seed)
        needle, question = (set(re.findall(r"\w+", text.lower())) for text in (trial.evidence[0], trial.question))
        assert not needle & question


def test_the_last_statement_counts() -> None:
    for seed in range(6):
        trial = made("state", seed=seed)
        [thing] = re.findall(r"Where is the (\w+) at", trial.question)
        assert trial.answers == (re.findall(rf"took the {thing} to the (\w+)\.", trial.text)[-1],)
        trial = made("update", seed=seed)
        assert trial.answers == (re.findall(r"\d{5}", trial.text)[-1],)


def test_the_witness_who_was_right_is_believed() -> None:
    rights = set()
    for seed in range(12):
        trial = made("contradiction", seed=seed)
        said = dict(re.findall(r"(\w+) said that the \w+ was in the (\w+)\.", trial.text))
        [wrong] = re.findall(r"that (\w+) had been mistaken", trial.text)
        [right] = set(said) - {wrong}
        assert trial.answers == (said[right],)
        rights.add(list(said).index(right))
    assert rights == {0, 1}


def test_no_filler_holds_a_key() -> None:
    filler = " ".join([*TEMPLATES, *REFRAIN, *(word for group in WORDS.values() for word in group)]).lower()
    assert not [word for word in ("vault", UNKNOWN, "telephone", "mistaken") if word in filler]
    assert len(set(ADJECTIVES)) * len(set(NOUNS)) == len(ADJECTIVES) * len(NOUNS)
