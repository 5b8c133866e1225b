"""Swing two cart-poles up by sampling alone: one written in CasADi, and one that MuJoCo simulates.

Run `python demos/mppi_swing_up.py [FOLDER]`; the pictures go to out/mppi_swing_up by default.
"""

import sys
from dataclasses import replace
from pathlib import Path

import ppi_robotics as ppi
from plants import CartPole, mujoco_bodies
from ppi_robotics import plotting, rendering


def main(folder, samples=1000):
    plant = CartPole()
    analytic = ppi.Problem(plant, plant.swing_up_cost(), initial=plant.hanging, horizon=150)
    problems = {"analytic": analytic, "mujoco": mujoco_bodies.task("cartpole", "swingup")}
    # splines through 25 sampled forces; of 1,024 samples 20 are to count in the weighted mean, of MuJoCo's 128 10
    fast = ppi.MPPI(1024, ppi.TargetESS(20), smoothing=ppi.Splines(25), max_iterations=400)
    methods = {
        "analytic": fast,
        "mujoco": replace(fast, samples=128, temperature=ppi.TargetESS(10), max_iterations=100),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, problem in problems.items():
        # every 10 rounds the samples are drawn about the closed loop of the policy found so far
        sampled, optimized = ppi.solve(problem, methods[name], seed=0), ppi.solve(problem, ppi.ILQG(), seed=0)
        for label, solution in {"MPPI": sampled, "iLQG": optimized}.items():
            print(f"{name}, {label}: {solution.explain()}, {solution.seconds:.1f} s")
        table = ppi.compare(problem, {"iLQG": optimized.policy, "MPPI": sampled.policy}, samples=samples, seed=0)
        print(table)
        plotting.cost_distribution(table.evaluations).figure.savefig(folder / f"{name}_cost.png")
        plotting.sampling.fan(problem, sampled)[0].figure.savefig(folder / f"{name}_fan.png")
        plotting.sampling.samples(sampled)[0].figure.savefig(folder / f"{name}_samples.png")
    rendering.save(folder / "mujoco.gif", problem.plant.model, sampled.x, problem.plant.dt)
    print(f"the pictures are in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/mppi_swing_up"))
