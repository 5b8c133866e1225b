"""Turn the risk dial: swing a cart-pole up at many weights eta, and see what optimism does to the cost under noise.

Run `python demos/risk.py [FOLDER]`; the picture goes to out/risk by default.
"""

import sys
from pathlib import Path

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics import plotting


def main(folder, samples=10_000):
    plant = CartPole(sigma=0.5)
    problem = ppi.Problem(plant, plant.swing_up_cost(), initial=plant.hanging, horizon=150)

    # each weight starts from the answer at the one before; -2 is too averse for this noise and says so
    etas = [-2, -0.3, -0.1, 0, 0.01, 0.1, 0.3, 1]
    solutions = dict(zip(etas, ppi.risk_sweep(problem, ppi.PPI(eta=0), eta=etas, seed=0), strict=True))
    for eta, solution in solutions.items():
        print(f"eta = {eta:g}: {solution.explain()}")

    # all policies meet the same noise, so that differences between them are sharper than the errors of either
    profile = ppi.risk_profile(problem, ppi.solve(problem, ppi.ILQG(), seed=0), eta=solutions, samples=samples, seed=0)
    print(profile)

    folder.mkdir(parents=True, exist_ok=True)
    plotting.risk.risk_dial(profile)[0].figure.savefig(folder / "risk.png")
    print(f"the picture is in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/risk"))
