"""Swing a cart-pole up with a feedback policy found by inference, and compare it with iLQG's under noise.

Run `python demos/swing_up.py [FOLDER]`; the pictures go to out/swing_up by default.
"""

import sys
from pathlib import Path

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics import animation, plotting


def main(folder):
    plant = CartPole(sigma=0.5)
    problem = ppi.Problem(plant, plant.swing_up_cost(), initial=plant.hanging, horizon=150)

    inferred = ppi.solve(problem, ppi.PPI(eta=0.1), seed=0)
    optimized = ppi.solve(problem, ppi.ILQG(), seed=0)
    for name, solution in {"PPI": inferred, "iLQG": optimized}.items():
        print(f"{name}: {solution.explain()}")
        solution.raise_for_status()

    # both policies meet the same noise, so that their costs can be compared sample by sample
    table = ppi.compare(problem, {"iLQG": optimized.policy, "PPI": inferred.policy}, samples=1000, seed=0)
    print(table)

    folder.mkdir(parents=True, exist_ok=True)
    inferred.policy.save(folder / "policy.npz")
    rollouts = ppi.rollout(problem, inferred.policy, samples=500, seed=0)
    axes = plotting.trajectory(plant, rollouts, nominal=(inferred.x, inferred.u), name="PPI")
    axes[0].figure.savefig(folder / "trajectory.png")
    plotting.cost_distribution(table.evaluations).figure.savefig(folder / "cost.png")
    animation.save(folder / "animation.gif", plant, rollouts.x[0], rollouts.u[0], "cart-pole, a noisy rollout")
    print(f"the pictures are in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/swing_up"))
