"""Scoring of questionnaires: rows, metrics, baselines, and the published log layout."""
