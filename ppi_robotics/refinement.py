"""Sampling about the closed loop: rounds of sampling-based methods with the gains of the round before.

Control sequences that are drawn without feedback spread their trajectories ever further on an unstable plant, and few
of them are of use. With the gains of the last policy they stay about it, as in G. Williams et al., *Robust sampling
based model predictive control with sparse objective information* (RSS 2018), whose gains are those of iLQG.
"""

import time
from dataclasses import replace

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.guesses import control_range
from ppi_robotics.sampling.methods import WIDTH
from ppi_robotics.solution import Status
from ppi_robotics.solver import LOST, check_task, solve

GUESSES = 2  # small random controls, and the cheapest of many swings
ROUNDS = 10  # from one renewal of the gains to the next
PROGRESS = 0.01  # share of the cost that a stage is to gain; the next one samples half as far otherwise
HALVINGS = 3  # one after the other


def refine(problem, method, seed=0, starts=None, callback=None):
    """Find a feedback policy by a sampling-based method that renews the gains of its proposal every 10 rounds.

    A stage that lowers the cost of the mean by less than 1 % halves the spread of the samples; the third in a row ends
    the search as converged.

    Args:
      problem: `Problem`.
      method: `MPPI`, `CEM` or `PredictiveSampling` with a moving baseline; its `max_iterations` bounds the rounds of
        all stages together.
      seed: of the initial guesses and of all samples.
      starts: number of initial guesses for the first 10 rounds, 2 by default; the best goes on.
      callback: called with every `Iteration`; returning True stops the search.

    Returns:
      `Solution`: the best policy, the trace of all stages, the guesses, and the method of the stage that found it.

    Raises:
      ProblemError: if an argument cannot be used.
    """
    check_task(problem, method)
    if not hasattr(method, "first_proposal") or method.follow < 1.0:
        raise ProblemError(f"method is {method!r}; expected MPPI, CEM or PredictiveSampling with baseline 'moving'")
    began, left, small, stage = time.perf_counter(), method.max_iterations, 0, 0
    spread = WIDTH * control_range(problem.plant) if method.spread is None else np.asarray(method.spread, dtype=float)
    first = replace(method, max_iterations=min(ROUNDS, left))
    best = solve(problem, first, seed, GUESSES if starts is None else starts, callback=callback)
    trace, status, guesses = list(best.trace), best.status, best.starts
    while status not in LOST and status is not Status.INTERRUPTED:
        left -= ROUNDS
        if small == HALVINGS or left <= 0:
            status = Status.CONVERGED if small == HALVINGS else Status.MAX_ITERATIONS
            break
        stage += 1
        again = replace(method, proposal=best.policy, spread=spread, max_iterations=min(ROUNDS, left))
        found = solve(problem, again, seed_of(seed, stage), 1, callback=follow(callback, len(trace)))
        trace += [replace(row, index=len(trace) + row.index) for row in found.trace]
        gained = found.status not in LOST and found.nominal_cost < best.nominal_cost
        if gained and best.nominal_cost - found.nominal_cost > PROGRESS * abs(best.nominal_cost):
            small = 0
        else:
            small, spread = small + 1, spread / 2
        if gained or (method.noise_draws and found.status not in LOST):
            best = found
        status = found.status if found.status is Status.INTERRUPTED else best.status
    return replace(best, trace=tuple(trace), starts=guesses, status=status, seconds=time.perf_counter() - began)


def seed_of(seed, stage):
    """Seed of a stage."""
    return int(np.random.SeedSequence([seed, stage]).generate_state(1, np.uint64)[0])


def follow(callback, done):
    """A callback that counts on from the rounds that are done; None without one."""
    return None if callback is None else lambda row: callback(replace(row, index=done + row.index))
