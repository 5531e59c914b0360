"""The tables of the index. Nothing here is SQLite's alone: the same schema is meant for PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 1
_KEY = sa.String(67)

metadata = sa.MetaData()
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)
artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("key", _KEY, primary_key=True),
    sa.Column("kind", sa.String(100), nullable=False),
    sa.Column("stage", sa.String(100), nullable=False),
    sa.Column("stage_version", sa.Integer, nullable=False),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("content_digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("used_at", sa.String(40), nullable=False),  # last made or asked for; a rebuilt index has created_at here
    sa.Index("artifacts_by_kind", "kind", "model", "used_at"),
)
inputs = sa.Table(
    "inputs",
    metadata,
    sa.Column("artifact_key", _KEY, sa.ForeignKey("artifacts.key", ondelete="CASCADE"), primary_key=True),
    sa.Column("role", sa.String(100), primary_key=True),
    sa.Column("input_key", _KEY, nullable=False, index=True),  # no foreign key: an input may be gone
    sa.Column("content_digest", sa.String(64), nullable=False),
)
parts = sa.Table(
    "parts",
    metadata,
    sa.Column("part_key", sa.String(100), primary_key=True),
    sa.Column("artifact_key", _KEY, sa.ForeignKey("artifacts.key", ondelete="CASCADE"), primary_key=True),
)
tags = sa.Table(
    "tags", metadata, sa.Column("name", sa.String(100), primary_key=True), sa.Column("key", _KEY, nullable=False)
)
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("key", _KEY, primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("realm", sa.String(255), nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("started", sa.String(64), nullable=False),
    sa.Column("since", sa.Float, nullable=False),  # seconds since 1970, UTC
    sa.Column("expires", sa.Float, nullable=False),
)
