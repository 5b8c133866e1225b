"""Steer a puck round a wall that no gradient shows, as the penalty for being in it is flat: iLQG and MPPI compared.

Run `python demos/obstacle.py [FOLDER]`; the picture goes to out/obstacle by default.
"""

import sys
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

import ppi_robotics as ppi
from ppi_robotics import plotting

WALL = [(0.0, 0.25, -0.7, 0.7), (-0.8, 0.0, 0.45, 0.7), (-0.8, 0.0, -0.7, -0.45)]  # left, right, bottom, top [m]


class Puck(ppi.SymbolicPlant):
    state_names, control_names = ("x", "y", "x velocity", "y velocity"), ("x force", "y force")
    dt, control_limits, noise = 0.03, [(-8.0, 8.0)] * 2, (0.0, 0.0, 3e-4, 3e-4)  # the last are variances per stage

    def derivative(self, x, u):
        return ppi.vertcat(x[2], x[3], u[0] - 0.2 * x[2], u[1] - 0.2 * x[3])


def blocked(x):  # of CasADi symbols and of arrays (4, ...)
    return sum((x[0] > left) * (x[0] < right) * (x[1] > low) * (x[1] < high) for left, right, low, high in WALL)


def main(folder):
    def far(x):  # from the goal
        return (x[0] - 1) ** 2 + x[1] ** 2

    cost = ppi.SymbolicCost(
        stage=lambda x, u: 0.2 * far(x) + 0.01 * ppi.sumsqr(u) + 20 * blocked(x),
        terminal=lambda x: 100 * far(x) + 10 * (x[2] ** 2 + x[3] ** 2),
    )
    problem = ppi.Problem(Puck(), cost, initial=[-1.5, 0.0, 0.0, 0.0], horizon=100)
    method = ppi.MPPI(smoothing=ppi.Kernel("squared_exponential", 0.3), max_iterations=400)
    found = {"iLQG": ppi.solve(problem, ppi.ILQG()), "MPPI": ppi.solve(problem, method)}
    # rollouts without noise skim the corner; those with noise, about the policy that goes round, keep clear of it
    noisy = replace(method, noise_draws=16, proposal=found["MPPI"].policy, spread=1.0)
    found["MPPI, 16 draws of the noise"] = ppi.solve(problem, noisy)
    figure = Figure(figsize=(12.0, 4.0), dpi=120, layout="constrained")
    for ax, (name, solution) in zip(figure.subplots(1, 3, sharey=True), found.items(), strict=True):
        runs, shade = ppi.rollout(problem, solution.policy, samples=1000, seed=0), plotting.color(name)
        mean, hit = ppi.Evaluation(runs.cost), (blocked(runs.x.T).sum(axis=0) > 0).mean()
        title = f"{name}\nmean cost {mean.mean:.4g} ± {mean.standard_error:.2g}\n{hit:.1%} touch the wall"
        print(f"{title} (1000 noisy rollouts, seed 0); {solution.explain()}")
        for left, right, low, high in WALL:
            ax.fill_between([left, right], low, high, color="0.6", linewidth=0)
        ax.plot(runs.x[:50, :, 0].T, runs.x[:50, :, 1].T, color=shade, alpha=0.15, linewidth=0.8)
        ax.plot(solution.x[:, 0], solution.x[:, 1], color=shade, marker=".", markersize=4)
        ax.set(title=title, aspect="equal", xlabel="x [m]", ylabel="y [m]", ylim=(-1.2, 1.2))
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "obstacle.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/obstacle"))
