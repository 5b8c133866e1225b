"""What the commands `blocks` report: numbers for JSON, and tables of inferences, plans and rates."""

import math
from typing import TYPE_CHECKING

import numpy as np

from ppi_robotics import ProblemError

if TYPE_CHECKING:
    from plants.blocks import BlocksWorld, GoalRates
    from ppi_robotics.discrete import Inference, Play

LABELS = {
    "exact": "exact",
    "bp": "BP (k and l apart)",
    "cvm": "CVM",
    "merged": "BP (k, l merged)",
    "double_loop": "CVM double loop",
}
DIFFERENT = 0.01  # of a probability, from which an approximation is said to differ
SAMPLES = 200  # plans, where expectations are too many to add up
ROWS = 20  # stages of a table, about
LIKELY = 1e-3  # probability of actions of a table


# -- numbers -----------------------------------------------------------------------------------------------------------


def setting(world: "BlocksWorld", seed: int) -> dict:
    """What was asked for."""
    return {
        "n": world.locations,
        "m": world.blocks,
        "T": world.stages,
        "x0": world.start.tolist(),
        "goal": None if world.goal is None else world.goal.tolist(),
        "lam": world.strength,
        "norm": world.norm,
        "charged": world.charged,
        "forbidden": world.forbidden,
        "seed": seed,
    }


def inference_facts(world: "BlocksWorld", method: str, found: "Inference", seconds: float, seed: int) -> dict:
    """Numbers of an inference."""
    p = found.probabilities(world.start) if found.exact else found.actions[0]
    heights, errors = expected_heights(found, seed)
    facts = {
        "method": method,
        "label": LABELS[method],
        "logZ": found.log_partition,
        "exact": found.exact,
        "status": found.status.name.lower(),
        "seconds": seconds,
        "p_t1": p.reshape(world.locations, 3).tolist(),
        "heights": None if heights is None else heights.tolist(),
    }
    if errors is not None:
        facts |= {"heights_standard_error": errors.tolist(), "samples": SAMPLES}
    if found.exact:
        return facts | {"states": found.size.states, "orbits": found.size.orbits, "bytes": found.size.bytes}
    details = {"sweeps": found.sweeps, "change": found.change, "inconsistency": found.inconsistency}
    return facts | details | {"schedule": found.schedule, "algorithm": found.method, "broke_tie": found.broke_tie}


def expected_heights(found: "Inference", seed: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Expected heights (T + 1, n), and their standard errors where they are sampled; None after a contradiction."""
    if not found.status.solved and math.isinf(found.log_partition):
        return None, None
    if not found.exact:
        return found.expected_levels, None
    try:
        return found.forecast.heights, None
    except ProblemError:
        plans = found.sample(SAMPLES, seed)
        return plans.mean(axis=0), plans.std(axis=0, ddof=1) / math.sqrt(SAMPLES)


def compare(facts: dict, exact: dict | None) -> None:
    """Add to the numbers of an approximation how far it is from the exact ones."""
    if exact is None or facts["exact"] or facts["heights"] is None:
        return
    facts["dp"] = float(np.abs(np.subtract(facts["p_t1"], exact["p_t1"])).max())
    facts["height_error"] = float(np.abs(np.subtract(facts["heights"], exact["heights"])).max())
    facts["logZ_error"] = facts["logZ"] - exact["logZ"]
    facts["differs"] = facts["dp"] > DIFFERENT


def play_facts(world: "BlocksWorld", play: "Play") -> dict:
    """Numbers of a plan."""
    whole = len(play.states) == world.stages + 1
    return {
        "status": play.status.name.lower(),
        "states": [np.asarray(state).tolist() for state in play.states],
        "actions": [int(a) for a in play.actions],
        "final": np.asarray(play.states[-1]).tolist(),
        "cost": world.path_cost(np.array(play.states)) if whole else None,
        "reached": None if world.goal is None else bool(whole and (play.states[-1] == world.goal).all()),
        "unsolved_stages": sum(not one.status.solved for one in play.inferences),
        "sweeps": sum(one.sweeps for one in play.inferences if not one.exact),
    }


def rates_facts(method: str, rates: "GoalRates") -> dict:
    """Numbers of a planner at one size."""
    from ppi_robotics.intervals import of_rate

    return {
        "n": rates.locations,
        "m": rates.blocks,
        "T": rates.stages,
        "method": method,
        "label": LABELS[method],
        "goal_rate": rates.reached,
        "goal_rate_standard_error": rates.standard_error(rates.reached),
        "goal_rate_interval": of_rate(round(rates.reached * rates.instances), rates.instances, 0.95),
        "converged_rate": rates.converged,
        "cpu_seconds": rates.seconds,
        "sweeps": rates.sweeps,
    }


# -- tables ------------------------------------------------------------------------------------------------------------


def inference_tables(world: "BlocksWorld", columns: list[dict], plan: dict | None) -> list[tuple[str, list]]:
    """Titles and rows about inferences: how they ended, the first action, expected heights, and a plan if any."""
    labels = [facts["label"] for facts in columns]
    known = [facts for facts in columns if facts["heights"] is not None]
    known = [known[0], known[-1]] if len(known) > 2 else known  # a table for a screen
    heights = [["stage", *(facts["label"] for facts in known)]]
    for t in stages_shown(world.stages):
        heights.append([str(t), *("  ".join(f"{height:.3f}" for height in facts["heights"][t]) for facts in known)])
    tables = [
        (heading(world), [["", *labels], *inference_rows(columns)]),
        ("first action, from location k by l", [["k, l", *labels], *action_rows(columns)]),
        (expectation(columns), heights),
    ]
    return [*tables, moves_table(plan)] if plan else tables


def inference_rows(columns: list[dict]) -> list[list[str]]:
    """How inferences ended; what no method has is left out."""
    rows = {
        "status": ("status", lambda status: status.replace("_", " ")),
        "log Z": ("logZ", lambda value: f"{value:.14g}" if math.isfinite(value) else "-inf"),
        "seconds": ("seconds", lambda seconds: f"{seconds:.3f}"),
        "sweeps": ("sweeps", str),
        "inconsistency": ("inconsistency", lambda value: f"{value:.2g}"),
        "states": ("states", str),
        "without symmetries": ("orbits", str),
        "|dp| of the first action": ("dp", lambda value: f"{value:.4f}"),
        "largest error of a height": ("height_error", lambda value: f"{value:.4f}"),
    }
    return [
        [name, *(text(facts[key]) if key in facts else "" for facts in columns)]
        for name, (key, text) in rows.items()
        if any(key in facts for facts in columns)
    ]


def action_rows(columns: list[dict]) -> list[list[str]]:
    """Probabilities of the first actions; all that move nothing are one."""
    p = np.array([facts["p_t1"] for facts in columns])
    names = [f"{k + 1}, {way:+d}" for k in range(p.shape[1]) for way in (-1, 1)] + ["no move"]
    shares = np.column_stack([p[:, :, ::2].reshape(len(columns), -1), p[:, :, 1].sum(axis=1)])
    likely = [i for i in np.argsort(-shares[0], kind="stable") if (shares[:, i] >= LIKELY).any()]
    return [[names[i], *(f"{100 * share:.4f} %" for share in shares[:, i])] for i in likely[:ROWS]]


def plan_tables(world: "BlocksWorld", facts: dict) -> list[tuple[str, list]]:
    """Titles and rows about a plan: what it came to, and its moves."""
    rows = [["", facts["label"]], ["status", facts["status"].replace("_", " ")]]
    if facts["cost"] is not None:
        rows.append(["cost of states and moves", f"{facts['cost']:.10g}"])
    if facts["exact_logZ"] is not None:
        rows.append(["least expected cost, -log Z", f"{-facts['exact_logZ']:.10g}"])
    rows.append(["heights at the end", in_words(facts["final"])])
    if facts["reached"] is not None:
        rows.append(["goal", "reached" if facts["reached"] else "missed"])
    return [(heading(world), [*rows, ["seconds", f"{facts['seconds']:.3f}"]]), moves_table(facts)]


def moves_table(facts: dict) -> tuple[str, list]:
    """Title and rows of the heights and moves of a plan."""
    states, actions, rows = facts["states"], facts["actions"], [["stage", "heights", "k, l"]]
    for t in stages_shown(len(states) - 1):
        a = actions[t] if t < len(actions) else None
        move = "" if a is None else f"{a // 3 + 1}, {a % 3 - 1:+d}" if a % 3 != 1 else "no move"
        rows.append([str(t), "  ".join(map(str, states[t])), move])
    return "plan: heights, and the next move from k by l", rows


def rates_table(cells: list[dict], instances: int, seed: int) -> tuple[str, list]:
    """Title and rows of the planners at all sizes."""
    from ppi_robotics.texts import with_interval

    head = ["locations", "blocks", "stages", "method", "goal reached", "converged throughout", "seconds of CPU a plan"]
    rows = [
        [str(cell["n"]), str(cell["m"]), str(cell["T"]), cell["label"]]
        + [with_interval(cell["goal_rate"], cell["goal_rate_interval"])]
        + [f"{cell['converged_rate']:.2f}", f"{cell['cpu_seconds']:.4f}"]
        for cell in cells
    ]
    title = f"{instances} random goals each, seed {seed}: share of plans that reach them, and whose inference converged"
    return title, [head, *rows]


# -- words -------------------------------------------------------------------------------------------------------------


def heading(world: "BlocksWorld") -> str:
    """What a table is about."""
    goal = "" if world.goal is None else f" to {in_words(world.goal)}"
    cost = f", entropy of strength {world.strength:g}" if world.strength else ""
    return (
        f"{world.blocks} blocks at {world.locations} locations, {in_words(world.start)}{goal}, T {world.stages}{cost}"
    )


def in_words(heights: np.ndarray) -> str:
    """Heights in a line."""
    return ",".join(f"{height:g}" for height in heights)


def expectation(columns: list[dict]) -> str:
    """What expected heights are, and how sure where they are sampled."""
    for facts in columns:
        if "samples" in facts:
            error = np.max(facts["heights_standard_error"])
            return f"expected heights ({facts['samples']} sampled plans, standard errors up to {error:.2f})"
    return "expected heights"


def differences(columns: list[dict]) -> list[str]:
    """Which approximations differ from the exact answer, broke a tie, or did not converge."""
    lines = []
    for facts in columns:
        label, status = facts["label"], facts["status"]
        if status == "contradiction":
            lines.append(f"{label} ends in a contradiction: its messages allow no plan")
        elif status != "converged":
            lines.append(f"{label} did not converge; its numbers are those of the last sweep")
        if facts.get("broke_tie"):
            lines.append(f"{label} broke a tie: locations that are alike have other numbers, by chance")
        if facts.get("differs"):
            state = "converged, but" if status == "converged" else "did not converge, and"
            lines.append(f"{label} {state} differs from exact: |dp| = {facts['dp']:.4f} in the first action")
    return lines


def stages_shown(T: int) -> list[int]:
    """Stages of a table, about ROWS of them, the first and the last included."""
    return sorted({round(t) for t in np.linspace(0, T, min(T, ROWS) + 1)})
