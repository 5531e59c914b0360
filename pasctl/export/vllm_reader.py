"""Log-probabilities from vLLM, as a program: `python -m pasctl.export.vllm_reader ANSWER`, the question on stdin.

Question and answer are JSON, see `pasctl.export.vllm.read_in_vllm`, which runs this.
"""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pasctl.models.transformers_compat import first_line

_CACHE_BYTES = 1 << 28  # for keys and values: 500 tokens of the largest Qwen3 in float32, and passages have fewer
_REASON = "Value error, "  # pydantic's word before what was wrong with a config
_LIST = " Supported architectures:"  # behind it vLLM names some hundred


def read(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Log-probabilities of the tokens that count, one passage behind the other; of a batch with personas, all of it."""
    vllm: Any = importlib.import_module("vllm")
    passages, personas = asked["passages"], "xargs" in asked
    more: dict[str, Any] = {}
    if personas:  # only whole blocks are cached, and by default they are longer than the passages
        more = {"hf_overrides": asked["hf_overrides"], "enable_prefix_caching": True, "block_size": 32}
    model = vllm.LLM(
        model=asked["folder"],
        dtype=asked["dtype"],
        model_impl=asked["model_impl"],
        enforce_eager=True,
        max_model_len=max(len(ids) for ids, _ in passages) + 1,  # it must write a token to tell of those before
        kv_cache_memory_bytes=_CACHE_BYTES,
        **more,
    )

    def run(**options: Any) -> Any:
        params = [
            vllm.SamplingParams(temperature=0.0, max_tokens=1, logprobs=0, extra_args=said, **options)
            for said in asked.get("xargs", [None] * len(passages))
        ]
        return model.generate([{"prompt_token_ids": ids} for ids, _ in passages], params, use_tqdm=False)

    told = run(prompt_logprobs=0)
    logprobs = [
        float(output.prompt_logprobs[place][ids[place]].logprob)
        for (ids, start), output in zip(passages, told, strict=True)
        for place in range(start, len(ids))
    ]
    if not personas:
        return {"logprobs": logprobs}
    again = run()  # vLLM reads its cache only for requests that ask nothing of their prompt
    cached = sum(output.num_cached_tokens or 0 for output in again)
    return {"logprobs": logprobs, "first": _written(told), "again": _written(again), "cached_tokens": cached}


def _written(outputs: Sequence[Any]) -> list[float]:
    """The log-probability of the token that was written after each passage."""
    texts = [output.outputs[0] for output in outputs]
    return [float(text.logprobs[0][text.token_ids[0]].logprob) for text in texts]


def reason(error: Exception) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = next((line.removeprefix(_REASON) for line in lines if line.startswith(_REASON)), first_line(error))
    return textwrap.shorten(told.partition(_LIST)[0], 400)


def main() -> None:
    """Read what stdin asks for, and write it or why not into the file that is named."""
    asked = json.load(sys.stdin)
    try:
        told = read(asked)
    except Exception as error:  # vLLM documents no errors
        told = {"error": reason(error)}
        Path(sys.argv[1]).write_text(json.dumps(told), encoding="utf-8")
        raise
    Path(sys.argv[1]).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
