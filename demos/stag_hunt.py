"""Hunt stags: at a high temperature everybody takes a hare, at a low one hunters meet at stags.

Run `python demos/stag_hunt.py [FOLDER]`; pictures and the animation go to out/stag_hunt by default.
"""

import sys
from pathlib import Path

import numpy as np

from plants import StagHunt
from plants.stag_hunt import animation, figures


def main(folder, side=20, hunters=10, seed=1):
    hunts = {}
    for temperature in (10.0, 0.1):
        hunt = StagHunt.random(side, hunters, seed, temperature=temperature)
        exact, bp = hunt.infer("exact"), hunt.infer("bp", damping=0.3)
        print(f"temperature {temperature:g}: log Z {exact.log_partition:.6f}, {exact.met.sum():.3g} stags expected;")
        print(f"  by belief propagation {bp.log_partition:.6f}, {bp.sweeps} sweeps, {bp.status.name.lower()}")
        # infer once; at every stage; or before every hunter's move, given those already made
        for loop in ("open",) if temperature > 1.0 else ("open", "closed", "turns"):
            played = hunt.play("exact", loop)
            at_hares, caught = hunt.caught(played.states[-1])
            cost = f"cost {hunt.cost(played.states[-1]):g}, least in reach {hunt.problem.least_cost():g}"
            print(f"  {loop}: hunters at hares: {at_hares}, stags caught: {caught}, {cost}")
            hunts[f"λ = {temperature:g}, {loop}"] = hunt, np.array(played.states)
    folder.mkdir(parents=True, exist_ok=True)
    figures.hunt_paths(hunts)[0].figure.savefig(folder / "hunt.png")
    animation.save(folder / "hunt.gif", hunts)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/stag_hunt"))
