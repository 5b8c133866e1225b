"""A factor graph or a region graph laid out in flat arrays for the compiled code."""

import itertools

import numpy as np

from ppi_robotics.checks import as_logs, check_instance
from ppi_robotics.discrete.graph_beliefs import GraphBeliefs
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels.graph_messages import Net

GROWN = 1e8  # logarithm, relative to the largest one of a factor, of messages that have grown without bound
ROUNDING = 64 * np.finfo(float).eps  # of sums of some tens of numbers, each in the last digit


def lay_out(sizes, scopes, entries):
    """The `Net` of nodes with sizes and factors with scopes of nodes and entries (states (E, d), log weights (E,))."""
    degree = np.array([len(scope) for scope in scopes], dtype=np.int64)
    node = np.fromiter(itertools.chain.from_iterable(scopes), np.int64, degree.sum())
    width = np.asarray(sizes, np.int64)
    count = np.array([len(weights) for _, weights in entries], dtype=np.int64)
    scope, offset = starts(degree), starts(width[node])
    position = [(states + offset[a:b]).ravel() for (states, _), a, b in zip(entries, scope, scope[1:], strict=False)]
    edge = np.argsort(node, kind="stable")
    weights = np.concatenate([weights for _, weights in entries]) if position else np.empty(0)
    return Net(
        scope=scope,
        node=node,
        factor=np.repeat(np.arange(len(degree)), degree),
        offset=offset,
        entry=starts(count),
        place=starts(count * degree),
        position=np.concatenate(position, dtype=np.int64) if position else np.empty(0, np.int64),
        log_weight=weights,
        incident=starts(np.bincount(node, minlength=len(width))),
        edge=edge,
        start=starts(width),
        lost=-GROWN * max(1.0, _strength(weights)),
    )


def _strength(log_weights):
    """Largest of logarithms that are finite, whatever the sign."""
    return float(np.abs(log_weights[log_weights > -np.inf]).max(initial=0.0))


def settled(net, tolerance, reach):
    """The change of a message below which it has converged: the tolerance, or what rounding leaves.

    Messages are differences of sums of logarithms, which are rounded relative to the largest ones: of a factor, or of
    all messages to a node, `reach`.
    """
    return max(tolerance, ROUNDING * max(reach, _strength(net.log_weight)))


def starts(counts):
    """Where every one of consecutive pieces starts, and the end."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def pieces(flat, start):
    """Read-only pieces of a flat array."""
    flat.setflags(write=False)
    return tuple(flat[a:b] for a, b in itertools.pairwise(start))


def workspace(net):
    """Room for the messages of a factor with the most entries, and for two messages of the largest node."""
    most, widest = np.diff(net.entry).max(initial=0), np.diff(net.start).max(initial=0)
    return np.empty(most + 2 * widest)


def first_messages(bounds, graph, scopes, start, schedules):
    """Messages between bounds to begin with: those of `start`, of one of some schedules; all equal if it is None.

    Where it is of another graph, its hard zeros may not hold: they are lifted to the least of the other numbers.

    Raises:
      ProblemError: if start is of another algorithm, or of other variables or factors.
    """
    if start is None:
        return np.zeros(bounds[-1])
    check_instance(start, "start", GraphBeliefs)
    if start.schedule not in schedules:
        raise ProblemError(f"start is of schedule {start.schedule!r}; expected what {' or '.join(schedules)} returned")
    if start.graph.sizes != graph.sizes or start.scopes != tuple(scopes):
        raise ProblemError(
            f"start is of {len(start.graph.sizes)} variables and {len(start.scopes)} factors or regions, the graph has "
            f"{len(graph.sizes)} and {len(scopes)}; start from a graph of the same sizes and scopes"
        )
    messages = np.array(as_logs(start.messages, "messages of start", (bounds[-1],)))
    if start.graph is graph:
        return messages
    for a, b in itertools.pairwise(bounds):
        finite = messages[a:b] > -np.inf
        messages[a:b][~finite] = messages[a:b][finite].min(initial=0.0)
    return messages
