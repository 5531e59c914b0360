"""The builder of the reader: a tiny model that finds, in a text, what a question asks for."""
