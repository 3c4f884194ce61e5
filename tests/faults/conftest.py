import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "run"))

from run_stand_ins import engines  # noqa: E402, F401
