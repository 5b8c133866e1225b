"""All ways to lay blocks at locations of a ring, one of each kind that turns and mirror images make alike."""

import math
from dataclasses import dataclass, field

import numpy as np

from plants.blocks.kernels import exact as kernels
from ppi_robotics.parallel import in_threads, processors

KEY_BITS = 63
PART = 1 << 15  # states that a thread takes at least
ALONE = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)  # the group of no symmetry


@dataclass(frozen=True, eq=False)
class Space:
    """States up to symmetry.

    Attributes:
      locations, blocks, bits: n, m, and bits of a key for a location.
      group: turns, and turns of mirror images, that change nothing.
      keys: (N,) of representatives, ascending.
      table: where keys are.
      moves: places (N, 2 n) after k -> k - 1 and k -> k + 1 for every k; N where k is empty.
    """

    locations: int
    blocks: int
    bits: int
    group: tuple
    keys: np.ndarray
    table: np.ndarray
    moves: np.ndarray = field(repr=False)
    outside = 0  # states at the end that stand for others

    @classmethod
    def of(cls, n, m, group, orbits, say):
        """Enumerate the representatives and their moves."""
        bits, keys = m.bit_length(), np.empty(orbits, dtype=np.int64)
        say("states", 0, 1)
        count = kernels.enumerate_keys(n, m, bits, group, keys)
        assert count == orbits
        table = np.full(1 << (2 * orbits - 1).bit_length(), -1, dtype=np.int32)
        kernels.fill_table(keys, table)
        moves, done = np.empty((orbits, 2 * n), dtype=np.uint32), 0

        def fill(part):
            kernels.fill_moves(*part, keys, n, bits, group, keys, table, moves)
            return part[1]

        for done in in_threads(fill, parts(orbits)):
            say("moves", done, orbits)
        return cls(n, m, bits, group, keys, table, moves)

    @property
    def count(self):
        """Number N of states."""
        return len(self.keys)

    @property
    def rows(self):
        """Heights (N, n) of the representatives."""
        return self.heights(self.keys)

    def late(self, heights, _t):
        """Whether heights (..., n) have no values at a stage: none."""
        return np.zeros(np.shape(heights)[:-1], bool)

    def plain(self, states):
        """All states, so many, without symmetries."""
        return Space.of(self.locations, self.blocks, ALONE, states, lambda *_: None)

    def pack(self, heights):
        """Keys (...) of heights (..., n)."""
        return (np.asarray(heights, dtype=np.int64) << (self.bits * np.arange(self.locations))).sum(axis=-1)

    def heights(self, keys):
        """Heights (..., n) of keys (...)."""
        return np.asarray(keys)[..., None] >> (self.bits * np.arange(self.locations)) & ((1 << self.bits) - 1)

    def places(self, heights):
        """Places (...) of the representatives of heights (..., n)."""
        keys = np.atleast_1d(self.pack(heights))
        found = np.empty(keys.size, dtype=np.int32)
        kernels.find_all(keys.ravel(), self.locations, self.bits, self.group, self.keys, self.table, found)
        return found.reshape(np.shape(heights)[:-1])

    def costs(self, cost):
        """Cost (N,) of the representatives."""
        total, mask = np.zeros(len(self.keys)), (1 << self.bits) - 1
        for i in range(self.locations):
            total += cost[self.keys >> (i * self.bits) & mask]
        return total


def moves_between(heights, goal):
    """Least numbers (...) of moves from heights (..., n) to a goal on the ring.

    They are the earth mover's distance, min_c sum_i |sum_{j <= i} (heights - goal)_j - c|.
    """
    carried = np.cumsum(np.subtract(heights, goal), axis=-1)
    middle = np.sort(carried, axis=-1)[..., carried.shape[-1] // 2]
    return np.abs(carried - middle[..., None]).sum(axis=-1)


def shifts(n):
    """Changes of heights (2 n, n) by k -> k - 1 and k -> k + 1 for every location k."""
    own = np.eye(n, dtype=np.int64)
    return np.stack((np.roll(own, 1, axis=0) - own, np.roll(own, -1, axis=0) - own), axis=1).reshape(2 * n, n)


def parts(count):
    """First and end of what the threads take each."""
    size = max(PART, -(-count // (4 * processors())))
    for first in range(0, count, size):
        yield first, min(first + size, count)


def symmetries(n, goal):
    """Turns of the ring, and turns of its mirror image, that leave a goal as it is."""
    if goal is None:
        return np.arange(n), np.arange(n)
    same = [[r for r in range(n) if (np.roll(image, r) == goal).all()] for image in (goal, goal[::-1])]
    return tuple(np.array(turns, dtype=np.int64) for turns in same)


def count_orbits(n, m, group):
    """Number of states that differ by more than a symmetry: the mean of those that each symmetry leaves alone."""
    turns, mirror_turns = group
    total = 0
    for r in turns:
        count = math.gcd(n, int(r))  # of cycles
        length = n // count
        total += math.comb(m // length + count - 1, count - 1) if m % length == 0 else 0
    for r in mirror_turns:
        # location i goes to r - 1 - i: pairs, and one or two locations on the axis
        fixed = sum((int(r) - 1 - 2 * i) % n == 0 for i in range(n))
        pairs = (n - fixed) // 2
        for rest in range(m % 2, m + 1, 2) if fixed else (0,) if m % 2 == 0 else ():
            on_axis = math.comb(rest + fixed - 1, fixed - 1) if fixed else 1
            in_pairs = (m - rest) // 2
            total += on_axis * (math.comb(in_pairs + pairs - 1, pairs - 1) if pairs else in_pairs == 0)
    return total // (len(turns) + len(mirror_turns))
