"""A steered model as a checkpoint that others load: proven, described, and put in place in one step."""
