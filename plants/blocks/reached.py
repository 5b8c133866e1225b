"""States of blocks on a ring that can be passed on the way from a start in the moves there are, and to a goal if any.

Few moves reach few states, however many blocks there are: those at a distance d from the start count from stage d on.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from plants.blocks.ring import PART, moves_between, shifts

SAMPLED, LEAST_SHARE = 1000, 0.05  # states drawn to estimate how many can be reached, and what they tell at least


class TooMany(Exception):  # noqa: N818  (no error of a caller's)
    """More states than memory allows; `args` are how many were found."""


@dataclass(frozen=True, eq=False)
class Reached:
    """States in the order of their distance from the start, and last one without heights that stands for all others.

    Attributes:
      locations, blocks: n, m.
      start: heights (n,).
      rows: heights (N, n), the last ones 0.
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
    outside = 1  # states at the end that stand for others

    @classmethod
    def of(cls, start, stages, goal, room, say):
        """Search the states breadth first.

        Args:
          start, stages, goal: of the problem.
          room: function that tells whether there is memory for so many states, so many of them at one distance.
          say: of progress.

        Raises:
          TooMany: if there are more.
        """
        n, units = len(start), np.random.default_rng(0).integers(1, 2**62, len(start)) * 2 + 1
        changes = shifts(n)
        layer, layers, before, found, widest = start[None], [start[None]], np.empty(0, np.int64), 1, 0
        for t in range(1, stages + 1):
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
        rows = np.concatenate([*layers, np.zeros((1, n), layer.dtype)])
        del layers, layer
        keys = rows[:-1] @ units
        order = np.argsort(keys)
        empty = cls(n, int(start.sum()), start, rows, units, keys[order], order, None, widest)
        moves = np.full((len(rows), 2 * n), len(rows), np.uint32)
        for j, change in enumerate(changes):
            for first in range(0, len(rows), PART):
                there = first + np.flatnonzero(rows[first : first + PART, j // 2] > 0)
                moves[there, j] = empty.places(rows[there] + change)
        return replace(empty, moves=moves)

    @property
    def count(self):
        """Number N of states, with the last one."""
        return len(self.rows)

    def places(self, heights):
        """Places (...) of heights (..., n); N - 1 of those that are not here."""
        flat = np.reshape(heights, (-1, self.locations))
        near = self.order[np.minimum(np.searchsorted(self.keys, flat @ self.units), len(self.keys) - 1)]
        found = np.where((self.rows[near] == flat).all(axis=1), near, self.count - 1)
        return found.reshape(np.shape(heights)[:-1])

    def costs(self, cost):
        """Cost (N,) of the states."""
        return np.append(cost[self.rows[:-1]].sum(axis=1), 0.0)

    def late(self, heights, t):
        """Whether heights (..., n) cannot be reached by stage t, where they have no values."""
        return moves_between(heights, self.start) > t

    def plain(self, _states):
        """The states without symmetries, which are these."""
        return self


def share_reached(start, stages):
    """Share of all states that can be reached, by a sample of them, which are equally probable; 0 if it is small."""
    rng = np.random.default_rng(0)
    heights = rng.multinomial(int(start.sum()), rng.dirichlet(np.ones(len(start)), SAMPLED))
    share = float(np.mean(moves_between(heights, start) <= stages))
    return share if share >= LEAST_SHARE else 0.0
