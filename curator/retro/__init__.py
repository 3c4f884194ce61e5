"""Retro-Search (arXiv 2504.04383): what would have happened had the model gone on, asked at each change of mind.

`trace` is the text and its thoughts, `rule` what is better, `reviser` asks an engine for rollouts, `judging` their
verdicts, `search` the loop, `story` what happened, for people. Specs core, section 4.
"""
