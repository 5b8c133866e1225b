"""Exact samples of the configurations of a factor graph.

Clique by clique from the root of a junction tree on, what is left of the clique is drawn given what its parent has.
"""

import numpy as np

from ppi_robotics.checks import check_count, check_instance, check_seed
from ppi_robotics.discrete.elimination import LARGEST, affordable_tree
from ppi_robotics.discrete.factor_graph import FactorGraph
from ppi_robotics.discrete.junction_trees import build, collect, log_sum_over
from ppi_robotics.errors import ProblemError

MOST = 10**9  # values and random numbers of a call


def sample_configurations(graph, samples=1, seed=0, largest=LARGEST):
    """Independent configurations by their probabilities.

    Args:
      graph: `FactorGraph`.
      samples: how many.
      seed: sample i is the same whatever their number.
      largest: as in `junction_tree`.

    Returns:
      values (samples, N) of the variables.

    Raises:
      ProblemError: as `junction_tree`, or if no configuration has weight, or there are too many samples.
    """
    check_instance(graph, "graph", FactorGraph)
    samples = check_count(samples, "samples", 1, MOST // len(graph.sizes))
    seed = check_seed(seed)
    tree = affordable_tree(graph, largest)
    tables, constant = build(graph, tree)
    _, log_z = collect(tree, tables, constant, log_sum_over)
    if log_z == -np.inf:
        raise ProblemError("no configuration has weight, so there is none to sample; mend factors that contradict")
    found = np.empty((samples, len(graph.sizes)), np.int64)
    for v, value in tree.fixed.items():
        found[:, v] = value
    levels = np.random.Generator(np.random.Philox(seed)).random((samples, len(tree.cliques)))
    for clique, separator, table, level in zip(tree.cliques, tree.separators, tables, levels.T, strict=True):
        _draw(clique, separator, table, level, found)
    return found


def _draw(clique, separator, table, level, found):
    """Values of the variables of a clique beside the separator, given those of it, by random numbers from 0 to 1."""
    known = [j for j, v in enumerate(clique) if v in separator]
    free = [j for j, v in enumerate(clique) if v not in separator]
    inner = [table.shape[j] for j in free]
    rows = table.transpose(known + free).reshape(-1, int(np.prod(inner)))
    row = np.zeros(len(found), np.int64)
    for j in known:
        row = row * table.shape[j] + found[:, clique[j]]
    order = np.argsort(row, kind="stable")
    starts = np.flatnonzero(np.diff(row[order], prepend=-1))
    drawn = np.empty(len(found), np.int64)
    for which in np.split(order, starts[1:]):
        logs = rows[row[which[0]]]
        sums = np.cumsum(np.exp(logs - logs.max()))
        aim = np.minimum(level[which] * sums[-1], np.nextafter(sums[-1], 0.0))  # rounding must not lead past the end
        drawn[which] = np.searchsorted(sums, aim, side="right")
    for j, values in zip(free, np.unravel_index(drawn, inner), strict=True):
        found[:, clique[j]] = values
