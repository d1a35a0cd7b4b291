"""The tests of faults: a cluster of real processes, a workload, faults, a history, and checkers of the history.

What the end-to-end tests have already (processes, REST without a library) is imported from there by its plain name.
"""
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAULTS = HERE.parent
CHECKOUT = FAULTS.parents[1]
END_TO_END = CHECKOUT / "Tests" / "EndToEnd"
PYTHON_CLIENT = CHECKOUT / "clients" / "python"

for _folder in (END_TO_END, PYTHON_CLIENT):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
