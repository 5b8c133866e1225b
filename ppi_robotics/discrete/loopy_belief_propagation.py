r"""A factor graph or a region graph laid out in flat arrays for the compiled code.

Loopy belief propagation in a factor graph; exact on trees.

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
from ppi_robotics.kernels import belief_propagation as kernel
from ppi_robotics.kernels.belief_propagation import Net, bethe, disagreement, node_beliefs
from ppi_robotics.solution import Status

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


MOST_SWEEPS = "the largest number of sweeps"  # in messages
SCHEDULES = ("sequential", "flood", "random", "residual")
MODES = ("sum", "max")
ENDS = {kernel.NOTHING: Status.CONTRADICTION, kernel.LOST: Status.MESSAGES_LOST}


def belief_propagation(
    graph, schedule="sequential", damping=0.0, tolerance=1e-10, max_sweeps=1000, seed=0, start=None, mode="sum"
):
    """Approximate marginals and log Z, or the best configuration, by belief propagation.

    Args:
      graph: `FactorGraph`.
      schedule: "sequential" renews the factors in their order; "flood" all at once; "random" in an order drawn for
        every sweep; "residual" those first whose messages would change most, and all once more where that
        changes nothing any longer, or where variables have so many factors that all would be looked at all the time.
      damping: share of the old logarithm in a new message, from 0 to below 1.
      tolerance: of the change of the logarithm of a message in a sweep, undamped, below which it has converged; where
        factors are so strong that rounding changes more, the latter.
      max_sweeps: updates of every factor at most.
      seed: of the random schedule.
      start: `GraphBeliefs` of belief propagation in a graph of the same structure, to begin at its messages.
      mode: "sum" for marginals, "max" for the best configuration.

    Returns:
      `GraphBeliefs`. log_partition is the negative Bethe free energy, no bound either way. It does not tell whether
      the probabilities are any good: a run can converge to the wrong ones. With mode "max", beliefs and joints are
      weights of the best configurations that have a value, relative to the best of all; `configuration` is one of
      these, and log_partition the logarithm of its weight: exactly on trees, also where several tie; in graphs with
      loops, `graph.log_weight(configuration)` tells what it is worth, and that may be less.

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
    net = lay_out(graph.sizes, scopes, graph.entries)
    messages = first_messages(net.offset, graph, scopes, start, SCHEDULES)
    run = _Run(net, messages, damping, mode == "max")
    status, change, trace, log_z = run.until(_sweepers(schedule, run, seed), tolerance, max_sweeps)
    failed = status in ENDS.values()
    configuration = None
    if mode == "max" and status is not Status.CONTRADICTION:
        configuration = best_configuration(graph, pieces(run.beliefs, net.start), pieces(run.joint, net.entry))
    return GraphBeliefs(
        log_partition=log_z,
        exact=False,
        status=status,
        sweeps=len(trace) + failed,
        change=0.0 if status is Status.CONTRADICTION else float(change),
        inconsistency=disagreement(net, run.maximize, run.beliefs, run.joint),
        trace=tuple(trace),
        schedule=schedule,
        graph=graph,
        beliefs=pieces(run.beliefs, net.start),
        scopes=scopes,
        configurations=tuple(states for states, _ in graph.entries),
        joints=pieces(run.joint, net.entry),
        messages=pieces(messages, (0, len(messages)))[0],
        configuration=configuration,
    )


class _Run:
    """Messages, what they are made in, and the beliefs that they give."""

    def __init__(self, net, messages, damping, maximize):
        self.net, self.messages, self.damping, self.maximize = net, messages, float(damping), maximize
        self.into, self.work, self.fresh = np.zeros_like(messages), workspace(net), messages.copy()
        self.beliefs, self.joint = np.zeros(net.start[-1]), np.zeros(net.entry[-1])

    def until(self, sweepers, tolerance, most):
        """Sweep until messages have converged; `Status`, their last change, the trace and log Z."""
        advance, advance_some = sweepers
        change, within, trace = np.inf, tolerance, []
        for n in range(most):
            kept = self.messages.copy()
            # what some factors say settles nothing; where too many would have to be asked, all are
            whole = advance_some is None or n == 0 or change <= within or change == np.inf
            code, change = advance() if whole else advance_some()
            if code == kernel.FINE:
                code, log_z, reach = self.believe()
            if code != kernel.FINE:
                return ENDS[code], change, trace, self.give_up(code, kept)
            trace.append(-log_z)
            within = settled(self.net, tolerance, reach)
            if whole and change <= within:
                return Status.CONVERGED, change, trace, log_z
        return Status.MAX_ITERATIONS, change, trace, log_z

    def believe(self):
        """Renew beliefs; FINE, NOTHING or LOST, log Z, and the largest logarithm of a product of messages."""
        of_nodes, reach = node_beliefs(self.net, self.maximize, self.messages, self.beliefs, self.work)
        if of_nodes == -np.inf:
            return kernel.NOTHING, of_nodes, reach
        room = self.into, self.work, self.joint
        return *bethe(self.net, self.maximize, self.messages, of_nodes, *room), reach

    def give_up(self, code, kept):
        """Go back to the messages before; log Z, -inf after a contradiction."""
        self.messages[:] = kept
        if code == kernel.LOST:
            return self.believe()[1]
        self.beliefs[:], self.joint[:] = 0.0, 0.0
        return -np.inf


def _sweepers(schedule, run, seed):
    """Functions that renew all messages, and by the residual schedule some, else None.

    Both return FINE, NOTHING or LOST, and the largest change of a message.
    """
    net, messages, fresh = run.net, run.messages, run.fresh
    order, edge = np.arange(len(net.scope) - 1), np.empty_like(net.edge)
    how = run.damping, run.maximize, run.into, run.work
    random = np.random.Generator(np.random.Philox(seed))
    tree = np.zeros(2 << max(len(order) - 1, 0).bit_length())

    def sequential():
        return kernel.iterate(net, order, net.edge, messages, *how, messages)

    def at_random():
        turns = random.permutation(len(order))
        kernel.reorder(net, turns, edge)
        return kernel.iterate(net, turns, edge, messages, *how, messages)

    def flood():
        code, change = kernel.iterate(net, order, net.edge, messages, *how, fresh)
        messages[:] = fresh
        return code, change

    def ranked():
        code, change = sequential()
        if code == kernel.FINE:
            code = kernel.all_residuals(net, messages, *how, fresh, tree)
        return code, change

    def by_residual():
        return kernel.iterate_by_residual(net, messages, *how, fresh, tree)

    whole = dict(zip(SCHEDULES, (sequential, flood, at_random, ranked), strict=True))[schedule]
    return whole, by_residual if schedule == "residual" else None
