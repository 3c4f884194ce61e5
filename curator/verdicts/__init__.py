"""How a verdict is reached: one file a kind of verifier, pure functions from a case to an outcome. Used by `verify`."""
