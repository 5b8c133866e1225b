"""Side-by-side timing: contenders take turns, so that a machine that drifts or is shared treats them alike."""

import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds a call of every contender in every round.

    Attributes:
      seconds: name to (rounds,).
    """

    seconds: dict

    def median(self, name):
        """Median seconds a call."""
        return float(np.median(self.seconds[name]))

    def best(self, name):
        """Least seconds a call."""
        return float(np.min(self.seconds[name]))

    def ratio(self, slow, fast):
        """How many times longer `slow` takes: the median over the rounds of the ratios within a round."""
        return float(np.median(self.seconds[slow] / self.seconds[fast]))


def side_by_side(contenders, seconds=3.0, slice_seconds=0.01, rounds=15):
    """Time functions without arguments in turns, A B C A B C ...

    Args:
      contenders: name to function.
      seconds: time to spend altogether, at least; rounds are added until it is used up.
      slice_seconds: least length of one turn, within which a function is called repeatedly.
      rounds: least number of turns of each contender.

    Returns:
      `Timing`.
    """
    repeats = {name: _repeats(function, slice_seconds) for name, function in contenders.items()}
    taken = {name: [] for name in contenders}
    start = time.perf_counter()
    while len(next(iter(taken.values()))) < rounds or time.perf_counter() - start < seconds:
        for name, function in contenders.items():
            taken[name].append(_seconds_per_call(function, repeats[name]))
    return Timing({name: np.array(values) for name, values in taken.items()})


def _repeats(function, slice_seconds):
    """Calls that fill a slice, after a warm-up."""
    function()
    once = min(_seconds_per_call(function, 1) for _ in range(3))
    return max(1, int(np.ceil(slice_seconds / once)))


def _seconds_per_call(function, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats
