r"""Loopy belief propagation in a factor graph; exact on trees.

    m_{f -> v}(x_v) = sum_{x_f \ x_v} psi_f(x_f) prod_{w != v} m_{w -> f}(x_w),   m_{v -> f} = prod_{g != f} m_{g -> v}

Its fixed points are the stationary points of the Bethe free energy: Yedidia, Freeman, Weiss, *Constructing free-energy
approximations and generalized belief propagation algorithms* (IEEE Transactions on Information Theory, 2005). The
residual schedule is of Elidan, McGraw, Koller, *Residual belief propagation* (UAI, 2006), with factors for messages.

With mode "max", largest terms take the place of sums, which finds the best configuration of a tree: Pearl,
*Probabilistic reasoning in intelligent systems* (1988), section 5.3.

A run has converged once no message would change undamped: the logarithms of all of them, not the probabilities, which
are 0 and 1 long before. A message that is 0 at a value proves that no configuration has it; where only zeros are left
there is a contradiction. Messages in loops may grow without bound instead, which proves nothing: they are lost.
"""

import itertools

import numpy as np

from ppi_robotics.checks import as_logs, check_choice, check_count, check_instance, check_seed
from ppi_robotics.discrete.beliefs import GraphBeliefs, best_configuration, check_messages
from ppi_robotics.discrete.factor_graph import FactorGraph
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held
from ppi_robotics.kernels import belief_propagation as kernel
from ppi_robotics.solution import Status

MOST_SWEEPS = "the largest number of sweeps"  # in messages
SCHEDULES = ("sequential", "flood", "random", "residual")
MODES = ("sum", "max")
ENDS = {kernel.NOTHING: Status.CONTRADICTION, kernel.LOST: Status.MESSAGES_LOST}
GROWN = 1e8  # logarithm, relative to the largest one of a factor, of messages that have grown without bound
ROUNDING = 64 * np.finfo(float).eps  # of sums of some tens of numbers, each in the last digit


def belief_propagation(
    graph: FactorGraph,
    schedule: str = "sequential",
    damping: float = 0.0,
    tolerance: float = 1e-10,
    max_sweeps: int = 1000,
    seed: int = 0,
    start: GraphBeliefs | None = None,
    mode: str = "sum",
) -> GraphBeliefs:
    """Approximate marginals and log Z, or the best configuration, by belief propagation.

    Args:
      graph: `FactorGraph`.
      schedule: "sequential" updates the factors in their order; "flood" all at once; "random" in an order drawn for
        every iteration; "residual" those first whose messages would change most, and all once more where that changes
        nothing any longer, or where variables have so many factors that the residuals cost more than the updates.
      damping: share of the old logarithm in a new message, from 0 to below 1.
      tolerance: largest change of the logarithm of a message in an iteration, undamped, once converged; where factors
        are so strong that rounding changes more, the latter.
      max_sweeps: updates of every factor at most.
      seed: of the random schedule.
      start: `GraphBeliefs` of belief propagation in a graph of the same structure, whose messages are the first ones.
      mode: "sum" for marginals, "max" for the best configuration.

    Returns:
      `GraphBeliefs`. log_partition is the negative Bethe free energy, no bound either way. It does not tell whether
      the probabilities are any good: a run can converge to the wrong ones. With mode "max", beliefs and joints are
      weights of the best configurations that have a value, relative to the best of all; `configuration` is one of
      these, and log_partition the logarithm of its weight: exactly on trees, also where several tie; in graphs with
      loops, `graph.log_weight(configuration)` is what it is worth, and may be less. Ctrl-C ends it with the beliefs of
      the last iteration.

    Raises:
      ProblemError: if an option is out of range, or start belongs to another structure.
    """
    check_instance(graph, "graph", FactorGraph)
    check_choice(schedule, "schedule", SCHEDULES)
    check_choice(mode, "mode", MODES)
    check_messages(tolerance, damping)
    check_count(max_sweeps, MOST_SWEEPS, 1)
    seed = check_seed(seed)
    scopes = tuple(factor.variables for factor in graph.factors)
    net = flatten(graph.sizes, scopes, graph.entries)
    messages = initial_messages(net.offset, graph, scopes, start, SCHEDULES)
    run = _Run(net, messages, damping, mode == "max", schedule, seed)
    status, change, trace, log_z = run.until(tolerance, max_sweeps)
    failed = status in ENDS.values()
    configuration = None
    if mode == "max" and status is not Status.CONTRADICTION:
        configuration = best_configuration(graph, slices(run.beliefs, net.start), slices(run.joint, net.entry))
    return GraphBeliefs(
        log_partition=log_z,
        exact=False,
        status=status,
        sweeps=len(trace) + failed,
        change=0.0 if status is Status.CONTRADICTION else float(change),
        inconsistency=kernel.disagreement(net, run.maximize, run.beliefs, run.joint),
        trace=tuple(trace),
        schedule=schedule,
        graph=graph,
        beliefs=slices(run.beliefs, net.start),
        scopes=scopes,
        configurations=tuple(states for states, _ in graph.entries),
        joints=slices(run.joint, net.entry),
        messages=slices(messages, (0, len(messages)))[0],
        configuration=configuration,
    )


class _Run:
    """Messages, the arrays they are computed in, and the beliefs that they give."""

    def __init__(self, net, messages, damping, maximize, schedule, seed):
        self.net, self.messages, self.maximize, self.schedule = net, messages, maximize, schedule
        self.into, self.work, self.fresh = np.zeros_like(messages), workspace(net), messages.copy()
        self.how = float(damping), maximize, self.into, self.work
        self.beliefs, self.joint = np.zeros(net.start[-1]), np.zeros(net.entry[-1])
        self.order, self.edge = np.arange(len(net.scope) - 1), np.empty_like(net.edge)
        self.random = np.random.Generator(np.random.Philox(seed))
        self.priorities = np.zeros(2 << max(len(self.order) - 1, 0).bit_length())

    def until(self, tolerance, most):
        """Update messages until they have converged; `Status`, their last change, the trace and log Z."""
        change, within, trace = np.inf, tolerance, []
        with Held() as hold:
            for n in range(most):
                kept = self.messages.copy()
                # some messages prove no convergence; all are updated as well where too many would have to be compared
                whole = self.schedule != "residual" or n == 0 or change <= within or change == np.inf
                code, change = self.update_all() if whole else self.update_by_residual()
                if code == kernel.FINE:
                    code, log_z, reach = self.believe()
                if code != kernel.FINE:
                    return ENDS[code], change, trace, self.restore(code, kept)
                trace.append(-log_z)
                within = convergence_threshold(self.net, tolerance, reach)
                if whole and change <= within:
                    return Status.CONVERGED, change, trace, log_z
                if hold.pressed:
                    return Status.INTERRUPTED, change, trace, log_z
        return Status.MAX_ITERATIONS, change, trace, log_z

    def update_all(self):
        """Update all messages; FINE, NOTHING or LOST, and the largest change of a message."""
        order, edge = self.order, self.net.edge
        if self.schedule == "random":
            order, edge = self.random.permutation(order), self.edge
            kernel.reorder(self.net, order, edge)
        out = self.fresh if self.schedule == "flood" else self.messages
        code, change = kernel.iterate(self.net, order, edge, self.messages, *self.how, out)
        self.messages[:] = out
        if self.schedule == "residual" and code == kernel.FINE:
            code = kernel.all_residuals(self.net, self.messages, *self.how, self.fresh, self.priorities)
        return code, change

    def update_by_residual(self):
        """Update the messages that change most; FINE, NOTHING or LOST, and the largest change that is left."""
        return kernel.iterate_by_residual(self.net, self.messages, *self.how, self.fresh, self.priorities)

    def believe(self):
        """Update beliefs; FINE, NOTHING or LOST, log Z, and the largest logarithm of a product of messages."""
        given = self.net, self.maximize, self.messages
        of_nodes, reach = kernel.node_beliefs(*given, self.beliefs, self.work)
        if of_nodes == -np.inf:
            return kernel.NOTHING, of_nodes, reach
        return *kernel.bethe(*given, of_nodes, self.into, self.work, self.joint), reach

    def restore(self, code, kept):
        """Go back to the messages before; log Z, -inf after a contradiction."""
        self.messages[:] = kept
        if code == kernel.LOST:
            return self.believe()[1]
        self.beliefs[:], self.joint[:] = 0.0, 0.0
        return -np.inf


# -- graphs in flat arrays, of factors or regions ----------------------------------------------------------------------


def flatten(sizes, scopes, entries):
    """The `Net` of nodes with sizes and factors with scopes of nodes and entries (states (E, d), log weights (E,))."""
    degree = np.array([len(scope) for scope in scopes], dtype=np.int64)
    node = np.fromiter(itertools.chain.from_iterable(scopes), np.int64, degree.sum())
    width = np.asarray(sizes, np.int64)
    count = np.array([len(weights) for _, weights in entries], dtype=np.int64)
    scope, offset = offsets(degree), offsets(width[node])
    position = [(states + offset[a:b]).ravel() for (states, _), a, b in zip(entries, scope, scope[1:], strict=False)]
    edge = np.argsort(node, kind="stable")
    weights = np.concatenate([weights for _, weights in entries]) if position else np.empty(0)
    return kernel.Net(
        scope=scope,
        node=node,
        factor=np.repeat(np.arange(len(degree)), degree),
        offset=offset,
        entry=offsets(count),
        place=offsets(count * degree),
        position=np.concatenate(position, dtype=np.int64) if position else np.empty(0, np.int64),
        log_weight=weights,
        incident=offsets(np.bincount(node, minlength=len(width))),
        edge=edge,
        start=offsets(width),
        lost=-GROWN * max(1.0, _strength(weights)),
    )


def _strength(log_weights):
    """Largest of logarithms that are finite, whatever the sign."""
    return float(np.abs(log_weights[log_weights > -np.inf]).max(initial=0.0))


def convergence_threshold(net, tolerance, reach):
    """Change of a message below which it has converged: the tolerance, or what rounding leaves.

    Messages are differences of sums of logarithms, which are rounded relative to the largest ones: of a factor, or of
    all messages to a node, `reach`.
    """
    return max(tolerance, ROUNDING * max(reach, _strength(net.log_weight)))


def offsets(counts):
    """Where each of consecutive slices starts, and the end of the last."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def slices(flat, start):
    """Read-only slices of a flat array."""
    flat.setflags(write=False)
    return tuple(flat[a:b] for a, b in itertools.pairwise(start))


def workspace(net):
    """Workspace for the configurations of the largest factor and for two messages of the largest node."""
    most, widest = np.diff(net.entry).max(initial=0), np.diff(net.start).max(initial=0)
    return np.empty(most + 2 * widest)


def initial_messages(bounds, graph, scopes, start, schedules):
    """First messages, between bounds: those of `start`, of one of some schedules; all equal if it is None.

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
