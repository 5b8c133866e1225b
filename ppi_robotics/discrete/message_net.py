"""A factor graph or a region graph laid out in flat arrays for the compiled code, and what inference in it reports."""

import itertools
from dataclasses import dataclass

import numpy as np

from ppi_robotics.discrete.inference import Inference
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels.graph_messages import Net


@dataclass(frozen=True, eq=False, kw_only=True)
class GraphBeliefs(Inference):
    """Probabilities of the variables of a graph, beside what every `Inference` has.

    After a contradiction all probabilities are 0: there is no configuration that could have any.

    Attributes:
      graph: the `FactorGraph`.
      beliefs: probabilities of the values of every variable, a tuple of arrays.
      scopes: variables of every region that has a joint belief: of the factors, or of the outer regions.
      configurations: values (E, d) of these variables that can happen, one array a region.
      joints: probabilities (E,) of them.
      messages: to begin with another time; None after exact inference.
    """

    graph: object
    beliefs: tuple
    scopes: tuple
    configurations: tuple
    joints: tuple
    messages: np.ndarray | None = None

    def joint(self, *variables):
        """Joint probabilities of variables, an axis for each, from the first region that has them all.

        Raises:
          ProblemError: if they share no factor or region; a Table of zeros over them would give them one.
        """
        for scope, states, p in zip(self.scopes, self.configurations, self.joints, strict=True):
            if set(variables) <= set(scope):
                columns = [scope.index(v) for v in variables]
                out = np.zeros([self.graph.sizes[v] for v in variables])
                np.add.at(out, tuple(states[:, columns].T), p)
                return out
        named = ", ".join(self.graph.name(v) for v in variables)
        raise ProblemError(f"variables {named} share no factor; give them a Table of log_values 0 to have their joint")


def lay_out(sizes, scopes, entries):
    """The `Net` of nodes with sizes and factors with scopes of nodes and entries (states (E, d), log weights (E,))."""
    degree = np.array([len(scope) for scope in scopes], dtype=np.int64)
    node = np.fromiter(itertools.chain.from_iterable(scopes), np.int64, degree.sum())
    width = np.asarray(sizes, np.int64)
    count = np.array([len(weights) for _, weights in entries], dtype=np.int64)
    scope, offset = starts(degree), starts(width[node])
    position = [(states + offset[a:b]).ravel() for (states, _), a, b in zip(entries, scope, scope[1:], strict=False)]
    edge = np.argsort(node, kind="stable")
    return Net(
        scope=scope,
        node=node,
        factor=np.repeat(np.arange(len(degree)), degree),
        offset=offset,
        entry=starts(count),
        place=starts(count * degree),
        position=np.concatenate(position, dtype=np.int64) if position else np.empty(0, np.int64),
        log_weight=np.concatenate([weights for _, weights in entries]) if position else np.empty(0),
        incident=starts(np.bincount(node, minlength=len(width))),
        edge=edge,
        start=starts(width),
    )


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


def first_messages(net, start, schedules):
    """Messages to begin with: those that `start`, of one of some schedules, ended with; all equal if it is None.

    Its hard zeros are lifted to the least of the other numbers, as they may not hold in the graph at hand.

    Raises:
      ProblemError: if start belongs to another structure or algorithm.
    """
    if start is None:
        return np.zeros(net.offset[-1])
    size = 0 if start.messages is None else len(start.messages)
    if start.schedule not in schedules or size != net.offset[-1]:
        raise ProblemError(
            f"start has {size} numbers in messages, by the schedule {start.schedule!r}; expected {net.offset[-1]}, by "
            f"{' or '.join(schedules)}: start from the same algorithm and structure"
        )
    messages = start.messages.copy()
    for a, b in itertools.pairwise(net.offset):
        finite = messages[a:b] > -np.inf
        messages[a:b][~finite] = messages[a:b][finite].min(initial=0.0)
    return messages
