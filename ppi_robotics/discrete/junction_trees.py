"""Exact inference in a factor graph on a junction tree, in the log domain.

Tables of cliques pass sums over what they do not share with their parent to it, then back. Lauritzen, Spiegelhalter,
*Local computations with probabilities on graphical structures* (Journal of the Royal Statistical Society B, 1988), in
the form of Jensen, Lauritzen, Olesen (1990). With largest entries in place of sums, the way back finds the most
probable configuration: Dawid, *Applications of a general propagation algorithm* (Statistics and Computing, 1992).

Samples are exact: clique by clique from the root on, what is left of a clique is drawn given what its parent has.
"""

import numpy as np

from ppi_robotics.checks import check_count, check_instance, check_seed
from ppi_robotics.discrete.beliefs import GraphBeliefs
from ppi_robotics.discrete.elimination import LARGEST, PIECE, affordable_tree
from ppi_robotics.discrete.factor_graph import FactorGraph, mixed_radix
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.interruption import Held, check
from ppi_robotics.solution import Status

MOST = 10**9  # values and random numbers of a call


def junction_tree(graph: FactorGraph, largest: float = LARGEST) -> GraphBeliefs:
    """Exact marginals and log Z of a `FactorGraph`.

    Args:
      graph: `FactorGraph`.
      largest: most entries of the tables of all cliques together, 8 bytes each; see `tree_size`.

    Returns:
      `GraphBeliefs`; its status is CONTRADICTION if no configuration has weight. Ctrl-C ends it between two cliques
      with status INTERRUPTED, all probabilities nan, and log Z nan unless it was known by then.

    Raises:
      ProblemError: before any table is made, if they need more entries.
    """
    log_z = np.nan
    with Held() as hold:
        try:
            tree = affordable_tree(graph, largest)
            tables, constant = clique_tables(graph, tree)
            up, log_z = collect(tree, tables, constant, log_sum_over)
            if log_z > -np.inf:
                _distribute(tree, tables, up)
            beliefs, joints = _marginals(graph, tree, tables, log_z > -np.inf)
            status = Status.CONVERGED if log_z > -np.inf else Status.CONTRADICTION
        except KeyboardInterrupt:
            if hold.insisted:
                raise
            status = Status.INTERRUPTED
            beliefs = tuple(frozen(np.full(size, np.nan)) for size in graph.sizes)
            joints = tuple(frozen(np.full(len(states), np.nan)) for states, _ in graph.entries)
    return GraphBeliefs(
        log_partition=log_z,
        exact=status is not Status.INTERRUPTED,
        status=status,
        sweeps=1,
        schedule="junction tree",
        graph=graph,
        beliefs=beliefs,
        scopes=tuple(factor.variables for factor in graph.factors),
        configurations=tuple(states for states, _ in graph.entries),
        joints=joints,
    )


def most_probable(graph: FactorGraph, largest: float = LARGEST) -> tuple[np.ndarray | None, float]:
    """The most probable configuration of a `FactorGraph`, one of them if several tie.

    Args:
      graph, largest: as in `junction_tree`.

    Returns:
      values of the variables (N,), and the logarithm of their weight; None and -inf if no configuration has weight.

    Raises:
      ProblemError: as `junction_tree`.
    """
    tree = affordable_tree(graph, largest)
    tables, constant = clique_tables(graph, tree)
    _, best = collect(tree, tables, constant, lambda table, axes: np.asarray(table.max(axis=axes)))
    if best == -np.inf:
        return None, best
    found = dict(tree.fixed)
    for clique, table in zip(tree.cliques, tables, strict=True):
        free = [v for v in clique if v not in found]
        part = table[tuple(found.get(v, slice(None)) for v in clique)]
        found |= zip(free, map(int, np.unravel_index(np.argmax(part), part.shape)), strict=True)
    return np.array([found[v] for v in range(len(graph.sizes))]), best


def sample_configurations(graph: FactorGraph, samples: int = 1, seed: int = 0, largest: float = LARGEST) -> np.ndarray:
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
    tables, constant = clique_tables(graph, tree)
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


def clique_tables(graph, tree):
    """Products of the factors of every clique, and the logarithm of those that have no variable left."""
    try:
        tables = [np.zeros([graph.sizes[v] for v in clique]) for clique in tree.cliques]
    except MemoryError as error:
        needed = tree.size(graph).bytes / 1e9
        raise ProblemError(
            f"a junction tree needs {needed:.3g} GB, which are not to be had; use belief_propagation or double_loop"
        ) from error
    constant = 0.0
    for factor, (states, log_weight) in zip(graph.factors, graph.entries, strict=True):
        free, rows, possible = _free_part(factor.variables, states, tree.fixed)
        if not free:
            constant += log_weight[possible].sum() if possible.any() else -np.inf
            continue
        number = tree.home(free)
        clique = tree.cliques[number]
        seen = np.moveaxis(tables[number], [clique.index(v) for v in free], range(len(free)))
        _multiply(seen, rows, log_weight[possible])
    return tables, constant


def _multiply(table, states, log_weight):
    """Add logarithms at the states (E, d) of the first axes to a table, in place, and -inf at all others."""
    where, rest = tuple(states.T), (1,) * (table.ndim - states.shape[1])
    if len(states) == np.prod(table.shape[: states.shape[1]], dtype=float):
        dense = np.empty(table.shape[: states.shape[1]])
        dense[where] = log_weight
        table += dense.reshape(dense.shape + rest)
        return
    kept = table[where] + log_weight.reshape(-1, *rest)
    table[...] = -np.inf
    table[where] = kept


def _free_part(scope, states, fixed):
    """Variables of a factor that are not fixed, its configurations of these that agree, and which these are."""
    columns = [j for j, v in enumerate(scope) if v not in fixed]
    possible = np.ones(len(states), bool)
    if len(columns) == len(scope):
        return scope, states, possible
    for j, v in enumerate(scope):
        if v in fixed:
            possible &= states[:, j] == fixed[v]
    return [scope[j] for j in columns], states[possible][:, columns], possible


def collect(tree, tables, constant, reduce):
    """Messages from every clique to its parent, and the logarithm at the roots; Ctrl-C may end it, see `check`."""
    up, total = [None] * len(tables), constant
    for c in reversed(range(len(tables))):
        _check_now_and_then(c, tables[c])
        parent, separator = tree.parents[c], tree.separators[c]
        up[c] = reduce(tables[c], _others(tree.cliques[c], separator))
        if parent < 0:
            total += float(up[c])
        else:
            tables[parent] += np.expand_dims(up[c], _others(tree.cliques[parent], separator))
    return up, float(total)


def _distribute(tree, tables, up):
    """Multiply every table by the message from its parent."""
    for c, parent in enumerate(tree.parents):
        _check_now_and_then(c, tables[c])
        if parent >= 0:
            down = log_sum_over(tables[parent], _others(tree.cliques[parent], tree.separators[c]))
            np.subtract(down, up[c], out=down, where=up[c] > -np.inf)
            tables[c] += np.expand_dims(down, _others(tree.cliques[c], tree.separators[c]))


def _check_now_and_then(c, table):
    """Let Ctrl-C end the inference, at large tables and at every 64th clique."""
    if c % 64 == 0 or table.size > PIECE:
        check()


def log_sum_over(table, axes):
    """`log_sum` over axes of a table, without a copy of it."""
    top = np.asarray(table.max(axis=axes, keepdims=True))
    top[top == -np.inf] = 0.0
    total = np.zeros_like(top)
    _add_exponentials(table, top, total)
    with np.errstate(divide="ignore"):
        np.log(total, out=total)
    total += top
    return total.squeeze(axis=axes)


def _add_exponentials(table, top, total):
    """Add exp(table - top) to total, in pieces; top and total have length 1 along the axes that are summed over."""
    if table.size <= PIECE:
        axes = tuple(j for j, size in enumerate(total.shape) if size < table.shape[j])
        powers = table - top
        total += np.exp(powers, out=powers).sum(axis=axes, keepdims=True)
        return
    longest = int(np.argmax(table.shape))
    middle, whole = table.shape[longest] // 2, slice(None)
    for part in (slice(0, middle), slice(middle, None)):
        where = (whole,) * longest + (part,)
        kept = where if total.shape[longest] > 1 else (whole,)
        _add_exponentials(table[where], top[kept], total[kept])


def _others(clique, kept):
    """Axes of the table of a clique that belong to other variables than those kept."""
    return tuple(j for j, v in enumerate(clique) if v not in kept)


def _marginals(graph, tree, tables, possible):
    """Probabilities of every variable and of the configurations of every factor; 0 where nothing is possible.

    The tables are used up.
    """
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
            owned[c].append((beliefs[v], slice(None), [v], np.arange(graph.sizes[v])[:, None]))
        for c, (clique, p, wanted) in enumerate(zip(tree.cliques, tables, owned, strict=True)):
            _check_now_and_then(c, p)
            p -= p.max()
            np.exp(p, out=p)
            p /= p.sum()
            for out, agrees, free, rows in wanted:
                others = _others(clique, free)
                marginal = p.sum(axis=others) if others else p
                out[agrees] = marginal[tuple(rows[:, j] for j in np.argsort(free))]
    for array in (*beliefs, *joints):
        array.setflags(write=False)
    return tuple(beliefs), tuple(joints)


def _draw(clique, separator, table, level, found):
    """Values of the variables of a clique beside the separator, given those of it, by random numbers from 0 to 1."""
    known = [j for j, v in enumerate(clique) if v in separator]
    free = [j for j, v in enumerate(clique) if v not in separator]
    inner = [table.shape[j] for j in free]
    rows = table.transpose(known + free).reshape(-1, int(np.prod(inner)))
    row = mixed_radix(found[:, [clique[j] for j in known]], [table.shape[j] for j in known])
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
