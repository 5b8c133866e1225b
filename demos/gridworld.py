"""Walk to a target in a grid world: exact values, Psi-iteration with the model known, and learning without it.

Run `python demos/gridworld.py [FOLDER]`; the pictures go to out/gridworld by default.
"""

import sys
from pathlib import Path

import numpy as np

from plants import GridWorld
from ppi_robotics import plotting
from ppi_robotics.discrete import iterate, learn, psi_iteration

# a move succeeds with probability 0.8 and costs 1; the walk ends at the star
MAP = """
..........
.###......
...#...#..
...#...#..
...#####..
......*...
"""


def main(folder, transitions=200_000, trials=10):
    world = GridWorld(MAP, slip="stay", success=0.8)
    exact = iterate(world.mdp)
    print(f"cost = distance / 0.8: largest difference {np.abs(exact.value - world.distance / 0.8).max():.1g}")
    for eta in (0.1, 1, 10):
        known = psi_iteration(world.mdp, eta, iterations=100, truth=exact.value)
        print(f"Psi-iteration, eta = {eta:g}: error below 0.001 after {known.first_below(1e-3)} iterations")
    methods = {"Q": ("q", "uniform"), "Psi": ("psi", "uniform"), "Psi online": ("psi", "online")}
    results = {
        name: learn(world.mdp, *how, step=3000, transitions=transitions, trials=trials, truth=exact.value)
        for name, how in methods.items()
    }
    for name, result in results.items():
        print(f"{name}: error {result.mean[-1]:.4f} ± {result.standard_error[-1]:.4f} after {transitions} transitions")
    folder.mkdir(parents=True, exist_ok=True)
    plotting.tables.value_map(world, exact.value, exact.policy).figure.savefig(folder / "value.png")
    plotting.tables.learning_curves(results).figure.savefig(folder / "learning.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/gridworld"))
