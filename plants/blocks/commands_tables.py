"""The tables of the commands `blocks ...`: inferences side by side, and plans."""

import math

import numpy as np

from plants.blocks.commands_work import expectation_words, heading, in_words
from ppi_robotics.cli.output import remark

ROWS = 20  # stages of a table, about
LIKELY = 1e-3  # probability of actions of a table


def add_inference(report, world, columns, plan):
    """Add tables of one inference or of several: how they ended, the first action, expected heights."""
    label = [facts["label"] for facts in columns]
    rows = [
        ["status", *(facts["status"].replace("_", " ") for facts in columns)],
        ["log Z", *(f"{number(facts['logZ'], 14)}" for facts in columns)],
        ["seconds", *(f"{facts['seconds']:.3f}" for facts in columns)],
    ]
    if any("sweeps" in facts for facts in columns):
        rows.append(["sweeps", *(str(facts.get("sweeps", "")) for facts in columns)])
        rows.append(
            ["inconsistency", *(f"{facts['inconsistency']:.2g}" if "sweeps" in facts else "" for facts in columns)]
        )
    if any("states" in facts for facts in columns):
        rows.append(["states", *(str(facts.get("states", "")) for facts in columns)])
        rows.append(["without symmetries", *(str(facts.get("orbits", "")) for facts in columns)])
    if any("dp" in facts for facts in columns):
        words = [f"{facts['dp']:.4f}" if "dp" in facts else "" for facts in columns]
        rows.append(["|dp| of the first action", *words])
        words = [f"{facts['height_error']:.4f}" if "dp" in facts else "" for facts in columns]
        rows.append(["largest error of a height", *words])
    report.tables.append((heading(world), [["", *label], *rows]))
    report.tables.append(("first action, from location k by l", [["k, l", *label], *action_rows(columns)]))
    known = [facts for facts in columns if facts["heights"] is not None]
    known = [known[0], known[-1]] if len(known) > 2 else known  # a table for a screen
    rows = [[str(t), *(heights_words(facts["heights"][t]) for facts in known)] for t in stages_shown(world.stages)]
    head = ["stage", *(facts["label"] for facts in known)]
    report.tables.append((expectation_words(columns), [head, *rows]))
    if plan:
        add_moves(report, plan)


def action_rows(columns):
    """Probabilities of the first actions for a table; what moves nothing is one of them."""
    p = np.array([facts["p_t1"] for facts in columns])
    words = [f"{k + 1}, {way:+d}" for k in range(p.shape[1]) for way in (-1, 1)]
    shares = np.column_stack([p[:, :, ::2].reshape(len(columns), -1), p[:, :, 1].sum(axis=1)])
    likely = [i for i in np.argsort(-shares[0], kind="stable") if (shares[:, i] >= LIKELY).any()]
    return [[[*words, "no move"][i], *(f"{100 * share:.4f} %" for share in shares[:, i])] for i in likely[:ROWS]]


def remark_differences(columns):
    """Say which approximations differ from the exact answer, broke a tie, or did not converge."""
    for facts in columns:
        if facts["status"] == "contradiction":
            remark(f"{facts['label']} ends in a contradiction: its messages allow no plan")
        elif facts["status"] != "converged":
            remark(f"{facts['label']} did not converge; its numbers are those of the last sweep")
        if facts.get("broke_tie"):
            remark(f"{facts['label']} broke a tie: locations that are alike have other numbers, by chance")
        if facts.get("differs"):
            state = "converged, but" if facts["status"] == "converged" else "did not converge, and"
            remark(f"{facts['label']} {state} differs from exact: |dp| = {facts['dp']:.4f} in the first action")


def stages_shown(T):
    """Stages of a table, about ROWS of them, the first and the last included."""
    return sorted({round(t) for t in np.linspace(0, T, min(T, ROWS) + 1)})


def heights_words(heights):
    """Expected heights in a line."""
    return "  ".join(f"{height:.3f}" for height in heights)


def action_words(a):
    """An action as (k, l), locations from 1."""
    return f"{a // 3 + 1}, {a % 3 - 1:+d}" if a % 3 != 1 else "no move"


def number(value, digits):
    """A number, or what a contradiction has."""
    return f"{value:.{digits}g}" if math.isfinite(value) else "-inf"


def plan_rows(facts):
    """What a plan came to, for a table."""
    rows = [["status", facts["status"].replace("_", " ")]]
    if facts["cost"] is not None:
        rows.append(["cost of states and moves", f"{facts['cost']:.10g}"])
    if facts["exact_logZ"] is not None:
        rows.append(["least expected cost, -log Z", f"{-facts['exact_logZ']:.10g}"])
    rows.append(["heights at the end", in_words(facts["final"])])
    if facts["reached"] is not None:
        rows.append(["goal", "reached" if facts["reached"] else "missed"])
    return [*rows, ["seconds", f"{facts['seconds']:.3f}"]]


def add_plan(report, world, facts):
    """Add tables of a plan."""
    report.tables.append((heading(world), [["", facts["label"]], *plan_rows(facts)]))
    add_moves(report, facts)


def add_moves(report, facts):
    """Add the table of heights and moves of a plan."""
    states, actions = facts["states"], facts["actions"]
    rows = [
        [str(t), "  ".join(map(str, states[t])), action_words(actions[t]) if t < len(actions) else ""]
        for t in stages_shown(len(states) - 1)
    ]
    report.tables.append(("plan: heights, and the next move from k by l", [["stage", "heights", "k, l"], *rows]))
