"""Standard long-context benchmarks, read from their own files and scored by their own metrics."""
