"""Walkers that are rewarded where they end, alone or in company: KL control of independent walks with a joint cost.

    p(x^1 ... x^T)  =  prod_i q(path of i)  exp(-R(x^T) / temperature) / Z
    R(x)  =  sum_i alone(x_i)  +  sum_j shared_j [at least two walkers are at place j]

q draws every allowed move with the same probability. As R counts at the end alone, the path of a walker is a walk of q
that a function of its last cell tilts, p(path of i) = q(path of i) g_i(last cell), and g_i follows from the
probabilities of the walkers' last places: `CappedCounts`.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 4 and
equations 17 and 18.
"""

import functools
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plants.stag_hunt import kernels
from plants.stag_hunt.counts import CappedCounts, CountBeliefs
from ppi_robotics import ProblemError
from ppi_robotics.checks import as_finite, as_flags, as_wholes, check_choice, check_count, check_number, shown
from ppi_robotics.gaussian import Record, frozen

MOST_STAGES = 1_000_000
METHODS = ("exact", "bp")


@dataclass(frozen=True, eq=False, kw_only=True)
class RendezvousBeliefs(CountBeliefs):
    """Where walkers end, and what they do on the way.

    Attributes:
      ends: probability (M, N) of every walker's last cell.
      kl: Kullback-Leibler divergence of the controlled walks from the uncontrolled ones, -log Z - <R> / temperature.
      problem: the `Rendezvous`.
      tilt: g (M, N), probability of a last cell relative to that of the uncontrolled walk.
    """

    ends: np.ndarray
    kl: float
    problem: "Rendezvous"
    tilt: np.ndarray

    def actions(self, t: int = 0, cells: ArrayLike | None = None) -> np.ndarray:
        """Probability (M, A) of every walker's move at a stage, given the cell where it is and no other walker's.

        Args:
          t: stage, from 0.
          cells: of the walkers (M,); by default where they start.

        Returns:
          The probabilities; 0 for walkers that have made this move already.

        Raises:
          ProblemError: if the stage is out of range, or a walker is at a cell from where the walks do not go on.
        """
        problem = self.problem
        check_count(t, "stage", 0, problem.stages - 1)
        cells = problem.start if cells is None else problem.check_cells(cells)
        ahead = np.empty_like(self.tilt)
        kernels.walk_backward(problem.moves, self.tilt, problem.stages - t - 1, ahead)
        there = problem.moves[cells]  # (M, A)
        chance = np.where(there >= 0, np.take_along_axis(ahead, np.maximum(there, 0), axis=1), 0.0)
        total, made = chance.sum(axis=1, keepdims=True), problem.moved & (t == 0)
        lost = np.flatnonzero((total[:, 0] <= 0.0) & ~made)
        if len(lost):
            lost = int(lost[0])
            raise ProblemError(
                f"walker {lost} is at cell {cells[lost]} at stage {t}, where its walk has probability 0; "
                "infer again from there"
            )
        return _relative(chance, total) * ~made[:, None]


@dataclass(frozen=True, eq=False)
class Rendezvous(Record):
    """Independent walks whose ends are rewarded.

    Attributes:
      moves: cells (N, A) that can be reached in one move, -1 for a move that is not allowed.
      start: cells (M,) of the walkers at stage 0.
      stages: number of moves.
      alone: cost (N,) of every walker that ends at a cell.
      places: cells (S,) that reward company.
      shared: cost (S,) of a place where at least two walkers end.
      temperature: that divides costs, positive.
      moved: which walkers (M,) have made the first move already, and are where it took them; none by default.
    """

    moves: np.ndarray
    start: np.ndarray
    stages: int
    alone: np.ndarray
    places: np.ndarray
    shared: np.ndarray
    temperature: float
    moved: np.ndarray | None = None

    def __post_init__(self):
        for name in ("moves", "start", "places"):
            object.__setattr__(self, name, frozen(as_wholes(getattr(self, name), name), np.int64))
        for name in ("alone", "shared"):
            object.__setattr__(self, name, frozen(as_finite(getattr(self, name), name)))
        moved = np.zeros(self.start.shape) if self.moved is None else as_flags(self.moved, "moved")
        object.__setattr__(self, "moved", frozen(moved, bool))
        object.__setattr__(self, "temperature", check_number(self.temperature, "temperature", above=0))
        N = len(self.moves) if self.moves.ndim == 2 else 0
        if not N or (self.moves < -1).any() or (self.moves >= N).any() or not (self.moves >= 0).any(axis=1).all():
            raise ProblemError(
                f"moves has shape {self.moves.shape}; expected (N, A) cells from 0 to N - 1, -1 where there is no "
                "move, and a move from every cell"
            )
        for name, cells, least in (("start", self.start, 1), ("places", self.places, 0)):
            if cells.ndim != 1 or len(cells) < least or (cells < 0).any() or (cells >= N).any():
                raise ProblemError(f"{name} is {shown(cells)}; expected cells from 0 to {N - 1}")
        if len(np.unique(self.places)) < len(self.places):
            raise ProblemError(f"places is {shown(self.places)}; expected different cells")
        if self.alone.shape != (N,) or self.shared.shape != self.places.shape:
            raise ProblemError(
                f"alone has shape {self.alone.shape} and shared {self.shared.shape}; expected {(N,)} and one a place"
            )
        check_count(self.stages, "stages", 0, MOST_STAGES)
        if self.moved.shape != self.start.shape or self.stages < self.moved.any():
            raise ProblemError(
                f"moved is {shown(self.moved)} of {self.stages} stages; expected a truth value for each walker, "
                "and a stage to have moved in"
            )

    def after(self, start: ArrayLike, stages: int, moved: ArrayLike | None = None) -> "Rendezvous":
        """The same problem from other cells for other stages, for instance those that are left."""
        return replace(self, start=start, stages=stages, moved=moved)

    def at(self, temperature: float) -> "Rendezvous":
        """The same problem at another temperature."""
        return replace(self, temperature=temperature)

    def infer(self, method: str = "exact", **options: Any) -> RendezvousBeliefs:
        """`RendezvousBeliefs`, exact or by belief propagation.

        Args:
          method: "exact" or "bp".
          options: of belief propagation, as `CappedCounts.propagate`.

        Raises:
          ProblemError: if the method is unknown, there are too many places for "exact", or an option is out of range
            or of the other method.
        """
        check_choice(method, "method", METHODS)
        if method == "exact" and options:
            raise ProblemError(f"{', '.join(options)} is given, which belongs to method 'bp'; leave it out")
        counts = self.counts.exact() if method == "exact" else self.counts.propagate(**options)
        tilt = frozen(self._tilt(counts.classes))
        made = {field.name: getattr(counts, field.name) for field in fields(counts)}
        kl = -counts.log_partition - counts.mean / self.temperature
        return RendezvousBeliefs(**made, ends=self.free_ends * tilt, kl=kl, problem=self, tilt=tilt)

    def least_cost(self) -> float:
        """The least cost R that the walkers can reach."""
        own = np.column_stack([self._lowest, self.counts.own[:, 1:]])
        return replace(self.counts, own=own).least()

    def cost(self, cells: ArrayLike) -> float:
        """R of cells (M,) of the walkers."""
        cells = self.check_cells(cells)
        together = (cells[:, None] == self.places).sum(axis=0) >= 2
        return float(self.alone[cells].sum() + self.shared[together].sum())

    def check_cells(self, cells: ArrayLike) -> np.ndarray:
        """Cells (M,) of the walkers as an array of whole numbers."""
        return as_wholes(cells, "cells", self.start.shape, 0, len(self.moves) - 1)

    @functools.cached_property
    def free_ends(self) -> np.ndarray:
        """Probability (M, N) of the walkers' last cells without control."""
        ends = np.empty((len(self.start), len(self.moves)))
        kernels.walk_forward(self.moves, self.start, self.stages - self.moved, ends)
        return ends

    @functools.cached_property
    def counts(self) -> CappedCounts:
        """The `CappedCounts` of the walkers' last places."""
        total = self._none.sum(axis=1)
        with np.errstate(divide="ignore"):
            none = np.log(total) - self._lowest / self.temperature
            there = np.log(self.free_ends[:, self.places]) - self.alone[self.places] / self.temperature
        none[total == 0.0] = -np.inf
        mean = _relative(self._none @ self.alone, total)
        spread = _relative((self._none * (self.alone - mean[:, None]) ** 2).sum(axis=1), total)
        own = np.column_stack([mean, np.broadcast_to(self.alone[self.places], there.shape)])
        weights = np.column_stack([none, there])
        return CappedCounts(weights, -self.shared / self.temperature, own, spread, self.shared)

    @functools.cached_property
    def _lowest(self):
        """The least cost (M,) of cells that walkers reach and that are no place; inf where there is none."""
        return np.where(self._elsewhere, self.alone, np.inf).min(axis=1, initial=np.inf)

    @functools.cached_property
    def _elsewhere(self):
        """Which cells (M, N) walkers reach that are no place."""
        cells = self.free_ends > 0.0
        cells[:, self.places] = False
        return cells

    @functools.cached_property
    def _factor(self):
        """exp(-alone / temperature) (M, N) relative to the largest that a walker can have, 0 at places."""
        above = np.where(self._elsewhere, self.alone - self._lowest[:, None], np.inf)
        return np.exp(-above / self.temperature)

    @functools.cached_property
    def _none(self):
        """Weights (M, N) of last cells that are no place, relative as `_factor`."""
        return self.free_ends * self._factor

    def _tilt(self, classes):
        """g (M, N) from the probabilities (M, S + 1) of last places."""
        tilt = _relative(classes[:, :1], self._none.sum(axis=1, keepdims=True)) * self._factor
        tilt[:, self.places] = _relative(classes[:, 1:], self.free_ends[:, self.places])
        return tilt


def _relative(part, whole):
    """part / whole, 0 where whole is."""
    return np.where(whole > 0.0, part / np.where(whole > 0.0, whole, 1.0), 0.0)
