"""The runner: `local` goes through the steps, `segment` streams row and model operators, `whole` and `sinks` the rest.

`session` knows the steps and their keys, `receipts` what makes a key, `laws` what may happen to a row, `pool` and
`worker` the processes, `meter` the engines, `refill` how `select(n=...)` stops the models before it, `lock` who may
run. Afterwards: `result` is a run one can hold, `ledger` and `questions` say what happened; beforehand: `plan`,
`rehearsal` and `preview`.
"""
