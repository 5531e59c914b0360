"""The builder of the demo model: the world it learns, its tokenizer, its training, and the figures of its card."""
