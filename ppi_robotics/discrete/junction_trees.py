"""Exact inference in a factor graph on a junction tree, in the log domain.

Tables of cliques pass sums over what they do not share with their parent to it, then back. Lauritzen, Spiegelhalter,
*Local computations with probabilities on graphical structures* (Journal of the Royal Statistical Society B, 1988), in
the form of Jensen, Lauritzen, Olesen (1990). With largest entries in place of sums, the way back finds the most
probable configuration: Dawid, *Applications of a general propagation algorithm* (Statistics and Computing, 1992).
"""

import numpy as np

from ppi_robotics.discrete.elimination import LARGEST, affordable_tree
from ppi_robotics.discrete.graph_beliefs import GraphBeliefs
from ppi_robotics.gaussian import log_sum
from ppi_robotics.solution import Status


def junction_tree(graph, largest=LARGEST):
    """Exact marginals and log Z of a `FactorGraph`.

    Args:
      graph: `FactorGraph`.
      largest: most entries of the tables of all cliques together, 8 bytes each; see `tree_size`.

    Returns:
      `GraphBeliefs`; its status is CONTRADICTION if no configuration has weight.

    Raises:
      ProblemError: before any table is made, if they need more entries.
    """
    tree = affordable_tree(graph, largest)
    tables, constant = _tables(graph, tree)
    up, log_z = _collect(tree, tables, constant, log_sum)
    if log_z > -np.inf:
        _distribute(tree, tables, up)
    beliefs, joints = _marginals(graph, tree, tables, log_z > -np.inf)
    return GraphBeliefs(
        log_partition=log_z,
        exact=True,
        status=Status.CONVERGED if log_z > -np.inf else Status.CONTRADICTION,
        sweeps=1,
        schedule="junction tree",
        graph=graph,
        beliefs=beliefs,
        scopes=tuple(factor.variables for factor in graph.factors),
        configurations=tuple(states for states, _ in graph.entries),
        joints=joints,
    )


def most_probable(graph, largest=LARGEST):
    """The most probable configuration of a `FactorGraph`, one of them if several tie.

    Args:
      graph, largest: as in `junction_tree`.

    Returns:
      values of the variables (N,), and the logarithm of their weight; None and -inf if no configuration has weight.

    Raises:
      ProblemError: as `junction_tree`.
    """
    tree = affordable_tree(graph, largest)
    tables, constant = _tables(graph, tree)
    _, best = _collect(tree, tables, constant, lambda table, axes: table.max(axis=axes))
    if best == -np.inf:
        return None, best
    found = dict(tree.fixed)
    for clique, table in zip(tree.cliques, tables, strict=True):
        free = [v for v in clique if v not in found]
        part = table[tuple(found.get(v, slice(None)) for v in clique)]
        found |= zip(free, map(int, np.unravel_index(np.argmax(part), part.shape)), strict=True)
    return np.array([found[v] for v in range(len(graph.sizes))]), best


def _tables(graph, tree):
    """Products of the factors of every clique, and the logarithm of those that have no variable left."""
    tables = [np.zeros([graph.sizes[v] for v in clique]) for clique in tree.cliques]
    constant = 0.0
    for factor, (states, log_weight) in zip(graph.factors, graph.entries, strict=True):
        free, rows, possible = _free_part(factor.variables, states, tree.fixed)
        if not free:
            constant += log_weight[possible].sum() if possible.any() else -np.inf
            continue
        number = tree.home(free)
        order = sorted(range(len(free)), key=free.__getitem__)
        table = np.full([graph.sizes[free[j]] for j in order], -np.inf)
        table[tuple(rows[possible][:, order].T)] = log_weight[possible]
        tables[number] += table.reshape([graph.sizes[v] if v in free else 1 for v in tree.cliques[number]])
    return tables, constant


def _free_part(scope, states, fixed):
    """Variables of a factor that are not fixed, its configurations of these, and which agree with the fixed ones."""
    possible = np.ones(len(states), bool)
    for j, v in enumerate(scope):
        if v in fixed:
            possible &= states[:, j] == fixed[v]
    columns = [j for j, v in enumerate(scope) if v not in fixed]
    return [scope[j] for j in columns], states[:, columns], possible


def _collect(tree, tables, constant, reduce):
    """Pass what every clique says of its separator on to its parent; the messages, and the logarithm at the roots."""
    up, total = [None] * len(tables), constant
    for c in reversed(range(len(tables))):
        up[c] = reduce(tables[c], _others(tree.cliques[c], tree.separators[c]))
        if tree.parents[c] < 0:
            total += float(up[c])
        else:
            tables[tree.parents[c]] += _spread(up[c], tree, c, tree.parents[c])
    return up, float(total)


def _distribute(tree, tables, up):
    """Pass back to every clique what the rest of the tree says of its separator."""
    for c, parent in enumerate(tree.parents):
        if parent >= 0:
            known = log_sum(tables[parent], _others(tree.cliques[parent], tree.separators[c]))
            seen = up[c] > -np.inf
            known[seen] -= up[c][seen]
            tables[c] += _spread(known, tree, c, c)


def _spread(message, tree, c, onto):
    """A message over the separator of clique c with axes for the variables of the clique that it is put onto."""
    inside = set(tree.separators[c])
    sizes = iter(message.shape)
    return message.reshape([next(sizes) if v in inside else 1 for v in tree.cliques[onto]])


def _others(clique, kept):
    return tuple(j for j, v in enumerate(clique) if v not in set(kept))


def _marginals(graph, tree, tables, possible):
    """Probabilities of every variable and of the configurations of every factor; 0 where nothing is possible."""
    beliefs = [np.zeros(size) for size in graph.sizes]
    joints = [np.zeros(len(states)) for states, _ in graph.entries]
    if possible:
        for v, value in tree.fixed.items():
            beliefs[v][value] = 1.0
        owned = [[] for _ in tables]
        for number, factor in enumerate(graph.factors):
            free, rows, agrees = _free_part(factor.variables, graph.entries[number][0], tree.fixed)
            if free:
                owned[tree.home(free)].append((joints[number], agrees, free, rows))
            else:
                joints[number][agrees] = 1.0
        for v, c in tree.homes.items():
            owned[c].append((beliefs[v], np.ones(graph.sizes[v], bool), [v], np.arange(graph.sizes[v])[:, None]))
        for clique, table, wanted in zip(tree.cliques, tables, owned, strict=True):
            p = np.exp(table - table.max())
            p /= p.sum()
            for out, agrees, free, rows in wanted:
                order = sorted(range(len(free)), key=free.__getitem__)
                marginal = p.sum(axis=_others(clique, free))
                out[agrees] = marginal[tuple(rows[agrees][:, order].T)]
    for array in (*beliefs, *joints):
        array.setflags(write=False)
    return tuple(beliefs), tuple(joints)
