"""Blocks on a ring: move a tower in the least number of moves, then let the piles become few.

Run `python demos/blocks_world.py [FOLDER]`; the pictures go to out/blocks_world by default.
"""

import math
import sys
from pathlib import Path

from plants import BlocksWorld
from plants.blocks import animation, chain_beliefs, figures, receding


def main(folder, stages=24):
    folder.mkdir(parents=True, exist_ok=True)

    # four blocks to the opposite location in the eight moves that this takes at least
    tower = BlocksWorld([4, 0, 0, 0], stages=8, goal=[0, 0, 4, 0])
    exact = tower.exact()
    print(f"{math.exp(exact.log_partition) * 12**8:.0f} plans of 8 moves take the tower to its goal")
    play = tower.run(exact.infer, seed=2)
    print("one of the likeliest passes", *(tuple(map(int, x)) for x in play.states))
    expected = {"expected heights": exact.forecast.heights}
    figure = figures.plan(play.states, play.probabilities, expected, "a tower moves")
    figure.savefig(folder / "tower.png")
    animation.save(folder / "tower.gif", play.states, play.actions, play.probabilities, "a tower moves")

    # entropy as cost: exact control, and control by the cluster variation method, which is cheap for any size
    world = BlocksWorld([3, 1, 2, 2, 1, 3], stages, strength=10.0)
    exact, approximate = world.exact(), chain_beliefs(world.chains(), "double_loop")
    print(f"log Z: exact {exact.log_partition:.3f}, cluster variation {approximate.log_partition:.3f}")
    plans = {
        "exact": world.run(exact.infer),
        "cluster variation": world.run(receding(world.chains(), "double_loop", max_outer=20)),
    }
    for name, plan in plans.items():
        print(f"{name}: a plan of cost {world.path_cost(plan.states):.2f} ends at", *plan.states[-1])
    plan = plans["exact"]
    shown = {"expected heights": exact.forecast.heights, "by cluster variation": approximate.expected_levels}
    figure = figures.plan(plan.states, plan.probabilities, shown, "piles become few")
    figure.savefig(folder / "entropy.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/blocks_world"))
