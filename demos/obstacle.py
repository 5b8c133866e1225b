"""Steer a puck round a wall that the gradient of the cost does not show: iLQG and MPPI on the same problem.

Being in the wall costs a flat penalty, whose derivatives are zero. Run `python demos/obstacle.py [FOLDER]`; the picture
goes to out/obstacle by default.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import ppi_robotics as ppi
from ppi_robotics import plotting

WALL = [(0.0, -0.7, 0.25, 1.4), (-0.8, 0.45, 0.8, 0.25), (-0.8, -0.7, 0.8, 0.25)]  # x, y, width, height [m]: a pocket
START, GOAL = (-1.5, 0.0), (1.0, 0.0)


class Puck(ppi.SymbolicPlant):
    name = "puck"
    state_names = ("x", "y", "x velocity", "y velocity")
    control_names = ("x force", "y force")
    units = ("m", "m", "m/s", "m/s", "N", "N")
    dt = 0.03
    control_limits = [(-8.0, 8.0)] * 2
    noise = 0.03 * np.array([0.0, 0.0, 0.1, 0.1]) ** 2  # variances per stage

    def derivative(self, x, u):
        return ppi.vertcat(x[2], x[3], u[0] - 0.2 * x[2], u[1] - 0.2 * x[3])


def blocked(x):
    """1 in the wall, 0 outside, of a state of CasADi symbols."""
    inside = 0
    for left, low, width, height in WALL:
        within = 1
        for depth in (x[0] - left, left + width - x[0], x[1] - low, low + height - x[1]):
            within = ppi.if_else(depth > 0, within, 0)
        inside = ppi.if_else(within > 0, 1, inside)
    return inside


def stages_in_wall(x):
    """How many of states (..., 4) are in the wall, by rollout."""
    inside = [
        (x[..., 0] > left) & (x[..., 0] < left + width) & (x[..., 1] > low) & (x[..., 1] < low + height)
        for left, low, width, height in WALL
    ]
    return np.any(inside, axis=0).sum(axis=-1)


def distance(x):
    return (x[0] - GOAL[0]) ** 2 + (x[1] - GOAL[1]) ** 2


def main(folder, samples=1000):
    cost = ppi.SymbolicCost(
        stage=lambda x, u: 0.2 * distance(x) + 0.01 * ppi.sumsqr(u) + 20 * blocked(x),
        terminal=lambda x: 100 * distance(x) + 10 * (x[2] ** 2 + x[3] ** 2),
    )
    problem = ppi.Problem(Puck(), cost, initial=[*START, 0.0, 0.0], horizon=100)
    method = ppi.MPPI(smoothing=ppi.Kernel("squared_exponential", 0.3), max_iterations=400)
    solutions = {"iLQG": ppi.solve(problem, ppi.ILQG(), seed=0), "MPPI": ppi.refine(problem, method, seed=0)}
    # rollouts without noise skim the corner; those with noise, about the policy that goes round, keep clear of it
    noisy = replace(method, noise_draws=16, proposal=solutions["MPPI"].policy, spread=1.0)
    solutions["MPPI, 16 draws of the noise"] = ppi.solve(problem, noisy, seed=0)

    with plotting.style():
        figure = Figure(figsize=(12.0, 4.0), dpi=120, layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
    for ax, (name, solution) in zip(axes, solutions.items(), strict=True):
        rollouts = ppi.rollout(problem, solution.policy, samples, seed=0)
        result, hits = ppi.Evaluation(rollouts.cost), stages_in_wall(rollouts.x)
        print(f"{name}: {solution.explain()}, {solution.seconds:.1f} s")
        print(f"  cost under noise {result.mean:.4g} ± {result.standard_error:.2g} in {samples} rollouts, seed 0")
        print(f"  {hits.mean():.2f} of {problem.horizon} stages in the wall, at least one in {np.mean(hits > 0):.1%}")
        draw(ax, solution, rollouts, f"{name}\nmean cost {result.mean:.4g} ± {result.standard_error:.2g}")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "obstacle.png")
    print(f"the picture is in {folder}")


def draw(ax, solution, rollouts, title):
    """Wall, noisy rollouts and the noise-free path of a policy."""
    shade = plotting.color(solution.method.name)
    for left, low, width, height in WALL:
        ax.add_patch(Rectangle((left, low), width, height, color="0.6", linewidth=0))
    for x in rollouts.x[:50]:
        ax.plot(x[:, 0], x[:, 1], color=shade, alpha=0.15, linewidth=0.8)
    ax.plot(solution.x[:, 0], solution.x[:, 1], color=shade, linewidth=1.6, marker=".", markersize=4)
    ax.plot(*START, "o", color="0.2")
    ax.plot(*GOAL, "*", color="0.2", markersize=11)
    ax.set(title=title, aspect="equal", xlabel="x [m]", xlim=(-1.8, 1.4), ylim=(-1.2, 1.2))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/obstacle"))
