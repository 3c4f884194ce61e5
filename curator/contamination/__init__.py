"""What a text and a benchmark item have in common: pure functions on Arrow columns, used by `decontaminate`.

`tokens` splits, `ngram` finds shared runs, `exact`, `edit`, `paraphrase` and `vectors` compare whole problems,
`evidence` says what was found. Nothing here reads a file, asks a model or knows of runs.
"""
