from __future__ import annotations

import pytest

from pasctl.demo.documents import Writer
from pasctl.demo.tokenizer import train_tokenizer
from pasctl.demo.world import inventory
from pasctl.models.chat import ChatRenderer


@pytest.fixture(scope="session")
def writer() -> Writer:
    return Writer(ChatRenderer(train_tokenizer(inventory())))
