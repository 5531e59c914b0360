from __future__ import annotations

import pytest

from pasctl.models.chat import ChatRenderer
from tests.demo.builder.documents import Writer
from tests.demo.builder.tokenizer import train_tokenizer
from tests.demo.builder.world import inventory


@pytest.fixture(scope="session")
def writer() -> Writer:
    return Writer(ChatRenderer(train_tokenizer(inventory())))
