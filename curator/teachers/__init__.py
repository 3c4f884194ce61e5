"""The tournament of teachers: the same problems, several teachers, and which of them a student should learn from.

`measure` counts, `rank` orders and says how sure that is, `smoke` holds DED's decisive step: train the student on a
little of each teacher and look. Without that step a ranking is a *proxy* and is called so (arXiv 2508.09883: the
teacher with the best benchmark scores was not the one whose student was best).
"""

from __future__ import annotations

from curator.teachers.measure import Asked, measure
from curator.teachers.rank import PROXY, SMOKE, Tournament, rank

__all__ = ["PROXY", "SMOKE", "Asked", "Tournament", "measure", "rank"]
