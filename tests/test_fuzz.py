"""Random inputs of every kind: each call succeeds, or raises a `PPIError` of one short line.

FUZZ_INPUTS is the number of inputs of all suites together; those of the calls, of which there are most, get the most.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.worker import SUITES

ROOT = Path(__file__).parents[1]
INPUTS = int(os.environ.get("FUZZ_INPUTS", "1000"))
SHARES = {"doors": 0.3, "discrete_doors": 0.3, "plant_doors": 0.05, "files": 0.1, "maps": 0.1, "models": 0.1}
SHARES |= {"commands": 0.05}


@pytest.mark.parametrize("suite", SUITES)
def test_no_input_ends_in_a_foreign_exception_or_a_crash(suite, tmp_path):
    count = max(int(INPUTS * SHARES[suite]), 1)
    command = [sys.executable, "-m", "tests.fuzz.worker", suite, str(count)]
    environment = os.environ | {"FUZZ_LOG": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")
    last = (tmp_path / f"{suite}.last").read_text(errors="replace").strip() if done.returncode not in (0, 1) else ""
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-2000:]}\nlast input: {last}"
