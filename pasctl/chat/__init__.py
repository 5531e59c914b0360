"""A conversation with a model in a terminal: steered to a persona, with a memory, compared with the model as it is."""
