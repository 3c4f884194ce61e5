"""Mathematical answers: finding them in a trace, and deciding whether two of them mean the same.

`extract` finds, `clean` and `numbers` normalise, `shape` takes an answer apart (tuple, set, interval, relation, ...),
`compare` compares shapes, `symbolic` compares leaves with sympy, `worker` runs that in a process that can be killed,
`pool` holds the workers. Nothing here imports sympy except `symbolic`, and only the worker imports `symbolic`.
"""
