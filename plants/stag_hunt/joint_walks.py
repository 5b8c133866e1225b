"""Walkers that are rewarded where they end, by messages over the states of all of them together.

    beta_T(x) = exp(-R(x) / temperature),   beta_t(x) = sum over x' of q(x' | x) beta_{t+1}(x')
    p(x^{t+1} | x^t)  is proportional to  q(x^{t+1} | x^t) beta_{t+1}(x^{t+1})

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), equations 17
and 18. With N cells and M walkers a message has N^M numbers, so that this is for few of both; `Rendezvous.infer` gives
the same probabilities of each walker in far less.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plants.stag_hunt.rendezvous import Rendezvous
from ppi_robotics import ProblemError, Status
from ppi_robotics.checks import check_count, check_instance, check_seed
from ppi_robotics.discrete import Inference, pick

MOST_NUMBERS = 20_000_000  # of all messages together


@dataclass(frozen=True, eq=False, kw_only=True)
class JointMessages(Inference):
    """Exact probabilities of all walkers together.

    Attributes:
      messages: log beta, (stages + 1) arrays with M axes of N cells.
      problem: the `Rendezvous`.
    """

    messages: tuple[np.ndarray, ...]
    problem: Rendezvous

    def step(self, t: int, cells: ArrayLike) -> np.ndarray:
        """Probability of the moves of all walkers, M axes of A moves, at a stage and cells (M,).

        Raises:
          ProblemError: if the stage is out of range.
        """
        problem = self.problem
        check_count(t, "stage", 0, problem.stages - 1)
        there = [problem.moves[cell] for cell in problem.check_cells(cells)]
        ahead = self.messages[t + 1][np.ix_(*[np.maximum(row, 0) for row in there])].copy()
        for axis, row in enumerate(there):
            np.moveaxis(ahead, axis, 0)[row < 0] = -np.inf
        chance = np.exp(ahead - ahead.max())
        return chance / chance.sum()

    def actions(self, t: int, cells: ArrayLike) -> np.ndarray:
        """Probability (M, A) of every walker's move at a stage, given the cells (M,) of all."""
        joint = self.step(t, cells)
        axes = range(joint.ndim)
        return np.stack([joint.sum(axis=tuple(other for other in axes if other != i)) for i in axes])

    def most_likely(self, seed: int = 0) -> np.ndarray:
        """Cells (stages + 1, M) of a walk that takes the most probable move of all walkers; those that tie by seed."""
        random, path = np.random.Generator(np.random.Philox(check_seed(seed))), [np.array(self.problem.start)]
        for t in range(self.problem.stages):
            joint = self.step(t, path[-1])
            chosen = np.unravel_index(pick(joint.ravel(), random), joint.shape)
            path.append(self.problem.moves[path[-1], chosen])
        return np.array(path)


def joint_messages(problem: Rendezvous) -> JointMessages:
    """`JointMessages` of a `Rendezvous`.

    Raises:
      ProblemError: if there are too many joint states, or some walkers have moved already.
    """
    N, M = len(check_instance(problem, "problem", Rendezvous).moves), len(problem.start)
    if problem.moved.any():
        raise ProblemError("some walkers have moved already; give a problem where all have the same stages left")
    if math.log(problem.stages + 1) + M * math.log(N) > math.log(MOST_NUMBERS):
        raise ProblemError(
            f"{M} walkers on {N} cells have {N}^{M} joint states, too many for messages of {problem.stages} stages; "
            "use Rendezvous.infer, which gives the same probabilities of each walker"
        )
    messages = [-_costs(problem, N, M) / problem.temperature]
    for _ in range(problem.stages):
        messages.append(_before(problem.moves, messages[-1]))
    messages = tuple(reversed(messages))
    return JointMessages(
        log_partition=float(messages[0][tuple(problem.start)]),
        exact=True,
        status=Status.CONVERGED,
        messages=messages,
        problem=problem,
    )


def _costs(problem, N, M):
    """R of all joint states, M axes of N cells."""
    shape, cost = (N,) * M, np.zeros((N,) * M)
    axes = [np.arange(N).reshape([-1 if other == i else 1 for other in range(M)]) for i in range(M)]
    for cells in axes:
        cost += problem.alone[cells]
    for place, shared in zip(problem.places, problem.shared, strict=True):
        there = sum(np.broadcast_to((cells == place).astype(int), shape) for cells in axes)
        cost += shared * (there >= 2)
    return cost


def _before(moves, message):
    """log of the mean of exp(message) over the moves of every walker."""
    allowed = moves >= 0
    for axis in range(message.ndim):
        there = np.moveaxis(message, axis, 0)[np.maximum(moves, 0)]  # (N, A, others)
        there = np.where(allowed.reshape(*allowed.shape, *[1] * (message.ndim - 1)), there, -np.inf)
        top = there.max(axis=1, keepdims=True)
        mean = np.exp(there - top).sum(axis=1) / allowed.sum(axis=1).reshape(-1, *[1] * (message.ndim - 1))
        message = np.moveaxis(top[:, 0] + np.log(mean), 0, axis)
    return message
