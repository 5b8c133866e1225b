"""The stag hunt as a factor graph: the hunters' cells, who is at which stag, and how many are, counted up to two.

    prod_i  prod_t q(x_i^{t+1} | x_i^t)  hare(x_i^T)  prod_j [d_ij = [x_i^T = stag j]]
    prod_j  [u_1j = d_1j + d_2j]  prod_k [u_kj = min(2, u_{k-1,j} + d_{k+1,j})]  stag(u_{M-1,j})

A step q is a move drawn among those allowed, a variable of its own, and the cell that it leads to.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 4.1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ppi_robotics.discrete import FactorGraph, GraphBeliefs, IndexMap, Table

if TYPE_CHECKING:
    from plants.stag_hunt.world import StagHunt


@dataclass(frozen=True, eq=False)
class StagGraph:
    """Factor graph of a `StagHunt`, the start clamped, and which variable is which.

    Attributes:
      graph: `FactorGraph`.
      cells: variables x (stages + 1, M), the start first.
      moves: variables (stages, M) of the moves.
      at: d (M, S), whether a hunter is at a stag in the end.
      counts: u (M - 1, S), how many of the first two, three, ... hunters are at a stag, 2 for more.
    """

    graph: FactorGraph
    cells: np.ndarray
    moves: np.ndarray
    at: np.ndarray
    counts: np.ndarray

    def actions(self, found: GraphBeliefs, stage: int = 0) -> np.ndarray:
        """Probability (M, 5) of every hunter's move at a stage, from the `GraphBeliefs` of inference in the graph."""
        return np.stack([found.beliefs[variable] for variable in self.moves[stage]])

    def ends(self, found: GraphBeliefs) -> np.ndarray:
        """Probability (M, cells) of every hunter's last cell."""
        return np.stack([found.beliefs[variable] for variable in self.cells[-1]])


def stag_graph(hunt: "StagHunt") -> StagGraph:
    """`StagGraph` of a hunt."""
    M, S, T, N = len(hunt.hunters), len(hunt.stags), hunt.stages, hunt.cells
    blocks = {"x": (T + 1, M, N), "a": (T, M, 5), "d": (M, S, 2), "u": (max(M - 1, 0), S, 3)}
    sizes, names, numbers = [], [], {}
    for name, (rows, columns, size) in blocks.items():
        numbers[name] = len(sizes) + np.arange(rows * columns).reshape(rows, columns)
        sizes += [size] * (rows * columns)
        names += [f"{name} {row} {column}" for row in range(rows) for column in range(columns)]
    x, a, d, u = numbers.values()
    log_q = np.where(hunt.moves >= 0, -np.log((hunt.moves >= 0).sum(axis=1, keepdims=True)), -np.inf)
    factors = [IndexMap((x[t, i], a[t, i]), x[t + 1, i], hunt.moves, log_q) for i in range(M) for t in range(T)]
    hare = np.zeros(N)
    hare[hunt.hares] = -hunt.hare / hunt.temperature
    factors += [Table((x[T, i],), hare) for i in range(M)]
    for j, stag in enumerate(hunt.stags):
        factors += [IndexMap((x[T, i],), d[i, j], (np.arange(N) == stag).astype(int)) for i in range(M)]
        for k in range(M - 1):
            before, size = (d[0, j], 2) if k == 0 else (u[k - 1, j], 3)
            sums = np.minimum(np.arange(size)[:, None] + np.arange(2), 2)
            factors.append(IndexMap((before, d[k + 1, j]), u[k, j], sums))
        if M > 1:
            factors.append(Table((u[M - 2, j],), np.array([0.0, 0.0, -hunt.stag / hunt.temperature])))
    held = dict(zip(x[0], hunt.hunters, strict=True))
    return StagGraph(FactorGraph(tuple(sizes), tuple(factors), tuple(names)).clamp(held), x, a, d, u)
