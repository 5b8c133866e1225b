"""Wall time of whole processes: the import, the first `swingup cartpole` on a machine, and a later one."""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.report import report


def seconds(arguments, cache, repeats=1):
    """Median wall seconds of a fresh process."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PPI_ROBOTICS_CACHE": cache},
            check=True,
            capture_output=True,
        )
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def main():
    with tempfile.TemporaryDirectory() as folder:
        swing = ["-m", "ppi_robotics", "swingup", "cartpole", "--out", f"{folder}/out"]
        first = seconds(swing, f"{folder}/cache")
        warm = seconds(swing, f"{folder}/cache", 5)
        bare = seconds(["-c", "pass"], folder, 7)
        imported = seconds(["-c", "import ppi_robotics"], folder, 7)
    report("import ppi_robotics", "s", imported - bare, None, None, None, 0.3, interpreter=bare)
    report("swingup cartpole, warm cache", "s", warm, None, None, None, 4.0)
    report("swingup cartpole, first ever", "s", first, None, None, None, 60.0)


if __name__ == "__main__":
    main()
