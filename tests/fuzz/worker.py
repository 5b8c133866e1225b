"""Runs one suite of random inputs in a process of its own, so that a crash is a failure and not the end.

    python -m tests.fuzz.worker SUITE COUNT

Prints what went wrong, a line each, and how many inputs there were; exit code 1 if anything went wrong. The inputs are
the same in every run. The one under way is written to `SUITE.last` before it is tried, for when the process dies.
"""

import faulthandler
import importlib
import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st

LONGEST = 120.0  # seconds of one input
SUITES = ("doors", "discrete_doors", "plant_doors", "files", "maps", "models", "commands")


class TooLong(BaseException):
    """An input takes too long; no `except Exception` of the library is to catch it."""


def late(*_):
    raise TooLong


def inputs_of(suite):
    """Strategy of inputs, and function from an input to what is wrong with what it does."""
    module = importlib.import_module(f"tests.fuzz.{suite}")
    if not hasattr(module, "doors"):
        return module.inputs(), module.try_input
    doors = module.doors()

    @st.composite
    def changes(draw):
        name = draw(st.sampled_from(sorted(doors)))
        door = doors[name]
        chosen = draw(st.lists(st.sampled_from(sorted(door.base)), min_size=1, max_size=2, unique=True))
        return name, {argument: draw(st.sampled_from(door.values(argument))) for argument in chosen}

    return changes(), lambda given: doors[given[0]].try_with(given[1])


def run(suite, count, log):
    """Lines about inputs that went wrong, and the number of inputs tried."""
    strategy, try_input = inputs_of(suite)
    wrong, tried = {}, 0

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def every(one):
        nonlocal tried
        tried += 1
        os.pwrite(log, repr(one)[:2000].encode(errors="replace").ljust(2000), 0)
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            said = try_input(one)
        except TooLong:
            said = f"takes longer than {LONGEST:g} s"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        if said:
            wrong.setdefault((said[:60], str(one)[:40]), f"{one!r}: {said}"[:600])

    every()
    return list(wrong.values()), tried


def main(suite, count):
    faulthandler.enable()
    signal.signal(signal.SIGALRM, late)
    folder = tempfile.mkdtemp()
    log = os.open(Path(os.environ.get("FUZZ_LOG", folder)) / f"{suite}.last", os.O_CREAT | os.O_WRONLY)
    os.chdir(folder)
    warnings.filterwarnings("error", module=r"ppi_robotics|plants")
    wrong, tried = run(suite, int(count), log)
    print(*wrong, f"{tried} inputs, {len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
