"""When enough starts were made: the rules by which a solve goes on to another guess, gives one up, or ends.

A run has an `outcome` with `status`, `nominal` cost, `rank`, `worst` violation, `policy` and path; a `trace`; a `kind`.
"""

import numpy as np

from ppi_robotics.solution import Status

OUTSIDE = 8  # starts that leave the limits, after which none is likely to keep them
LEAST = 4  # starts, so that there are steps of both kinds
EASY = 50  # iterations that are few
PATIENCE, GRACE = 3, 50  # times as many iterations as the best start's and more, before one that costs more is given up


def lowest(runs):
    """The runs whose answer is the best, to one part in a million, in their order.

    Of answers within one part in a thousand those that converged come first.
    """
    lost, nominal = min(run.outcome.rank for run in runs)
    near = [run for run in runs if run.outcome.rank <= (lost, nominal + 1e-3 * abs(nominal))]
    near = [run for run in near if run.outcome.status.solved] or near
    best = min(run.outcome.nominal for run in near)
    return [run for run in near if run.outcome.nominal <= best + 1e-6 * abs(best)]


def agreed(problem, runs):
    """Whether enough runs found the best answer, to one part in a thousand, and it succeeds without noise.

    At least two, which began at guesses of different kinds or took steps of different kinds, or three; in all so many
    that both kinds of steps were tried, and another optimum would hardly have been missed: the more of them there are,
    the more. Where there is one kind of steps alone, problems that take few iterations hardly have other optima.
    """
    best = lowest(runs)[0].outcome
    if best.policy is None or not best.status.solved:
        return False
    if problem.success is not None and not problem.success(best.x[-1:])[0]:
        return False
    near = [run for run in runs if run.outcome.nominal <= best.nominal + 1e-3 * abs(best.nominal)]
    if len(near) < 2 or (len(near) == 2 and near[0].kind == near[1].kind):
        return False
    costs = np.sort([run.outcome.nominal for run in runs if run.outcome.status.solved])
    optima = 1 + int((np.diff(costs) > 1e-3 * np.abs(costs[1:])).sum())
    if optima == 1:
        easy = not runs[0].schedule.other and all(len(run.trace) <= EASY for run in runs)
        return not problem.plant.second_derivatives or len(runs) >= LEAST or easy
    return len(runs) >= (optima**2 + 5 if problem.plant.second_derivatives else 2 * optima)


def rival(runs):
    """Iterations and cost of the best run so far, for others to give up by; None before any has converged.

    What costs more after several times as many iterations would not have become better.
    """
    solved = [run for run in runs if run.outcome.status.solved]
    if not solved:
        return None
    best = min(solved, key=lambda run: run.outcome.nominal)
    return PATIENCE * len(best.trace) + GRACE, best.outcome.nominal * (1 + 1e-3)


def in_vain(runs):
    """Whether two runs used up their iterations at the same best cost, or the limits can hardly be kept.

    Two runs have proved that they cannot, or all have left them: four with a proof among them, or eight.
    """
    if any(run.outcome.status.solved for run in runs):
        return False
    best, proofs = lowest(runs), sum(run.outcome.status is Status.INFEASIBLE for run in runs)
    status = best[0].outcome.status
    if status is Status.MAX_ITERATIONS and len(best) >= 2 or status is Status.INFEASIBLE and proofs >= 2:
        return True
    return len(runs) >= (OUTSIDE // 2 if proofs else OUTSIDE) and all(run.outcome.worst is not None for run in runs)
