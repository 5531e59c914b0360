"""Run batches of requests in vLLM and say what came of them: `python -m tests.vllm_plugin.serve_personas ANSWER`.

The question is JSON on stdin: `model` (arguments of vllm.LLM), `environment`, and `steps`, one after the other: a batch
{"requests": [[token ids, vllm_xargs or null], ...], "prompt": whether log-probabilities of the prompt are asked for,
"tokens": how many are written}, or {"add": [file, folder]} or {"remove": file}. A batch that is refused gives its
reason.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any


def run(model: Any, step: dict[str, Any]) -> dict[str, Any]:
    vllm: Any = importlib.import_module("vllm")
    more = {"prompt_logprobs": 0} if step.get("prompt", True) else {}
    params = [
        vllm.SamplingParams(temperature=0.0, max_tokens=step.get("tokens", 1), logprobs=0, extra_args=said, **more)
        for _, said in step["requests"]
    ]
    try:
        outputs = model.generate([{"prompt_token_ids": ids} for ids, _ in step["requests"]], params, use_tqdm=False)
    except vllm.exceptions.VLLMValidationError as error:
        return {"refused": str(error)}
    return {
        "prompt": [
            [output.prompt_logprobs[place][ids[place]].logprob for place in range(1, len(ids))] if more else []
            for (ids, _), output in zip(step["requests"], outputs, strict=True)
        ],
        "tokens": [list(output.outputs[0].token_ids) for output in outputs],
        "logprobs": [
            [entry[token].logprob for entry, token in zip(text.logprobs, text.token_ids, strict=True)]
            for text in (output.outputs[0] for output in outputs)
        ],
        "cached": [output.num_cached_tokens for output in outputs],
    }


def main() -> None:
    asked = json.load(sys.stdin)
    vllm: Any = importlib.import_module("vllm")
    model = vllm.LLM(**asked["model"])
    told = []
    for step in asked["steps"]:
        if "add" in step:
            shutil.copyfile(*step["add"])
        elif "remove" in step:
            Path(step["remove"]).unlink()
        else:
            told.append(run(model, step))
    Path(sys.argv[1]).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
