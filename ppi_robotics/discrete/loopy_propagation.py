"""Loopy belief propagation in a factor graph; exact on trees.

    m_{f -> v}(x_v) = sum_{x_f \\ x_v} psi_f(x_f) prod_{w != v} m_{w -> f}(x_w),   m_{v -> f} = prod_{g != f} m_{g -> v}

Its fixed points are the stationary points of the Bethe free energy: Yedidia, Freeman, Weiss, *Constructing free-energy
approximations and generalized belief propagation algorithms* (IEEE Transactions on Information Theory, 2005). The
residual schedule is of Elidan, McGraw, Koller, *Residual belief propagation* (UAI, 2006), with factors for messages.

A message that is 0 at a value proves that no configuration has it. So a contradiction says that the graph allows none,
or that messages grew without bound, a ratio in one falling below exp(-1e8); damping, or `double_loop`, mends that.
"""

import numpy as np

from ppi_robotics.checks import check_choice, check_count, check_instance, check_seed
from ppi_robotics.discrete.factor_graph import FactorGraph
from ppi_robotics.discrete.graph_beliefs import GraphBeliefs
from ppi_robotics.discrete.inference import check_messages
from ppi_robotics.discrete.message_net import first_messages, lay_out, pieces, workspace
from ppi_robotics.kernels import graph_messages as kernel
from ppi_robotics.solution import Status

MOST_SWEEPS = "the largest number of sweeps"  # in messages
SCHEDULES = ("sequential", "flood", "random", "residual")


def belief_propagation(graph, schedule="sequential", damping=0.0, tolerance=1e-9, max_sweeps=1000, seed=0, start=None):
    """Approximate marginals and log Z by belief propagation.

    Args:
      graph: `FactorGraph`.
      schedule: "sequential" renews the factors in their order; "flood" all at once; "random" in an order drawn for
        every sweep; "residual" those first whose messages would change most, and all once more where that
        changes nothing any longer.
      damping: share of the old logarithm in a new message, from 0 to below 1.
      tolerance: of the change of a probability in a sweep, below which it has converged.
      max_sweeps: updates of every factor at most.
      seed: of the random schedule.
      start: `GraphBeliefs` of belief propagation in a graph of the same structure, to begin at its messages.

    Returns:
      `GraphBeliefs`. log_partition is the negative Bethe free energy, no bound either way. It does not tell whether
      the probabilities are any good: a run can converge to the wrong ones.

    Raises:
      ProblemError: if an option is out of range, or start belongs to another structure.
    """
    check_instance(graph, "graph", FactorGraph)
    check_choice(schedule, "schedule", SCHEDULES)
    check_messages(tolerance, damping)
    check_count(max_sweeps, MOST_SWEEPS, 1)
    check_seed(seed)
    scopes = tuple(factor.variables for factor in graph.factors)
    net = lay_out(graph.sizes, scopes, graph.entries)
    messages, work = first_messages(net.offset, graph, scopes, start, SCHEDULES), workspace(net)
    into, beliefs, joint = np.zeros_like(messages), np.zeros(net.start[-1]), np.zeros(net.entry[-1])
    advance, advance_some = _sweepers(schedule, net, messages, damping, into, work, seed)
    kernel.node_beliefs(net, messages, beliefs, work)  # what the first sweep changes
    change, status, trace = np.inf, Status.MAX_ITERATIONS, []
    for n in range(max_sweeps):
        whole = advance_some is None or n == 0 or change <= tolerance  # what some factors say settles nothing
        possible = advance() if whole else advance_some()
        if possible:
            change, of_nodes = kernel.node_beliefs(net, messages, beliefs, work)
            log_z = kernel.bethe(net, messages, of_nodes, into, joint) if change >= 0.0 else -np.inf
            possible = log_z > -np.inf
        if not possible:
            status = Status.CONTRADICTION
            break
        trace.append(-log_z)
        if whole and change <= tolerance:
            status = Status.CONVERGED
            break
    failed = status is Status.CONTRADICTION
    if failed:
        beliefs[:], joint[:] = 0.0, 0.0
    return GraphBeliefs(
        log_partition=-np.inf if failed else log_z,
        exact=False,
        status=status,
        sweeps=len(trace) + failed,
        change=0.0 if failed else float(change),
        inconsistency=kernel.disagreement(net, beliefs, joint),
        trace=tuple(trace),
        schedule=schedule,
        graph=graph,
        beliefs=pieces(beliefs, net.start),
        scopes=scopes,
        configurations=tuple(states for states, _ in graph.entries),
        joints=pieces(joint, net.entry),
        messages=pieces(messages, (0, len(messages)))[0],
    )


def _sweepers(schedule, net, messages, damping, into, work, seed):
    """Functions that renew all messages, and by the residual schedule some, else None; False after a contradiction."""
    order, fresh = np.arange(len(net.scope) - 1), messages.copy()
    random = np.random.Generator(np.random.Philox(seed))
    tree = np.zeros(2 << max(len(order) - 1, 0).bit_length())

    def sequential():
        return kernel.sweep(net, order, messages, damping, into, work, messages)

    def at_random():
        return kernel.sweep(net, random.permutation(len(order)), messages, damping, into, work, messages)

    def flood():
        possible = kernel.sweep(net, order, messages, damping, into, work, fresh)
        messages[:] = fresh
        return possible

    def ranked():
        if not sequential() or not kernel.sweep(net, order, messages, damping, into, work, fresh):
            return False
        kernel.rank_all(net, messages, fresh, tree)
        return True

    def by_residual():
        return kernel.sweep_by_residual(net, messages, damping, into, work, fresh, tree)

    whole = dict(zip(SCHEDULES, (sequential, flood, at_random, ranked), strict=True))[schedule]
    return whole, by_residual if schedule == "residual" else None
