"""The control sequences that a sampling-based method would draw about its answer, rolled out and weighed."""

from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.checks import check_count, check_instance, check_room, check_seed, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.problem import check_problem
from ppi_robotics.sampling.steps import applied
from ppi_robotics.sampling.trials import run_trials
from ppi_robotics.solution import Solution


@dataclass(frozen=True, eq=False)
class Fan:
    """Sampled rollouts.

    Attributes:
      x, u: states (N, T + 1, nx), of several draws of the noise their mean, and controls before limits act (N, T, nu).
      cost: (N,).
      weights: (N,), of sum 1; all 0 if no cost is finite.
    """

    x: np.ndarray
    u: np.ndarray
    cost: np.ndarray
    weights: np.ndarray


def fan(problem, solution, samples=256, seed=0):
    """`Fan` about the answer of a sampling-based method: of its last round if it kept that, else drawn again.

    Args:
      problem: `Problem`.
      solution: `Solution` of `MPPI`, `CEM` or `PredictiveSampling`.
      samples: number to draw.
      seed: of controls and noise.

    Raises:
      ProblemError: if the method does not sample, or a number is out of range.
    """
    samples = check_count(samples, "samples", 2)
    seed = check_seed(seed)
    check_problem(problem)
    check_instance(solution, "solution", Solution)
    method, kept = solution.method, solution.samples
    if not hasattr(method, "first_proposal") or solution.proposal is None:
        raise ProblemError(f"the solution's method is {shown(method)}, which does not sample; choose MPPI or CEM")
    if kept is not None:
        return Fan(kept.x, kept.u, kept.cost, kept.weights)
    check_room(samples, 8 * (problem.horizon + 1) * (problem.plant.nx + 2 * problem.plant.nu))
    proposal = replace(solution.proposal, x_ref=solution.x, u_ref=solution.u)
    draws = proposal.sample(method.draws, samples, seed, 0)
    risk = method.noise_draws, method.lambda_transition
    trials = run_trials(problem, proposal, draws.push, seed, 0, *risk, True)
    ratio = proposal.log_ratio(draws, trials.x, method.follow, 0)
    weights = method.temperature.weights(trials.cost, ratio).weights
    return Fan(*map(frozen, (trials.x, applied(proposal, draws, trials.x), trials.cost, weights)))
