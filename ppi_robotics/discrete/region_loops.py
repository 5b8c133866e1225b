"""The cluster variation method on region graphs: a single loop of messages, and a double loop that always converges.

The single loop is generalized belief propagation: in a minimal region graph it is belief propagation with nodes that
are inner regions. The double loop bounds the concave part of the free energy by a linear function at the beliefs that
it has, minimizes what is then convex by an inner single loop, and repeats: every outer loop lowers the free energy if
its inner loop is solved; with too few inner sweeps the free energy may rise.

Heskes, Albers, Kappen, *Approximate inference and constrained optimization* (UAI, 2003), algorithm 1.
"""

import itertools

import numpy as np
from scipy.special import softmax

from ppi_robotics.checks import check_count, check_function, check_instance
from ppi_robotics.discrete.factor_graph import FactorGraph
from ppi_robotics.discrete.graph_beliefs import GraphBeliefs
from ppi_robotics.discrete.inference import check_messages
from ppi_robotics.discrete.loopy_propagation import ENDS, MOST_SWEEPS
from ppi_robotics.discrete.message_net import first_messages, pieces, settled, workspace
from ppi_robotics.discrete.regions import RegionGraph, minimal_regions
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels import region_messages as kernel
from ppi_robotics.kernels.graph_beliefs import disagreement
from ppi_robotics.kernels.graph_messages import FINE
from ppi_robotics.solution import Status


def double_loop(
    regions, tolerance=1e-6, max_outer=10_000, inner_sweeps=20, inner_tolerance=None, start=None, progress=None
):
    """Approximate marginals and log Z at a minimum of the region graph's free energy.

    Args:
      regions: `RegionGraph`, or a `FactorGraph` for its minimal regions.
      tolerance: of the change in an outer loop, undamped, of a probability of an inner region, and of the square of a
        logarithm of it or of a message: log Z is off in the second order of these.
      max_outer: outer loops at most.
      inner_sweeps: sweeps of an inner loop at most.
      inner_tolerance: of the change in an inner sweep that ends it; a tenth of tolerance by default.
      start: `GraphBeliefs` of a loop on a region graph of the same structure, to begin at its messages.
      progress: function of the number of outer loops done and of max_outer.

    Returns:
      `GraphBeliefs`, with the joints of the outer regions. log_partition is the negative Kikuchi free energy, no bound
      either way; trace has the free energy after every outer loop.

    Raises:
      ProblemError: if an option is out of range, or start belongs to another structure.
    """
    regions = _as_regions(regions)
    check_messages(tolerance)
    check_function(progress, "progress", "loops done and loops at most")
    inner_tolerance = 0.1 * tolerance if inner_tolerance is None else inner_tolerance
    for number, change in ((max_outer, tolerance), (inner_sweeps, inner_tolerance)):
        check_messages(change)
        check_count(number, MOST_SWEEPS, 1)
    counts = np.array(regions.counts, dtype=float)
    options = (tolerance, max_outer, inner_sweeps, inner_tolerance, start, progress)
    return _run(regions, counts, np.maximum(counts, 0.0), "double loop", *options)


def single_loop(regions, tolerance=1e-6, max_sweeps=10_000, start=None, progress=None):
    """Approximate marginals and log Z by generalized belief propagation, which may fail to converge.

    Args:
      regions, tolerance, start: as in `double_loop`.
      max_sweeps: updates of every inner region at most.
      progress: function of the number of sweeps done and of max_sweeps.

    Returns:
      `GraphBeliefs`, as `double_loop`; trace has the free energy after every sweep.

    Raises:
      ProblemError: as `double_loop`, or if a region's counting number is the negative of the number of outer regions
        around it, for which the update has no value.
    """
    regions = _as_regions(regions)
    check_messages(tolerance)
    check_function(progress, "progress", "sweeps done and sweeps at most")
    check_count(max_sweeps, MOST_SWEEPS, 1)
    counts = np.array(regions.counts, dtype=float)
    undefined = np.flatnonzero(counts + np.diff(regions.net.incident) == 0.0)
    if len(undefined):
        named = ", ".join(map(regions.graph.name, regions.inner[undefined[0]]))
        raise ProblemError(
            f"the region of {named} has counting number {counts[undefined[0]]:g} and as many outer regions around it; "
            "use double_loop"
        )
    return _run(regions, counts, counts, "single loop", tolerance, max_sweeps, 1, 0.0, start, progress)


def _as_regions(given):
    check_instance(given, "regions", (RegionGraph, FactorGraph))
    return given if isinstance(given, RegionGraph) else minimal_regions(given)


def _run(regions, counts, inner_counts, schedule, tolerance, max_outer, inner_sweeps, inner_tolerance, start, progress):
    """Outer loops of inner loops, until the beliefs of the inner regions stay where they are."""
    net, work = regions.net, workspace(regions.net)
    messages, joint = np.zeros(net.offset[-1]), np.zeros(net.entry[-1])
    bounds = np.concatenate((net.offset, net.offset[-1] + net.start[1:]))
    begun = first_messages(bounds, regions.graph, regions.outer, start, (schedule,))
    into, logs = np.split(begun, [net.offset[-1]])
    beliefs = np.concatenate([softmax(logs[a:b]) for a, b in itertools.pairwise(net.start)] or [logs])
    change, status, trace, sweeps, log_z = np.inf, Status.MAX_ITERATIONS, [], 0, -np.inf
    for loop in range(max_outer):
        old, kept = logs.copy(), (begun.copy(), beliefs.copy())
        reach = float(np.abs(begun[begun > -np.inf]).max(initial=0.0))
        within, inner_within = settled(net, tolerance, reach), settled(net, inner_tolerance, reach)
        code, used, change = kernel.inner_loop(
            net, counts, inner_counts, old, into, messages, logs, beliefs, work, inner_sweeps, inner_within
        )
        sweeps += used
        free_energy = kernel.free_energy(net, counts, into, beliefs, joint) if code == FINE else np.inf
        if free_energy == np.inf:
            status = ENDS.get(code, Status.CONTRADICTION)
            break
        log_z = -free_energy
        trace.append(free_energy)
        change = max(float(change), kernel.outer_change(net, counts, inner_counts, old, logs, kept[1], beliefs))
        if progress is not None:
            progress(loop + 1, max_outer)
        if change <= within:
            status = Status.CONVERGED
            break
    if status is Status.CONTRADICTION:
        log_z, change = -np.inf, 0.0
        beliefs[:], joint[:] = 0.0, 0.0
    elif status is Status.MESSAGES_LOST:
        begun[:], beliefs[:] = kept
        log_z = -kernel.free_energy(net, counts, into, beliefs, joint)
    configurations = tuple(states for states, _ in regions.entries)
    joints = pieces(joint, net.entry)
    return GraphBeliefs(
        log_partition=log_z,
        exact=False,
        status=status,
        sweeps=sweeps,
        change=change,
        inconsistency=disagreement(net, False, beliefs, joint),
        trace=tuple(trace),
        schedule=schedule,
        graph=regions.graph,
        beliefs=_of_variables(regions, configurations, joints),
        scopes=regions.outer,
        configurations=configurations,
        joints=joints,
        messages=pieces(begun, (0, len(begun)))[0],
    )


def _of_variables(regions, configurations, joints):
    """Probabilities of every variable, from the first outer region that has it."""
    out = [None] * len(regions.graph.sizes)
    for scope, states, p in zip(regions.outer, configurations, joints, strict=True):
        for j, v in enumerate(scope):
            if out[v] is None:
                out[v] = np.bincount(states[:, j], p, regions.graph.sizes[v])
                out[v].setflags(write=False)
    return tuple(out)
