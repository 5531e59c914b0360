"""Which tokens to run, running them, and reading head outputs on the way."""
