"""Programs that nobody trusts: run in boxes of their own, judged by tests whose answers never enter the box.

`judge.judge_code` is the door; `extract.extract_code` finds the program in a trace; `suite.parse_tests` reads the forms
in which data sets keep their tests. What is isolated, by what, and what is not: docs/sandbox.md.
"""
