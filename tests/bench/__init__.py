"""Benchmarks: ratios measured in one run, against peers written the way they are written elsewhere."""
