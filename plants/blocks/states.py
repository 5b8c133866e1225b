"""States of blocks on a ring: all of them up to symmetry, or those that can be reached.

Turns of the ring and of its mirror image that leave the goal as it is change nothing, so that one state represents all
that they map onto each other. Where even so there are too many, those are kept that can be passed on the way from the
start in the moves there are, and to the goal if any; few moves reach few, however many blocks there are.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from plants.blocks.kernels import exact as kernels
from ppi_robotics.interruption import check
from ppi_robotics.parallel import in_threads, processors

KEY_BITS = 63
PART = 1 << 15  # states that a thread takes at least
NO_SYMMETRY = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)  # the turn by nothing, and no mirror image
SAMPLED, LEAST_SHARE = 1000, 0.05  # states drawn to estimate how many can be reached; below this share, 0 is said


def moves_between(heights: ArrayLike, goal: ArrayLike) -> np.ndarray:
    """Least numbers (...) of moves from heights (..., n) to a goal on the ring.

    They are the earth mover's distance, min_c sum_i |sum_{j <= i} (heights - goal)_j - c|.
    """
    carried = np.cumsum(np.subtract(heights, goal), axis=-1)
    middle = np.sort(carried, axis=-1)[..., carried.shape[-1] // 2]
    return np.abs(carried - middle[..., None]).sum(axis=-1)


def height_changes(n: int) -> np.ndarray:
    """Changes of heights (n, 3, n) by moving a block from every location k to k + l, l = -1, 0, 1."""
    own = np.eye(n, dtype=np.int64)
    return np.stack((np.roll(own, 1, axis=0) - own, 0 * own, np.roll(own, -1, axis=0) - own), axis=1)


def parts(count: int) -> Iterator[tuple[int, int]]:
    """First and end of the states that each thread takes."""
    size = max(PART, -(-count // (4 * processors())))
    for first in range(0, count, size):
        yield first, min(first + size, count)


# -- all states up to symmetry -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AllStates:
    """Representatives of all states.

    Attributes:
      locations, blocks, bits: n, m, and bits of a key for a location.
      group: turns, and turns of the mirror image, that change nothing.
      keys: (N,) of representatives, ascending.
      table: where keys are.
      moves: places (N, 2 n) after k -> k - 1 and k -> k + 1 for every k; N where k is empty.
    """

    locations: int
    blocks: int
    bits: int
    group: tuple[np.ndarray, np.ndarray]
    keys: np.ndarray
    table: np.ndarray
    moves: np.ndarray = field(repr=False)
    outside = 0  # places at the end that stand for other states

    @classmethod
    def of(cls, n: int, m: int, group: tuple, orbits: int, say: Callable[..., object]) -> "AllStates":
        """Enumerate the representatives, so many orbits, and their moves; `say` tells the progress."""
        bits, keys = m.bit_length(), np.empty(orbits, dtype=np.int64)
        say("states", 0, 1)
        count = kernels.enumerate_keys(n, m, bits, group, keys)
        assert count == orbits
        table = np.full(1 << (2 * orbits - 1).bit_length(), -1, dtype=np.int32)
        kernels.fill_table(keys, table)
        moves = np.empty((orbits, 2 * n), dtype=np.uint32)

        def fill(part):
            kernels.fill_moves(*part, keys, n, bits, group, keys, table, moves)
            return part[1]

        for done in in_threads(fill, parts(orbits)):
            check()
            say("moves", done, orbits)
        return cls(n, m, bits, group, keys, table, moves)

    @property
    def count(self) -> int:
        """Number N of places."""
        return len(self.keys)

    @property
    def rows(self) -> np.ndarray:
        """Heights (N, n) of the representatives."""
        return self.heights(self.keys)

    def out_of_reach(self, heights: np.ndarray, _t: int) -> np.ndarray:
        """Which heights (..., n) have no values at a stage: none."""
        return np.zeros(np.shape(heights)[:-1], bool)

    def without_symmetries(self, states: int) -> "AllStates":
        """All states, so many, each for itself."""
        return AllStates.of(self.locations, self.blocks, NO_SYMMETRY, states, lambda *_: None)

    def pack(self, heights: np.ndarray) -> np.ndarray:
        """Keys (...) of heights (..., n)."""
        return (np.asarray(heights, dtype=np.int64) << (self.bits * np.arange(self.locations))).sum(axis=-1)

    def heights(self, keys: np.ndarray) -> np.ndarray:
        """Heights (..., n) of keys (...)."""
        return np.asarray(keys)[..., None] >> (self.bits * np.arange(self.locations)) & ((1 << self.bits) - 1)

    def places(self, heights: np.ndarray) -> np.ndarray:
        """Places (...) of the representatives of heights (..., n)."""
        keys = np.atleast_1d(self.pack(heights))
        found = np.empty(keys.size, dtype=np.int32)
        kernels.find_all(keys.ravel(), self.locations, self.bits, self.group, self.keys, self.table, found)
        return found.reshape(np.shape(heights)[:-1])

    def costs(self, cost: np.ndarray) -> np.ndarray:
        """Cost (N,) of the representatives, from that of a location by its height (m + 1,)."""
        total, mask = np.zeros(len(self.keys)), (1 << self.bits) - 1
        for i in range(self.locations):
            total += cost[self.keys >> (i * self.bits) & mask]
        return total


def symmetries(n: int, goal: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Turns of the ring, and of its mirror image, that leave a goal as it is."""
    if goal is None:
        return np.arange(n), np.arange(n)
    same = [[r for r in range(n) if (np.roll(image, r) == goal).all()] for image in (goal, goal[::-1])]
    return tuple(np.array(turns, dtype=np.int64) for turns in same)


def count_orbits(n: int, m: int, group: tuple[np.ndarray, np.ndarray]) -> int:
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


# -- states in reach ---------------------------------------------------------------------------------------------------


class TooMany(Exception):  # noqa: N818  (no error of a caller's)
    """More states than memory allows; `args` are how many were found."""


@dataclass(frozen=True, eq=False)
class ReachableStates:
    """States in the order of their distance from the start; the last place stands for all others, its heights are 0.

    States at a distance d from the start have values from stage d on.

    Attributes:
      locations, blocks: n, m.
      start: heights (n,).
      rows: heights (N, n).
      units: (n,) of which a key is the sum, times heights; it wraps around.
      keys: (N - 1,) ascending.
      order: places (N - 1,) of the keys.
      moves: places (N, 2 n) after k -> k - 1 and k -> k + 1 for every k; N where k is empty.
      widest: largest number of states at one distance, of those from where the search went on.
    """

    locations: int
    blocks: int
    start: np.ndarray
    rows: np.ndarray
    units: np.ndarray = field(repr=False)
    keys: np.ndarray = field(repr=False)
    order: np.ndarray = field(repr=False)
    moves: np.ndarray = field(repr=False)
    widest: int
    outside = 1  # places at the end that stand for other states

    @classmethod
    def of(
        cls,
        start: np.ndarray,
        stages: int,
        goal: np.ndarray | None,
        room: Callable[..., object],
        say: Callable[..., object],
    ) -> "ReachableStates":
        """Find the states, and the moves between them.

        Args:
          start, stages, goal: of the problem.
          room: function that tells whether there is memory for so many states, so many of them at one distance.
          say: of progress.

        Raises:
          TooMany: if there are more.
        """
        n, units = len(start), np.random.default_rng(0).integers(1, 2**62, len(start)) * 2 + 1
        changes = height_changes(n)[:, ::2].reshape(2 * n, n)
        rows, widest = _search(start, stages, goal, units, changes, room, say)
        keys = rows[:-1] @ units
        order = np.argsort(keys)
        empty = cls(n, int(start.sum()), start, rows, units, keys[order], order, None, widest)
        moves = np.full((len(rows), 2 * n), len(rows), np.uint32)
        for j, change in enumerate(changes):
            check()
            for first in range(0, len(rows), PART):
                there = first + np.flatnonzero(rows[first : first + PART, j // 2] > 0)
                moves[there, j] = empty.places(rows[there] + change)
        return replace(empty, moves=moves)

    @property
    def count(self) -> int:
        """Number N of places, with the last one."""
        return len(self.rows)

    def places(self, heights: np.ndarray) -> np.ndarray:
        """Places (...) of heights (..., n); N - 1 of those that are not here."""
        flat = np.reshape(heights, (-1, self.locations))
        near = self.order[np.minimum(np.searchsorted(self.keys, flat @ self.units), len(self.keys) - 1)]
        found = np.where((self.rows[near] == flat).all(axis=1), near, self.count - 1)
        return found.reshape(np.shape(heights)[:-1])

    def costs(self, cost: np.ndarray) -> np.ndarray:
        """Cost (N,) of the states, from that of a location by its height (m + 1,)."""
        return np.append(cost[self.rows[:-1]].sum(axis=1), 0.0)

    def out_of_reach(self, heights: np.ndarray, t: int) -> np.ndarray:
        """Which heights (..., n) cannot be reached by stage t, and have no values there."""
        return moves_between(heights, self.start) > t

    def without_symmetries(self, _states: int) -> "ReachableStates":
        """The states each for itself, which these are."""
        return self


def _search(start, stages, goal, units, changes, room, say):
    """Heights (N, n) of the states in reach, breadth first, and a row of zeros; and the largest width of the search."""
    layer, layers, before, found, widest = start[None], [start[None]], np.empty(0, np.int64), 1, 0
    for t in range(1, stages + 1):
        check()
        widest = max(widest, len(layer))
        if not room(found, widest):
            raise TooMany(found)
        say("states", found, found)
        here = layer @ units
        parents, action = np.nonzero((layer > 0).repeat(2, axis=1))
        keys, first = np.unique(here[parents] + (changes @ units)[action], return_index=True)
        # moves change the distance by one at most
        known = np.isin(keys, np.concatenate((before, here)))
        layer = layer[parents[first[~known]]] + changes[action[first[~known]]]
        if goal is not None:
            layer = layer[moves_between(layer, goal) <= stages - t]
        if not len(layer):
            break
        layers.append(layer)
        before, found = here, found + len(layer)
    if not room(found, widest):
        raise TooMany(found)
    return np.concatenate([*layers, np.zeros((1, len(start)), layer.dtype)]), widest


def share_reached(start: np.ndarray, stages: int) -> float:
    """Share of all states that can be reached, by a sample of them, which are equally probable; 0 if it is small."""
    rng = np.random.default_rng(0)
    heights = rng.multinomial(int(start.sum()), rng.dirichlet(np.ones(len(start)), SAMPLED))
    share = float(np.mean(moves_between(heights, start) <= stages))
    return share if share >= LEAST_SHARE else 0.0
