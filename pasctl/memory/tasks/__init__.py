"""Memory tasks: long texts of any length with a few facts to find in them, and the question that asks for them."""

from __future__ import annotations

from pasctl.registry import Registry

RULER = (
    "niah-single-1",
    "niah-single-2",
    "niah-single-3",
    "niah-multikey-1",
    "niah-multikey-2",
    "niah-multikey-3",
    "niah-multivalue",
    "niah-multiquery",
    "variable-tracking",
    "common-words",
    "frequent-words",
    "ruler-qa-1",
    "ruler-qa-2",
)
"""The 13 kinds of RULER, which `ruler` stands for."""
FACTS = ("no-overlap", "state", "update", "contradiction", "abstention")

_NEEDLES = (
    *("single_1", "single_2", "single_3", "multikey_1", "multikey_2", "multikey_3", "multivalue", "multiquery"),
)

TASKS = Registry(
    "memory task",
    {
        "passkey": "pasctl.memory.tasks.passkey:make",
        "passkey-varied": "pasctl.memory.tasks.passkey:make_varied",
        "needle": "pasctl.memory.tasks.needle:make",
        "keyvalue": "pasctl.memory.tasks.keyvalue:make",
        "scenes": "pasctl.memory.tasks.scenes:make",
        "tracking": "pasctl.memory.tasks.tracking:make",
        **{f"niah-{kind.replace('_', '-')}": f"pasctl.memory.tasks.ruler_needles:make_{kind}" for kind in _NEEDLES},
        "variable-tracking": "pasctl.memory.tasks.ruler_words:make_variables",
        "common-words": "pasctl.memory.tasks.ruler_words:make_common",
        "frequent-words": "pasctl.memory.tasks.ruler_words:make_frequent",
        "ruler-qa-1": "pasctl.memory.tasks.facts:make_qa_1",
        "ruler-qa-2": "pasctl.memory.tasks.facts:make_qa_2",
        "no-overlap": "pasctl.memory.tasks.facts:make_no_overlap",
        "state": "pasctl.memory.tasks.facts:make_state",
        "update": "pasctl.memory.tasks.facts:make_update",
        "contradiction": "pasctl.memory.tasks.facts:make_contradiction",
        "abstention": "pasctl.memory.tasks.facts:make_abstention",
    },
    group="pasctl.memory_tasks",
)
