"""Stand-ins for what judges texts: an OpenAI-compatible endpoint on this machine, and a small random encoder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "love", "big", "parties", "hate", "noise", "silence", "."]


class Endpoint(BaseHTTPRequestHandler):
    """Answers with the letter of the description that has the word `server.word`."""

    server: Any

    def do_GET(self) -> None:
        self._send({"data": [{"id": "local-judge"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((body, self.headers.get("Authorization")))
        question = body["messages"][0]["content"]
        first = next(line for line in question.splitlines() if line.startswith("(A)"))
        letter = self.server.always or ("A" if self.server.word in first else "B")
        self._send({"choices": [{"message": {"content": letter}}]})

    def log_message(self, *args: Any) -> None:
        pass

    def _send(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def endpoint(word: str, always: str = "") -> Iterator[Any]:
    """A server that says that the description with `word` fits, or always the same; `seen` has what it was asked."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.word, server.always, server.seen = word, always, []
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def save_encoder(folder: Path) -> Path:
    """Write a random BERT of two layers with its tokenizer."""
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder
