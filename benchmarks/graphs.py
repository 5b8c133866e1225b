"""Inference in the factor graph of the blocks world, a pass at a time.

1. Belief propagation on four locations and eight moves. libDAI 0.3 takes 0.46 ms a pass of its own, measured on another
   machine: the limit here, not a contender.
2. The double loop on six locations and eight moves, where libDAI's takes 2.2 ms a pass (1.70 s for 768), as above.
3. Exact inference in the first graph, against pyAgrum's Shafer-Shenoy with the same tables in a process of its own;
   the clock of both counts the making of the junction tree, whose largest clique is left to either.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.report import check, missing, report

PASS, DOUBLE = 0.46, 2.2  # ms, libDAI's
FASTER = 1.0  # least ratio to pyAgrum
ROUNDS, PEER_ROUNDS, SWEEPS, PATIENCE = 15, 3, 100, 120.0  # runs of each, sweeps of a run, seconds


def world(which):
    """The tower of four blocks that has just the moves it needs, or five blocks to be spread."""
    from plants import BlocksWorld

    if which == "tower":
        return BlocksWorld((4, 0, 0, 0), 8, goal=(0, 0, 4, 0))
    return BlocksWorld((5, 0, 0, 0, 0, 0), 8, goal=(1, 2, 1, 0, 0, 1))


def per_sweep(infer):
    """Milliseconds a sweep: the least over runs of an `Inference`, its set-up included."""
    infer()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        sweeps = infer().sweeps
        taken.append(1e3 * (time.perf_counter() - began) / sweeps)
    return min(taken)


def passes():
    """Sweeps of belief propagation and of the double loop."""
    from ppi_robotics.discrete import belief_propagation, double_loop, minimal_regions

    tower = world("tower").graph().graph
    ms = per_sweep(lambda: belief_propagation(tower, damping=0.5, max_sweeps=SWEEPS))
    report("pass of belief propagation, 4 locations, limit libDAI's elsewhere", "ms", ms, None, None, None, PASS)
    regions = minimal_regions(world("spread").graph().graph)
    found = double_loop(regions)
    check("the double loop", np.array(found.log_partition), np.array(-12.5575627244), 1e-5)
    ms = per_sweep(lambda: double_loop(regions))
    report("pass of the double loop, 6 locations, limit libDAI's elsewhere", "ms", ms, None, None, None, DOUBLE)


def reduced(graph):
    """Variables that are not clamped, their sizes, and the tables over them, numbered anew and multiplied by scope.

    pyAgrum's own evidence leaves clamped variables in its cliques, where they are too many.
    """
    units = [pair for pair in zip(graph.factors, graph.entries, strict=True) if len(pair[0].variables) == 1]
    held = {factor.variables[0]: int(states[0, 0]) for factor, (states, _) in units if len(states) == 1}
    free = [v for v in range(len(graph.sizes)) if v not in held]
    number, tables = {v: n for n, v in enumerate(free)}, {}
    for factor, (states, weights) in zip(graph.factors, graph.entries, strict=True):
        table = np.zeros([graph.sizes[v] for v in factor.variables])
        table[tuple(states.T)] = np.exp(weights)
        table = table[tuple(held.get(v, slice(None)) for v in factor.variables)]
        scope = tuple(number[v] for v in factor.variables if v in number)
        if scope:
            tables[scope] = tables.get(scope, 1.0) * table
    return free, [graph.sizes[v] for v in free], tables


def exact():
    """The junction tree beside pyAgrum's."""
    from ppi_robotics.discrete import junction_tree

    graph = world("tower").graph().graph
    free, sizes, tables = reduced(graph)
    given = json.dumps([sizes, [(scope, table.tolist()) for scope, table in tables.items()], PEER_ROUNDS])
    python = os.environ.get("PYAGRUM_PYTHON", sys.executable)
    command = [python, "-m", "benchmarks.peer_agrum"]
    what = "exact marginals of all variables, 4 locations"
    try:
        answer = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        missing(what, error)
        return
    if answer.returncode:
        missing(what, (answer.stderr.strip().splitlines() or ["no message"])[-1])
        return
    theirs = json.loads(answer.stdout)
    found = junction_tree(graph)
    worst = check(what, np.concatenate([found.beliefs[v] for v in free]), np.concatenate(theirs["marginals"]))
    ms = per_sweep(lambda: junction_tree(graph))
    report(what, "ms", ms, f"pyAgrum {theirs['version']}", theirs["ms"], theirs["ms"] / ms, FASTER, agreement=worst)


def main():
    passes()
    exact()


if __name__ == "__main__":
    main()
