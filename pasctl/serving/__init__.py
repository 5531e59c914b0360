"""Serving: many requests share one model, each with its own persona and memory; in this process and over HTTP."""
