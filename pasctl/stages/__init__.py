"""One file per stage; `runner` alone talks to the store."""
