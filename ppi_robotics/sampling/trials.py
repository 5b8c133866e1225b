"""Rollouts of sampled control sequences, on all processors."""

from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from ppi_robotics.interruption import check
from ppi_robotics.kernels.compiler import ROLLOUT_LANES
from ppi_robotics.parallel import in_threads
from ppi_robotics.rollouts import CHUNK
from ppi_robotics.sampling.temperature import entropic

TASKS = 8  # of a round, so that threads finish together


@dataclass(frozen=True, slots=True)
class Trials:
    """What came of N control sequences.

    Attributes:
      cost: (N,); over several draws of the plant's noise, their risk-weighted mean.
      to_go: costs of the stages t to T (N, T + 1), or None; likewise.
      x: states (N, T + 1, nx), or None; their mean over the draws of the noise.
    """

    cost: np.ndarray
    to_go: np.ndarray | None
    x: np.ndarray | None


def run_trials(problem, proposal, push, seed, first, noise_draws, weight, recorded):
    """Rollouts of control sequences about a proposal's closed loop.

    Args:
      problem: `Problem`.
      proposal: `Proposal`.
      push: (N, T, nu).
      seed, first: of the plant's noise; sequence i meets the same in every call.
      noise_draws: rollouts a sequence, each with noise of its own; 0 for one without noise.
      weight: of the risk over the draws, R_weight[C].
      recorded: whether states and costs to go are wanted.

    A rollout that leaves the plant's state limits costs infinity.

    Returns:
      `Trials`.
    """
    plant, T, repeats = problem.plant, problem.horizon, max(noise_draws, 1)
    law = SimpleNamespace(x_ref=proposal.x_ref[:T], u_ref=proposal.u_ref, K=proposal.K)
    loop = plant.closed_loop(problem, law, seed, False, noise_draws > 0, repeats)
    N, walls = len(push) * repeats, plant.state_limits
    recorded = recorded or bool(np.isfinite(walls).any())
    cost, final = np.empty(N), np.empty((N, plant.nx))
    stages = np.empty((N, T + 1)) if recorded else None
    x, u = (np.empty((N, T + 1, plant.nx)), np.empty((N, T, plant.nu))) if recorded else (None, None)
    lanes = ROLLOUT_LANES * -(-N // (TASKS * ROLLOUT_LANES))
    rows = max(min(lanes, CHUNK, loop.most) // repeats, 1)  # sequences a task

    def run(row):
        part = slice(row * repeats, min((row + rows) * repeats, N))
        kept = (None, None, None) if x is None else (x[part], u[part], stages[part])
        pushed = push[row : row + rows]
        loop.run(first * repeats + part.start, cost[part], final[part], *kept[:2], push=pushed, stages=kept[2])

    if loop.few >= N:
        loop.run(first * repeats, cost, final, x, u, push=push, stages=stages, threads=None)
    else:
        with closing(in_threads(run, range(0, len(push), rows))) as parts:
            for _ in parts:
                check()
    if np.isfinite(walls).any():
        cost[((x < walls[:, 0]) | (x > walls[:, 1])).any(axis=(1, 2))] = np.inf
    to_go = None if stages is None else np.cumsum(stages[:, ::-1], axis=1)[:, ::-1]
    if repeats == 1:
        return Trials(cost, to_go, x)
    with np.errstate(invalid="ignore"):
        to_go = None if to_go is None else entropic(to_go.reshape(-1, repeats, T + 1), weight, 1)
    x = None if x is None else x.reshape(-1, repeats, *x.shape[1:]).mean(axis=1)
    return Trials(entropic(cost.reshape(-1, repeats), weight, 1), to_go, x)
