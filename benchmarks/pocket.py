"""The pocket reasoner against what it promises: `python benchmarks/pocket.py` writes `benchmarks/results/pocket.json`.

Any option of `python -m curator.pocket.evaluate` may follow, e.g. `--parts accuracy,spread` or `--share 0.2`.
"""

import sys
from pathlib import Path

from curator.pocket import evaluate

if __name__ == "__main__":
    sys.argv[1:1] = ["--out", str(Path(__file__).parent / "results" / "pocket.json")]
    evaluate.main()
