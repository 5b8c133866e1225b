"""What exact control of blocks on a ring takes, and over which states it can be had in the memory there is."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plants.blocks.states import KEY_BITS, PART, ReachableStates, TooMany, count_orbits, share_reached, symmetries
from ppi_robotics import ProblemError
from ppi_robotics.checks import as_wholes, check_count

WIDE_HISTORY = 2.5e8  # bytes; longer histories of messages are shortened to 32 bits a number
MOST_PLACES = 2**31 - 1  # that a table holds


@dataclass(frozen=True)
class Size:
    """What an exact solution takes.

    Attributes:
      states: C(m + n - 1, n - 1), or those that can be reached.
      orbits: of them that represent the others.
      bytes: of memory, at the peak.
    """

    states: int
    orbits: int
    bytes: int


def size_of(locations: int, blocks: int, stages: int, goal: ArrayLike | None = None) -> Size:
    """`Size` of a problem, before anything is done."""
    for name, value, most in (
        ("locations", locations, 10_000),
        ("blocks", blocks, 1_000_000),
        ("stages", stages, 2**40),
    ):
        check_count(value, name, 1, most)
    goal = None if goal is None else as_wholes(goal, "goal", (locations,), 0)
    states = math.comb(blocks + locations - 1, locations - 1)
    orbits = count_orbits(locations, blocks, symmetries(locations, goal))
    fixed = 8 * 4 + 4 * 2 * locations + 8  # keys, weights, two layers of messages; moves; table
    return Size(states, orbits, orbits * fixed + (stages + 1) * orbits * (8 if kept_in_full(orbits, stages) else 4))


def fits(start: ArrayLike, stages: int, goal: ArrayLike | None = None, memory: float = 2e9) -> bool:
    """Whether a problem can be solved in so many bytes; arguments as for `solve_compositions`."""
    try:
        size_within(np.asarray(start), stages, goal, memory, lambda *_: None)
    except ProblemError:
        return False
    return True


def size_within(
    start: np.ndarray, stages: int, goal: np.ndarray | None, memory: float, say: Callable[..., object]
) -> tuple[Size, ReachableStates | None]:
    """`Size` of a problem in so many bytes, and the `ReachableStates` where all states take more, else None.

    Raises:
      ProblemError: if those that can be reached do so as well.
    """
    n, m = len(start), int(start.sum())
    whole = size_of(n, m, stages, goal)
    if n * m.bit_length() <= KEY_BITS and whole.bytes <= memory and whole.orbits <= MOST_PLACES:
        return whole, None
    share = share_reached(start, stages) if goal is None else 0.0
    least = int(share * whole.states / 2)  # half as many, as it is an estimate
    if _bytes_of(least, 0, n, m, stages) <= memory:

        def enough(found, widest):
            return found < MOST_PLACES and _bytes_of(found, widest, n, m, stages) <= memory

        try:
            space = ReachableStates.of(start, stages, goal, enough, say)
        except TooMany as error:
            least = error.args[0]
        else:
            states = space.count - 1
            return Size(states, states, _bytes_of(states, space.widest, n, m, stages)), space
    taken = f"and take {_in_words(whole.bytes)}, more than the {_in_words(memory)} allowed"
    if n * m.bit_length() > KEY_BITS:
        taken = f"of {n * m.bit_length()} bits, more than {KEY_BITS}"
    raise ProblemError(
        f"{m} blocks at {n} locations for {stages} stages have {whole.states} states, {whole.orbits} of them unlike, "
        f"{taken}, and {least} or more that can be reached, too many as well; allow more memory, or infer approximately"
    )


def _bytes_of(states, widest, n, most, stages):
    """Bytes at the peak for so many states that are reached, of which so many are at the same distance.

    A state has up to `most` piles, the blocks there are, that can move.
    """
    kept = 8 if kept_in_full(states, stages) else 4
    passing = max(80 * min(n, most) * widest, 24 * n * min(states, PART))
    return states * (16 * n + 80 + (stages + 1) * kept) + passing


def _in_words(size):
    return f"{size / 1e9:.2g} GB" if size >= 1e8 else f"{size / 1e6:.2g} MB"


def kept_in_full(orbits: int, stages: int) -> bool:
    """Whether the messages of all stages are kept in 64 bits."""
    return (stages + 1) * orbits * 8 <= WIDE_HISTORY
