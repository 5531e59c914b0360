"""Activations: what was read off the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pasctl.report.blocks import Content, size


def activations(described: Mapping[str, Any], payload_bytes: int) -> Content:
    """The section of activations, from their items.json and their size in the store."""
    if "columns" not in described:
        return _of_contrast(described, payload_bytes)
    geometry, columns, inventory = described["geometry"], described["columns"], described["inventory"]
    shape = (len(described["rows"]), len(columns), geometry["layers"], geometry["heads"], geometry["head_dim"])
    letters = ", ".join(
        f"{each['letter'] or 'letter'} for {'the end' if each['agreement'] is None else each['agreement']} "
        f"({each['order']})"
        for each in columns
    )
    return Content(
        ("The output of every attention head at the answer letter, for each item and each of its answers.",),
        (
            ("items × answers × layers × heads × dimensions", " × ".join(f"{each:,}" for each in shape)),
            ("inventory", f"{inventory['name']}, {len(inventory['items']):,} items"),
            ("answers", letters),
            ("key-value heads", f"{geometry['kv_heads']:,}"),
            ("hidden size", f"{geometry['hidden']:,}"),
            ("prompt", f"{described['template']['kind']} template"),
            ("in the store", size(payload_bytes)),
        ),
    )


def _of_contrast(described: Mapping[str, Any], payload_bytes: int) -> Content:
    geometry = described["geometry"]
    shape = (len(described["rows"]), 2, geometry["layers"], geometry["heads"], geometry["head_dim"])
    return Content(
        ("The output of every attention head on both sides of each pair of a contrast.",),
        (
            ("pairs × sides × layers × heads × dimensions", " × ".join(f"{each:,}" for each in shape)),
            ("key-value heads", f"{geometry['kv_heads']:,}"),
            ("hidden size", f"{geometry['hidden']:,}"),
            ("prompt", f"{described['template']['kind']} template"),
            ("in the store", size(payload_bytes)),
        ),
    )
