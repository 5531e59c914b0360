"""Steering vectors as other tools keep them: one file a format, a name of this table each."""

from __future__ import annotations

from pasctl.registry import Registry

FORMATS = Registry(
    "vector format",
    {
        "llama.cpp": "pasctl.export.vectors.gguf:LlamaCpp",
        "repeng": "pasctl.export.vectors.gguf:Repeng",
        "easysteer": "pasctl.export.vectors.gguf:EasySteer",
        "steering-vectors": "pasctl.export.vectors.steering_vectors:SteeringVectors",
        "vllm-lens": "pasctl.export.vectors.vllm_lens:VllmLens",
    },
    group="pasctl.vector_formats",
)
