"""Memory tasks: long texts of any length with a few facts to find in them, and the question that asks for them."""

from __future__ import annotations

from pasctl.registry import Registry

TASKS = Registry(
    "memory task",
    {
        "passkey": "pasctl.memory.tasks.passkey:make",
        "passkey-varied": "pasctl.memory.tasks.passkey:make_varied",
        "needle": "pasctl.memory.tasks.needle:make",
        "keyvalue": "pasctl.memory.tasks.keyvalue:make",
        "tracking": "pasctl.memory.tasks.tracking:make",
    },
    group="pasctl.memory_tasks",
)
