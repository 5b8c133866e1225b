"""One full solver iteration on the cart-pole: derivatives, sweep, step.

Crocoddyl iterates on a linear-quadratic model of the same sizes in C++, cheaper than a cart-pole: with one step length
its iteration is calcDiff, backwardPass, forwardPass. Ours is a phase's `advance`.
"""

import math

import numpy as np

from benchmarks.report import check, missing, report
from benchmarks.sweep import HORIZON, crocoddyl_solver, random_model
from benchmarks.timing import side_by_side


def ours():
    """Functions that advance iLQG and PPI by one iteration, where the first step length is accepted."""
    import ppi_robotics as ppi
    from plants import CartPole
    from ppi_robotics.guesses import cold_guess
    from ppi_robotics.steps.multiple_shooting import MultipleShooting
    from ppi_robotics.steps.single_shooting import SingleShooting

    plant = CartPole()
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, HORIZON)
    functions = {}
    for name, phase, before in (("iLQG", SingleShooting(), 106), ("PPI", MultipleShooting(1e-3), 10)):
        iterate = phase.begin(problem, *cold_guess(problem, 0, 0))
        for index in range(before):
            iterate, _ = phase.advance(problem, iterate, index)
        functions[name] = lambda phase=phase, iterate=iterate: phase.advance(problem, iterate, 0)
    return functions


def croco_step(solver):
    """Derivatives, backward pass and one full step."""
    solver.calcDiff()
    solver.backwardPass()
    solver.forwardPass(1.0)


def check_step():
    """On one linear-quadratic problem both take the same step."""
    from ppi_robotics import recursion

    model = random_model(4, 1, HORIZON, np.random.default_rng(4))
    solver = crocoddyl_solver(model)
    croco_step(solver)
    x, u, _, _ = recursion.forward(model, recursion.backward(model, math.inf))
    origin = list(np.zeros_like(x)), list(np.zeros_like(u))
    solver.solve(*origin, 1, True, 0.0)
    check("states", x, np.array(solver.xs))
    check("controls", u, np.array(solver.us).reshape(u.shape))
    solver.setCandidate(*origin, True)
    return solver


def main():
    try:
        solver = check_step()
    except ImportError as error:
        missing("solver iteration", error)
        return
    functions = ours()
    timing = side_by_side({**functions, "crocoddyl": lambda: croco_step(solver)}, 6.0)
    for name in functions:
        mean = timing.median(name) * 1e6, timing.median("crocoddyl") * 1e6
        report(
            f"one iteration, {name}",
            "us",
            mean[0],
            "Crocoddyl (LQ model)",
            mean[1],
            timing.ratio("crocoddyl", name),
            3.0,
        )


if __name__ == "__main__":
    main()
