from __future__ import annotations

import numpy as np
import pytest
import torch

from pasctl.demo import CONTEXT
from pasctl.inventory import few_shot, question
from tests.demo.builder.batches import Packer, collate
from tests.demo.builder.model import demo_config, empty_model, hidden_states, new_model
from tests.demo.builder.sources import KeySource, Mixture, Source
from tests.demo.builder.world import draw_people, inventory


@pytest.fixture(scope="module")
def people():
    return draw_people(64, 5)


def rng():
    return np.random.default_rng(0)


def test_a_question_is_what_the_stages_ask(writer, people):
    fit = inventory().indices("fit")
    prefix = writer.told(people, 0, "few-shot", fit, rng())
    document = writer.asked(prefix, people.agreements[0], [7], "few-shot", rng(), share_reversed=0)
    item = inventory().items[7]
    system = few_shot(inventory(), people.agreements[0].astype(float), fit)
    expected = writer.chat.encode(question(item, inventory()), system)
    assert document.ids[:-2] == expected
    assert document.ids[-2] == writer.letters[5 - people.agreements[0, 7]]
    assert document.positions == list(range(len(document)))


def test_a_reversed_scale_has_the_other_letter(writer):
    assert [writer.letter(5, way) for way in ("forward", "reversed")] == [writer.letters[0], writer.letters[4]]


def test_a_pass_key_document_is_what_a_memory_reads_and_the_answer_is_the_key(writer):
    document = writer.pass_key(300, 0.4, 10**6, "repetitive")
    text = writer.chat.tokenizer.decode(document.ids)
    key = text.split("The pass key is ")[1][:5]
    assert key.isdigit()
    assert text.endswith(f"</think>\n\n{key}<|im_end|>")
    assert [tag for tag in document.tag if tag] == ["key-again"] * 5 + ["key"] * 5


@pytest.mark.parametrize("kind", ["dense", "told", "heard", "early"])
def test_documents_fit_their_row_and_come_again_from_a_seed(writer, people, kind):
    mixture = Mixture(**{kind: 1.0})
    first, again = (Source(writer, mixture, people, (1, 2)) for _ in range(2))
    for _ in range(20):
        document = first.next()
        assert len(document) <= CONTEXT
        assert document.ids == again.next().ids


def test_pass_key_documents_fit_the_context(writer):
    source = KeySource(writer, (0,))
    assert all(len(source.next()) <= CONTEXT for _ in range(20))


def by_hand(document, reader, seen, *, early):
    """Whether token `reader` sees token `seen`, written as the sentences of the module say it."""
    if seen == reader:
        return True
    if seen > reader:
        return False
    if document.part[reader] == document.part[seen]:
        hidden = document.early and early and document.answer[reader]
        return document.head[seen] if hidden else True
    if document.part[seen] or not document.evidence[seen]:
        return False
    return not document.early or (early and document.answer[reader])


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("heard", [1, 3, 9])
def test_masks_are_what_the_sentences_say(writer, people, narrow, heard):
    document = writer.heard(people.agreements[0], list(range(heard)), rng(), early=narrow)
    writer.asked(document, people.agreements[0], [20, 21], "x", rng())
    other = writer.dense(people.agreements[1], [1, 2, 3])
    batch = collate([[other, document]], 256)
    start, n = len(other), len(document)
    for mask, early in ((batch.early, True), (batch.late, False)):
        found = mask[0, 0].numpy()
        wanted = [[by_hand(document, reader, seen, early=early) for seen in range(n)] for reader in range(n)]
        assert (found[start : start + n, start : start + n] == np.array(wanted)).all()
        assert not found[start : start + n, :start].any()
        assert found.any(axis=1).all()


def test_only_the_answers_of_early_documents_hear_of_the_person(writer, people):
    document = writer.heard(people.agreements[0], list(range(12)), rng(), early=True)
    start = len(document)
    writer.asked(document, people.agreements[0], [20], "x", rng())
    batch = collate([[document]], 256)
    n = len(document)
    sees = batch.early[0, 0, start:n, :start] | batch.late[0, 0, start:n, :start]
    assert sees.any(dim=1).tolist() == document.answer[start:]
    assert not batch.late[0, 0, start:n, :start].any()


def test_an_open_document_is_read_as_transformers_reads_it(writer, people):
    """With nothing hidden, the model under training's masks equals the plain model with a causal mask."""
    document = writer.dense(people.agreements[0], list(range(30)))
    batch = collate([[document]], len(document))
    model = new_model(demo_config(writer.chat.tokenizer, hidden=32, layers=2), 0)
    plain = empty_model(model.config)
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = plain.model(input_ids=batch.ids).last_hidden_state
        torch.testing.assert_close(hidden_states(model, batch), expected, atol=1e-5, rtol=1e-5)


def test_questions_do_not_see_each_other(writer, people):
    """The second question's states are those it has behind the prefix alone."""
    model = new_model(demo_config(writer.chat.tokenizer, hidden=32, layers=2), 0)
    answers = people.agreements[0]
    both = writer.asked(writer.heard(answers, [0, 1], rng()), answers, [8, 9], "x", rng(), share_reversed=0)
    alone = writer.asked(writer.heard(answers, [0, 1], rng()), answers, [9], "x", rng(), share_reversed=0)
    with torch.no_grad():
        of_both, of_one = (hidden_states(model, collate([[each]], len(each)))[0, -3:] for each in (both, alone))
    torch.testing.assert_close(of_both, of_one, atol=1e-5, rtol=1e-5)


def test_rows_are_full_of_whole_documents(writer, people):
    batch = Packer(Source(writer, Mixture(dense=1.0, told=1.0), people, (0,)), CONTEXT).batch(6)
    assert batch.ids.shape == (6, CONTEXT)
    assert len(batch.tags) > 100
    assert all(batch.weight[row, place] > 0 for row, place, _ in batch.tags if place)
