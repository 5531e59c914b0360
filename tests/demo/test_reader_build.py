"""The reader's builder: its tokenizer, what it is trained on, and its losses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.trial import exact_match
from tests.demo.builder.model import empty_model
from tests.demo.builder.reader.batches import Mixture, collate, make_batch
from tests.demo.builder.reader.documents import Writer
from tests.demo.builder.reader.model import Forward, reader_config, reading_loss, retrieval_loss
from tests.demo.builder.reader.questions import questions
from tests.demo.builder.reader.tokenizer import ASSISTANT, READ, Encoder, train_tokenizer
from tests.demo.builder.reader.training import LOG

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return empty_model(reader_config(tokenizer, hidden=64, layers=2))


@pytest.mark.parametrize("task", READ)
def test_pieces_are_encoded_as_the_tokenizer_encodes_the_text(tokenizer, task):
    encoder = Encoder(tokenizer)
    for seed in range(3):
        trial = TASKS.get(task)(400, 0.5, seed, encoder.count)
        for text in (trial.text, f"\n\n{trial.question}", trial.answers[0]):
            ids, starts = encoder.encode(text)
            assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids) == text
            assert starts == sorted(starts)


def test_made_up_words_are_the_same_tokens_wherever_they_stand(tokenizer):
    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for word in ("tavori", "Tavori", "48210", "QXBE"):
        assert encode(f"is {word}.")[-len(encode(word)) - 1 : -1] == encode(word)
    assert len(encode("tavori")) == 3


@pytest.mark.parametrize("task", READ)
def test_every_question_is_answered_by_its_evidence(tokenizer, task):
    trial = TASKS.get(task)(600, 0.5, 3, Encoder(tokenizer).count)
    asked = questions(trial)
    assert asked[0].text == trial.question
    assert exact_match(asked[0].answer, trial)
    assert len({question.text for question in asked}) == len(asked)
    for question in asked:
        told = " ".join(trial.text[first:stop] for first, stop in question.evidence)
        assert all(part in told for part in question.answer.split(", "))


@pytest.mark.parametrize("task", READ)
@pytest.mark.parametrize("packed", [False, True])
def test_a_document_holds_what_its_questions_need(tokenizer, task, packed):
    writer = Writer(tokenizer, np.random.default_rng(0))
    documents = [d for d in (writer.trial(task, 256, packed=packed) for _ in range(20)) if d is not None]
    assert documents
    for document in documents:
        assert len(document.ids) == len(document.weight) <= 256
        text = tokenizer.decode(document.ids[1 : document.text])
        for first, stop in document.answers:
            answer = tokenizer.decode(document.ids[first : stop - 1])
            assert all(part in text for part in answer.split(", "))
            assert document.ids[first - 1] == tokenizer.convert_tokens_to_ids(ASSISTANT)
        for first, stop in document.sought:
            assert 0 < first < stop <= document.text


def test_a_seed_gives_the_same_batch(tokenizer):
    mixture = Mixture({"keyvalue": 0.5, "tracking": 0.5}, (128,))
    first, second = (make_batch(tokenizer, mixture, (0, 1), 1024) for _ in range(2))
    other = make_batch(tokenizer, mixture, (0, 2), 1024)
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.sought, second.sought)
    assert not torch.equal(first.ids, other.ids)


def test_the_blocks_sought_hold_the_evidence(tokenizer):
    writer = Writer(tokenizer, np.random.default_rng(1))
    documents = [d for d in (writer.trial("keyvalue", 128, packed=True) for _ in range(8)) if d is not None]
    batch = collate(documents, 128, np.random.default_rng(2))
    for row, document in enumerate(documents):
        blocks = batch.sought[row].nonzero()[:, 0].tolist()
        places = {batch.offset + batch.block * block + step for block in blocks for step in range(batch.block)}
        told = {place for first, stop in document.sought for place in range(first, stop)}
        assert not blocks or places & told
        assert not (batch.sought[row] & ~batch.there[row]).any()
    assert batch.sought.any(1).float().mean() > 0.5


def test_runs_are_told_over_and_over(tokenizer):
    writer = Writer(tokenizer, np.random.default_rng(3))
    for _ in range(10):
        document = writer.repeats(96)
        assert len(document.ids) == len(document.weight) <= 96
        for first, stop in document.answers:
            run = document.ids[first - 1 : stop]
            assert any(document.ids[place : place + len(run)] == run for place in range(1, first - 1))
        counted = {place for place, weight in enumerate(document.weight) if weight}
        assert counted == {place for span in document.answers for place in range(*span)}


def test_a_question_sees_other_blocks_in_each_layer_of_packed_rows_alone(tokenizer, model):
    writer = Writer(tokenizer, np.random.default_rng(1))
    documents = [d for d in (writer.trial("keyvalue", 128, packed=True) for _ in range(8)) if d is not None]
    documents.append(writer.pairs(128))
    batch = collate(documents, 128, np.random.default_rng(2))
    assert not batch.late[-1].any()
    assert not batch.unseen[:, -1].any()
    first = documents[0].text
    assert batch.late[0, first:].all()
    assert not batch.late[0, :first].any()
    assert not batch.unseen[:, 0, first:].any()
    assert not torch.equal(batch.unseen[1], batch.unseen[2])
    # A token that late ones see in no layer, nor what comes between, changes nothing in them.
    other, unseen, forward = batch.ids.clone(), torch.zeros(2, *batch.ids.shape, dtype=torch.bool), Forward(model)
    other[0, 29] = 5 if other[0, 29] != 5 else 6
    unseen[:, 0, 20:first] = True
    with torch.no_grad():
        one, two = (forward(ids, batch.late, unseen).hidden[0, first:] for ids in (batch.ids, other))
        seen = forward(other).hidden[0, first:]
    assert torch.equal(one, two)
    assert not torch.equal(seen, two)


def test_the_forward_pass_is_that_of_transformers(tokenizer, model):
    ids = torch.randint(4, 1000, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, wanted = Forward(model)(ids).hidden, model.model(input_ids=ids).last_hidden_state
    assert torch.allclose(found, wanted, atol=0.05)
    assert (found - wanted).square().mean() < 1e-4 * wanted.square().mean()


def test_training_on_one_batch_lowers_both_losses(tokenizer, model):
    batch = make_batch(tokenizer, Mixture({"keyvalue": 0.5, "scenes": 0.5}, (128,)), (0, 0), 4096)
    forward, optimizer, seen = Forward(model), torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(25):
        passed = forward(batch.ids)
        reading, found = reading_loss(model, passed.hidden, batch)[0], retrieval_loss(forward, passed, batch, 1)
        assert found is not None
        seen.append((float(reading.detach()), float(found[0].detach())))
        optimizer.zero_grad()
        (reading + found[0]).backward()
        optimizer.step()
    assert seen[-1][0] < 0.8 * seen[0][0]
    assert seen[-1][1] < 0.8 * seen[0][1]


@pytest.mark.integration
def test_the_short_build_makes_a_model_folder(tmp_path):
    command = [sys.executable, "-m", "tests.demo.builder.reader", "--out", str(tmp_path), "--short", "--threads", "1"]
    subprocess.run(command, capture_output=True, check=True, timeout=240, cwd=ROOT)
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"repeats", "short", "long"}
    figures = json.loads((tmp_path / "model" / "evaluation.json").read_text())["tasks"]
    assert {(row["length"], row["system"]) for row in figures} == {
        *((160, system) for system in ("memory", "full")),
        *((384, system) for system in ("memory", "window")),
    }
    # Again: nothing is trained, so the weights are the same to the byte.
    subprocess.run(command, capture_output=True, check=True, timeout=240, cwd=ROOT)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
