"""Benchmarks of others on steered models: lm-eval's model type `pasctl` (needs `pasctl[lm-eval]`).

`python -m pasctl.harness` is lm-eval's own command line, which knows the type then.
"""
