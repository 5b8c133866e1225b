"""Reach one of three goals: a point mass commits to one on its way, by the optimal mixture of three policies.

Run `python demos/composition.py [FOLDER]`; the picture goes to out/composition by default.
"""

import sys
from pathlib import Path

import numpy as np

import ppi_robotics as ppi
from ppi_robotics import plotting

T, ETA, SPREAD, REST = 40, 1.0, 5.0, np.zeros(4)
GOALS, WEIGHTS = [(1.6, 1.0), (1.5, -1.0), (-1.0, 1.5)], (1.0, 1.0, 2.0)


class PointMass(ppi.SymbolicPlant):
    state_names, control_names, dt = ("x", "y", "x velocity", "y velocity"), ("x force", "y force"), 0.05
    units, noise = ("m", "m", "m/s", "m/s", "N", "N"), (0.0, 0.0, 2e-3, 2e-3)

    def derivative(self, x, u):
        return ppi.vertcat(x[2], x[3], u)


def reach(goal, price):
    cost = ppi.Quadratic(state=[0] * 4, control=[price] * 2, terminal=[20, 20, 0.5, 0.5], goal=[*goal, 0, 0])
    return ppi.Problem(PointMass(), cost, initial=REST, horizon=T)


def main(folder, samples=300_000):
    problems = [reach(goal, price=0.01 + 1 / (2 * ETA * SPREAD**2)) for goal in GOALS]
    mixture = ppi.compose([ppi.solve(problem, ppi.PPI(ETA)) for problem in problems], WEIGHTS)
    # the same by rollouts: the baseline N(0, s^2) is the control cost u^2 / (2 eta s^2) up to the constant below
    still = np.zeros((T, 4)), np.zeros((T, 2)), np.zeros((T, 2, 4)), np.tile(SPREAD**2 * np.eye(2), (T, 1, 1))
    baseline, free = ppi.LinearGaussianPolicy(*still, PointMass.dt), [reach(goal, price=0.01) for goal in GOALS]
    print(ppi.compose(free, WEIGHTS, ETA, baseline, samples).estimate(0, REST))
    value = mixture.value(0, REST) + T / ETA * np.log(2 * np.pi * SPREAD**2)
    print(f"exact: value {value:.3f}, shares {mixture.responsibilities(0, REST).round(3)}")
    folder.mkdir(parents=True, exist_ok=True)
    runs = mixture.rollout(problems[0], samples=240, seed=0)
    plotting.goals.commitment(problems[0].plant, mixture, runs, GOALS)[0].figure.savefig(folder / "composition.png")
    print(f"the picture is in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/composition"))
