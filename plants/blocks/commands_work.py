"""What the commands `blocks ...` do: make a world, infer by any method, and put the answers into words and numbers."""

import math
import time

import numpy as np

from ppi_robotics import ProblemError
from ppi_robotics.cli.options import check_choice, check_range
from ppi_robotics.cli.output import progress

SEPARATE, CVM = "separate", "cvm"
APPROXIMATE = {"bp": SEPARATE, "cvm": CVM, "merged": "merged", "double_loop": "double_loop"}
LATER = {"max_outer": 15, "tolerance": 1e-2}  # of a double loop that goes on from the messages of the stage before
LABELS = {
    "exact": "exact",
    "bp": "BP (k and l apart)",
    "cvm": "CVM",
    "merged": "BP (k, l merged)",
    "double_loop": "CVM double loop",
}
AFFORDABLE = 1e8  # bytes of an exact solution that is made for comparison unasked
DIFFERENT = 0.01  # of a probability, from which an approximation is said to differ
SAMPLES = 200  # plans, where expectations are too many to add up
MOST_CELLS = 1_000_000  # stages times locations


def make_world(n, m, T, x0, goal, lam, norm, charged, forbidden):
    """The `BlocksWorld` of the options; by default a tower that is to move to the other side of four locations."""
    from plants.blocks.exact import CHARGED, FORBIDDEN
    from plants.blocks.states import moves_between
    from plants.blocks.world import NORMS, BlocksWorld

    check_choice("norm", norm, NORMS)
    check_choice("charged", charged, CHARGED)
    check_choice("forbidden", forbidden, FORBIDDEN)
    check_range("--n", n, 2, MOST_CELLS)
    check_range("--m", m, 1, MOST_CELLS)
    check_range("--T", T, 1, MOST_CELLS)
    start, goal = heights_of("--x0", x0), heights_of("--goal", goal)
    given = start if start is not None else goal
    if given is not None:
        for flag, value, own, what in (("--n", n, len(given), "locations"), ("--m", m, sum(given), "blocks")):
            if value is not None and value != own:
                raise ProblemError(
                    f"{flag} is {value}, the heights have {own} {what}; leave {flag} out, or give others"
                )
        n, m = len(given), sum(given)
    n, m = n or 4, m or 4
    if goal is None and start is None and lam is None:  # figure 4 of the paper
        goal = [m if i == n // 2 else 0 for i in range(n)]
    if start is None:
        start = [m] + [0] * (n - 1) if goal is not None else [m // n + (i < m % n) for i in range(n)]
    lam = (10.0 if goal is None else 0.0) if lam is None else lam
    if T is None:  # as in figure 5 of the paper, or what the goal takes
        T = max(math.ceil(m * n / 4), 1 if goal is None or len(goal) != n else moves_between(start, goal))
    if T * n > MOST_CELLS:
        raise ProblemError(f"{T} stages of {n} locations are given; expected at most {MOST_CELLS} heights in all")
    return BlocksWorld(start, T, goal, lam, norm, charged, forbidden)


def heights_of(flag, text):
    """Heights of a list that is separated by commas, None if there is none."""
    return None if text is None else numbers_of(flag, text, "heights", "4,0,0,0")


def numbers_of(flag, text, what, example):
    """Whole numbers of a list that is separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ProblemError(f"{flag} is '{text}'; expected {what} separated by commas, such as {example}") from None


def infer(world, method, options, memory=2e9):
    """The `Inference` by a method, and the seconds it took; progress is shown."""
    began = time.perf_counter()
    with progress(f"{LABELS[method]}: inferring") as say:
        if method == "exact":
            found = solve_exactly(world, memory, say)
        else:
            from plants.blocks import chain_beliefs

            found = chain_beliefs(world.chains(), APPROXIMATE[method], **options)
    return found, time.perf_counter() - began


def solve_exactly(world, memory=2e9, say=lambda _text: None):
    """The exact solution; memory in bytes."""
    return world.exact(memory, lambda what, i, count: say(f"exact: {what}, {i} of {count}"))


def chosen(world, method, memory):
    """A method; for "auto" exact where that fits into so many bytes, else cvm."""
    return ("exact" if affordable(world, memory) else "cvm") if method == "auto" else method


def affordable(world, memory=AFFORDABLE):
    """Whether the exact solution takes no more bytes than that; by default so few that it may be made unasked."""
    from plants.blocks import fits

    return fits(world.start, world.stages, world.goal, memory)


def first_actions(world, found):
    """Probabilities (3 n,) of the first action."""
    return found.probabilities(world.start) if found.exact else found.actions[0]


def expected_heights(found, seed):
    """Expected heights (T + 1, n), and their standard errors where they are sampled."""
    if not found.status.solved and math.isinf(found.log_partition):
        return None, None
    if not found.exact:
        return found.expected_levels, None
    try:
        return found.forecast.heights, None
    except ProblemError:
        plans = found.sample(SAMPLES, seed)
        return plans.mean(axis=0), plans.std(axis=0, ddof=1) / math.sqrt(SAMPLES)


def inference_facts(world, method, found, seconds, seed):
    """An inference for JSON."""
    p, (heights, errors) = first_actions(world, found), expected_heights(found, seed)
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


def compare(facts, exact):
    """Add to the facts of an approximation how far it is from the exact ones."""
    if exact is None or facts["exact"] or facts["heights"] is None:
        return
    facts["dp"] = float(np.abs(np.subtract(facts["p_t1"], exact["p_t1"])).max())
    facts["height_error"] = float(np.abs(np.subtract(facts["heights"], exact["heights"])).max())
    facts["logZ_error"] = facts["logZ"] - exact["logZ"]
    facts["differs"] = facts["dp"] > DIFFERENT


def setting(world, seed):
    """What was asked for, for JSON."""
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


def heading(world):
    """What a table is about."""
    goal = "" if world.goal is None else f" to {in_words(world.goal)}"
    cost = f", entropy of strength {world.strength:g}" if world.strength else ""
    return (
        f"{world.blocks} blocks at {world.locations} locations, {in_words(world.start)}{goal}, T {world.stages}{cost}"
    )


def in_words(heights):
    """Heights in a line."""
    return ",".join(f"{height:g}" for height in heights)


def expectation_words(columns):
    """What expected heights are, and how sure where they are sampled."""
    for facts in columns:
        if "samples" in facts:
            error = np.max(facts["heights_standard_error"])
            return f"expected heights ({facts['samples']} sampled plans, standard errors up to {error:.2f})"
    return "expected heights"


# -- plans -------------------------------------------------------------------------------------------------------------


def act(world, method, choice, seed, options, memory=2e9):
    """`Play` of a world in receding horizon, seconds, and the exact solution if it was made for that."""
    began, exact, name = time.perf_counter(), None, LABELS[method]
    with progress(f"{name}: acting") as say:
        if method == "exact":
            exact = solve_exactly(world, memory, say)
            decide = exact.infer
        else:
            decide = receding_inference(world, method, options)
        play = world.run(decide, choice, seed, lambda t, T: say(f"{name}: stage {t} of {T}"))
    return play, time.perf_counter() - began, exact


def receding_inference(world, method, options):
    """What a plan acts on by an approximate method; loops go on from their last messages, with a few iterations."""
    from plants.blocks import chain_beliefs, receding

    chains, way = world.chains(), APPROXIMATE[method]
    if way == CVM and not chain_beliefs(chains, "merged", **options).status.solved:
        way = "double_loop"  # or belief propagation would be tried in vain at every stage
    later = LATER if way == "double_loop" else {}
    return receding(chains, way, first=options, **options | later)


def play_facts(world, play):
    """A plan for JSON."""
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


def draw_plan(world, play, facts, report):
    """Write plan.png, with expected heights if the facts hold some, and blocks.gif."""
    label, expected = facts["label"], {}
    if "heights" in facts:
        expected = {expectation_words([facts]): np.array(facts["heights"])}
    with progress("drawing the pictures"):
        from plants.blocks import animation, figures

        figure = figures.plan(play.states, play.probabilities, expected, f"{heading(world)} · {label}")
        report.write_figure("plan.png", figure)
        shown = play.states, play.actions, play.probabilities, label
        report.write("blocks.gif", lambda path: animation.save(path, *shown))


def draw_inference(world, columns, found, report):
    """Write beliefs.png: expected heights and probabilities of actions over time."""
    if columns[0]["heights"] is None:
        return
    with progress("drawing the picture"):
        from plants.blocks import figures

        figure = figures.beliefs(np.array(columns[0]["heights"]), found.actions, heading(world))
        report.write_figure("beliefs.png", figure)
