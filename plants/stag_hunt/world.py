"""Hunters on a grid: a hare is caught alone, a stag by two, and what is caught at the last stage counts.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 4.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plants.stag_hunt.factor_graph import StagGraph, stag_graph
from plants.stag_hunt.rendezvous import Rendezvous, RendezvousBeliefs
from ppi_robotics import ProblemError
from ppi_robotics.checks import as_wholes, check_choice, check_count, check_number, check_seed, shown
from ppi_robotics.discrete import Play, play

MOVES = {"stay": (0, 0), "up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # in the order of actions
MOST_SIDE, MOST_STAGES = 10_000, 1_000_000
LOOPS = ("open", "closed", "turns")


class StagHunt:
    """Hunters that walk L x L cells for some stages, and are then paid for what is in their cell.

    Without control a hunter stays or goes to one of the neighboring cells, all that are there with the same
    probability. The cost of the last cells is `hare` for every hunter at a hare and `stag` for every stag with two
    hunters or more; it counts divided by the temperature. Cells are numbers row * L + column.

    Attributes:
      side, stages, hare, stag, temperature: as given.
      hunters: cells (M,) at stage 0; hunters may share one.
      hares, stags: cells (H,) and (S,).
      cells: L * L.
      moves: cells (L * L, 5) reached by staying and by going up, down, left and right, -1 for off the grid.
      problem: the `Rendezvous` that it is.

    Args:
      side: number of cells L along a side.
      hunters, hares, stags: cells as numbers, or as (row, column) pairs from 0.
      stages: number of moves.
      hare: cost of a hare that a hunter is at, negative to be paid.
      stag: cost of a stag with two hunters or more.
      temperature: that divides the cost, positive.

    Raises:
      ProblemError: if a cell is off the grid or has two animals, there is no hunter, or a number is out of range.
    """

    def __init__(
        self,
        side: int,
        hunters: ArrayLike,
        hares: ArrayLike,
        stags: ArrayLike,
        stages: int = 9,
        hare: float = -2.0,
        stag: float = -10.0,
        temperature: float = 1.0,
    ) -> None:
        self.side = check_count(side, "side", 1, MOST_SIDE)
        self.stages = check_count(stages, "stages", 1, MOST_STAGES)
        self.cells, self.temperature = self.side**2, check_number(temperature, "temperature", above=0)
        self.hare, self.stag = check_number(hare, "hare"), check_number(stag, "stag")
        self.hunters = _cells(hunters, self.side, "hunters")
        self.hares, self.stags = _cells(hares, self.side, "hares"), _cells(stags, self.side, "stags")
        if not len(self.hunters):
            raise ProblemError("there is no hunter; give one or more")
        animals, counts = np.unique(np.concatenate([self.hares, self.stags]), return_counts=True)
        if (counts > 1).any():
            row, column = divmod(int(animals[counts > 1][0]), self.side)
            raise ProblemError(f"row {row}, column {column} has {counts.max()} animals; expected one a cell")

    @classmethod
    def random(cls, side: int, hunters: int, seed: int = 0, stages: int = 9, **options: float) -> "StagHunt":
        """A random instance with M hunters, 2 M hares and M / 2 stags, all in cells of their own.

        Args:
          side: number of cells along a side.
          hunters: their number M, even.
          seed: of numpy's default generator, whose permutation of the cells has hunters, stags and hares first.
          stages: number of moves.
          options: costs and temperature, as the class.

        Raises:
          ProblemError: if the number is odd, or there are too few cells.
        """
        side, hunters = check_count(side, "side", 1, MOST_SIDE), check_count(hunters, "hunters", 2)
        seed = check_seed(seed)
        if hunters % 2:
            raise ProblemError(f"hunters is {hunters}; expected an even number, as there is a stag for every two")
        if 7 * hunters // 2 > side**2:
            raise ProblemError(
                f"{hunters} hunters with their hares and stags need {7 * hunters // 2} cells, there are {side**2}; "
                "give fewer hunters or a longer side"
            )
        cells = np.random.default_rng(seed).permutation(side**2)
        stags, hares = hunters + hunters // 2, 7 * hunters // 2
        return cls(side, cells[:hunters], cells[stags:hares], cells[hunters:stags], stages, **options)

    def at(self, temperature: float) -> "StagHunt":
        """The same hunt at another temperature.

        Raises:
          ProblemError: as the class.
        """
        cells = self.hunters, self.hares, self.stags
        return StagHunt(self.side, *cells, self.stages, self.hare, self.stag, temperature)

    @functools.cached_property
    def moves(self) -> np.ndarray:
        """Cells (L * L, 5) reached by every action, -1 for off the grid."""
        L, (row, column) = self.side, np.divmod(np.arange(self.cells), self.side)
        there = [(row + down, column + right) for down, right in MOVES.values()]
        inside = [(r >= 0) & (r < L) & (c >= 0) & (c < L) for r, c in there]
        return np.stack([np.where(ok, r * L + c, -1) for ok, (r, c) in zip(inside, there, strict=True)], axis=1)

    @functools.cached_property
    def problem(self) -> Rendezvous:
        """The `Rendezvous` at the stags, with hares for those who come alone."""
        alone = np.zeros(self.cells)
        alone[self.hares] = self.hare
        shared = np.full(len(self.stags), self.stag)
        return Rendezvous(self.moves, self.hunters, self.stages, alone, self.stags, shared, self.temperature)

    def infer(self, method: str = "exact", **options: Any) -> RendezvousBeliefs:
        """`RendezvousBeliefs` by "exact" sums or by "bp", belief propagation; options as `Rendezvous.infer`."""
        return self.problem.infer(method, **options)

    def graph(self) -> StagGraph:
        """The hunt as a factor graph, `plants.stag_hunt.factor_graph.StagGraph`."""
        return stag_graph(self)

    def cost(self, cells: ArrayLike) -> float:
        """Cost of last cells (M,)."""
        return self.problem.cost(cells)

    def caught(self, cells: ArrayLike) -> tuple[int, int]:
        """How many hunters in cells (M,) are at a hare, and how many stags have two or more."""
        cells = self.problem.check_cells(cells)
        return int(np.isin(cells, self.hares).sum()), int(((cells[:, None] == self.stags).sum(axis=0) >= 2).sum())

    def play(
        self,
        method: str = "exact",
        loop: str = "closed",
        choice: str = "map",
        seed: int = 0,
        progress: Callable[..., object] | None = None,
        **options: Any,
    ) -> Play:
        """`Play` of all stages, every hunter acting on its own probabilities.

        Args:
          method: "exact" or "bp".
          loop: "closed" infers again at every stage from where all hunters are; "open" infers once, and every hunter
            follows its own probabilities given its own cell; "turns" has the hunters of a stage move one after the
            other, each inferring from where all are by then. Samples by turns have the distribution of the joint walks.
          choice, seed, progress: as `ppi_robotics.discrete.play`.
          options: of belief propagation.

        Returns:
          `Play`; by turns it has an inference of every hunter at every stage. After Ctrl-C it is shorter.

        Raises:
          ProblemError: if method, loop, choice or an option is unknown.
        """
        check_choice(loop, "loop", LOOPS)
        if loop == "turns":
            return self._play_by_turns(method, choice, seed, progress, options)
        stages = self.stages

        def infer(cells, t, memory):
            if loop == "closed":
                beliefs = self.problem.after(cells, stages - t).infer(method, **options)
                return beliefs.actions(), beliefs, None
            beliefs = self.infer(method, **options) if memory is None else memory
            return beliefs.actions(t, cells), beliefs, beliefs

        def step(cells, actions):
            return self.moves[cells, actions]

        return play(infer, step, self.hunters, stages, choice, seed, progress)

    def _play_by_turns(self, method, choice, seed, progress, options):
        """`Play` of all stages, hunter after hunter within each."""
        M, T = len(self.hunters), self.stages

        def infer(state, turn, _memory):
            t, i = divmod(turn, M)
            beliefs = self.problem.after(state[0], T - t, moved=np.arange(M) < i).infer(method, **options)
            return beliefs.actions()[i], beliefs, None

        def step(state, action):
            cells, i = state
            cells = np.where(np.arange(M) == i, self.moves[cells[i], action], cells)
            return cells, (i + 1) % M

        def follow(done, _turns):
            if progress is not None and done % M == 0:
                progress(done // M, T)

        turns = play(infer, step, (self.hunters, 0), M * T, choice, seed, follow)
        whole = len(turns.actions) // M  # stages, fewer after Ctrl-C
        made = (part[: whole * M] for part in (turns.actions, turns.probabilities))
        actions, chances = (np.array(part).reshape(whole, M, -1) for part in made)
        states, inferences = tuple(cells for cells, _ in turns.states[::M]), turns.inferences[: whole * M]
        return Play(states, tuple(actions[..., 0]), tuple(chances), inferences, seed, turns.interrupted)


def _cells(given, side, name):
    """Numbers (n,) of cells, from numbers or (row, column) pairs."""
    array = as_wholes(given, name)
    pairs = array.ndim == 2 and array.shape[1] == 2
    if array.ndim != 1 and not pairs:
        raise ProblemError(f"{name} are {shown(given)}; expected numbers of cells, or (row, column) pairs")
    outside = (array < 0) | (array >= (side if pairs else side**2))
    if outside.any():
        first = array[np.unravel_index(outside.argmax(), outside.shape)[0]]
        what = f"(row, column) {tuple(first.tolist())}" if pairs else f"cell {first}"
        raise ProblemError(f"{name} has {what}; expected one on the grid of {side} x {side}")
    array = (array @ [side, 1] if pairs else array).astype(np.int64)
    array.setflags(write=False)
    return array
