"""Satisfiability: any assignment that meets all clauses is right, not only the one that was planted. Nothing is run."""

from __future__ import annotations

from curator.sat import holds, read_bits, read_clauses
from curator.verdicts.case import ERROR, UNPARSEABLE, Case, Outcome, decided

VERIFIER = "sat/1"


def judge(case: Case) -> Outcome:
    """Return the outcome of a row with the columns `clause` and `k`."""
    if lacking := case.unread(VERIFIER):
        return lacking
    clauses, k = read_clauses(case.row.get("clause")), case.row.get("k")
    answer = case.found.text
    if clauses is None or not isinstance(k, int) or max(abs(v) for c in clauses for v in c) > k:
        return Outcome(ERROR, "the clauses are no lists of signed numbers up to k", answer, verifier=VERIFIER)
    if not answer:
        why = "truncated" if case.found.how == "truncated" else "no answer found"
        return Outcome(UNPARSEABLE, why, verifier=VERIFIER)
    bits = read_bits(answer, k)
    if bits is None:
        return Outcome(UNPARSEABLE, f"the answer is not {k} bits", answer, verifier=VERIFIER)
    if holds(clauses, bits):
        return decided(True, VERIFIER, bits)
    broken = sum(not holds([c], bits) for c in clauses)
    return decided(False, VERIFIER, bits, f"{broken} of {len(clauses)} clauses are not met")
