"""The pocket reasoner against what it promises: `python benchmarks/pocket.py` writes `benchmarks/results/pocket.json`.

Any option of `python -m curator.pocket.evaluate` may follow, e.g. `--parts accuracy,spread` or `--share 0.2`. Its speed
is that of the transformers engine: what `benchmarks/local_engine.py` measured last (run that first).
"""

import json
import sys
from pathlib import Path

from curator.pocket import evaluate

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    measured = RESULTS / "local_engine.json"
    if measured.exists():
        engine = json.loads(measured.read_text())

        def speed(_sampler: object, _n: int) -> evaluate.Report:
            return {"tokens_per_second": engine["compiled"]["tokens/s"], "load_s": engine["load s"]}

        evaluate.PARTS["speed"] = (speed, 1)
    sys.argv[1:1] = ["--out", str(RESULTS / "pocket.json")]
    evaluate.main()


if __name__ == "__main__":
    main()
