"""Keep a cart-pole upright by receding-horizon control while it is pushed: at every stage, plan the second ahead.

Run `python demos/receding_horizon.py [FOLDER]`; the picture goes to out/receding_horizon by default.
"""

import sys
from pathlib import Path

import numpy as np

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics import plotting


def main(folder, stages=300, pushed=50, seed=1):
    plant, rng = CartPole(force_limit=10.0), np.random.default_rng(seed)
    cost = ppi.Quadratic(state=[1, 1, 0.1, 0.1], control=[0.01], terminal=[10, 10, 1, 1])
    problem = ppi.Problem(plant, cost, initial=[0.0, 0.1, 0.0, 0.0], horizon=50)
    push = np.array([0.0, 0.0, 0.5, 2.0]) * rng.standard_normal(4)  # a change of the velocities

    x, u = [problem.initial.mean], []
    mpc = ppi.RecedingHorizon(problem, ppi.ILQG(limits="box", max_iterations=3))
    for t in range(stages):
        u.append(mpc.command(x[t]))
        acting = u[t] * (1 + 0.05 * rng.standard_normal(1))  # the motor is off by 5 %
        x.append(plant.step(x[t][None], acting[None])[0] + (push if t == pushed else 0.0))
    x, u = np.array(x), np.array(u)

    tilt = np.degrees(np.abs(x[:, 1]))
    print(f"pushed after {pushed * plant.dt:g} s by {push[2]:+.2f} m/s and {push[3]:+.2f} rad/s (seed {seed})")
    print(f"largest tilt from then on {tilt[pushed:].max():.1f} degrees, at the end {tilt[-1]:.1f}")
    print(mpc.report())

    rollouts = ppi.Rollouts(x[None], u[None], np.array([problem.cost.trajectory(x, u)]), first=0, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    figure = plotting.trajectory(plant, rollouts, name="iLQG")[0].figure
    figure.legends[0].remove()  # a single run has no spread
    figure.savefig(folder / "trajectory.png")
    print(f"the picture is in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/receding_horizon"))
