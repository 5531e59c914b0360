"""Models: which one is meant, loading it, its geometry, its module paths, and its chat template."""
