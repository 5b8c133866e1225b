"""Bring your own plant: a planar rocket that lands on its feet, from its equations of motion to a feedback policy.

Run `python demos/your_own_plant.py [FOLDER]`; the pictures go to out/rocket by default.
"""

import sys
from pathlib import Path

import numpy as np

import ppi_robotics as ppi
from plants.drawing import Disk, Line
from ppi_robotics import animation, plotting


class Rocket(ppi.SymbolicPlant):
    state_names = ("x", "height", "tilt", "x velocity", "climb", "tilt rate")
    control_names = ("thrust", "gimbal torque")
    units = ("m", "m", "rad", "m/s", "m/s", "rad/s", "N", "N m")
    dt = 0.02
    control_limits = [(0.0, 20.0), (-2.0, 2.0)]
    noise = 0.02 * np.array([0, 0, 0, 0.2, 0.2, 0.05]) ** 2  # variances per stage: gusts

    def derivative(self, x, u):
        mass, inertia, gravity = 1.0, 0.2, 9.81
        push = u[0] / mass
        return ppi.vertcat(x[3], x[4], x[5], -push * ppi.sin(x[2]), push * ppi.cos(x[2]) - gravity, u[1] / inertia)

    view = (-1.5, 4.0, -0.6, 3.8)

    def draw(self, x):  # only animations need this and the window above
        axis, foot = np.array([-np.sin(x[2]), np.cos(x[2])]), np.array(x[:2])
        return [Line([(-1.5, 0), (4, 0)], 1.5, "track"), Line([foot, foot + 0.8 * axis], 9), Disk(foot, 0.08, "tip")]


def main(folder):
    cost = ppi.Quadratic(state=[0.1, 0.1, 1, 0.1, 0.1, 0.1], control=[0.01, 0.1], terminal=[100.0] * 6)
    problem = ppi.Problem(Rocket(), cost, initial=[3.0, 3.0, -0.5, 0.0, 0.0, 0.0], horizon=150)
    solution = ppi.solve(problem, ppi.PPI(eta=0.01), seed=0)
    print(solution.explain())
    print(ppi.evaluate(problem, solution.policy, samples=10_000, seed=0))
    folder.mkdir(parents=True, exist_ok=True)
    rollouts = ppi.rollout(problem, solution.policy, samples=500, seed=0)
    plotting.trajectory(problem.plant, rollouts, (solution.x, solution.u))[0].figure.savefig(folder / "trajectory.png")
    animation.save(folder / "animation.gif", problem.plant, rollouts.x[0], rollouts.u[0], "rocket")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/rocket"))
