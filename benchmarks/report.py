"""One line of JSON per measured number, which `__main__` collects into the table."""

import json
import sys

AGREEMENT = 1e-9


def report(what, unit, ours, peer, theirs, ratio, target, **details):
    """Print one comparison: `ours` and `theirs` in a unit, and how many times faster ours is.

    `theirs`, `ratio` and `peer` are None for a limit that has no peer; `target` is then the largest `ours` allowed.
    """
    row = {"what": what, "unit": unit, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ratio, "target": target}
    print(json.dumps(row | details), flush=True)


def missing(what, error):
    """Print that a peer is not installed."""
    print(json.dumps({"what": what, "missing": str(error)}), flush=True)


def check(what, ours, theirs, tolerance=AGREEMENT):
    """End the process unless two results agree relative to the larger of 1 and their size; return how well."""
    worst = abs(ours - theirs).max() / max(1.0, abs(theirs).max())
    if not worst <= tolerance:
        sys.exit(f"{what} differs by {worst:.3g}, more than {tolerance:g}: no fair comparison")
    return float(worst)
