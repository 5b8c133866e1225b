"""The cluster variation method on region graphs: a single loop of messages, and a double loop that always converges.

    F(Q) = sum_a <log Q_a - log psi_a> + sum_b c_b <log Q_b>,    c_b = 1 - sum of the numbers of all regions around b

with outer regions a, clusters of variables of counting number 1, and inner regions b, their intersections. Yedidia,
Freeman, Weiss, *Constructing free-energy approximations and generalized belief propagation algorithms* (IEEE
Transactions on Information Theory, 2005).

The single loop is generalized belief propagation: in a minimal region graph it is belief propagation with nodes that
are inner regions. The double loop bounds the concave part of the free energy by a linear function at the beliefs that
it has, minimizes what is then convex by an inner single loop, and repeats: every outer loop lowers the free energy if
its inner loop is solved; with too few inner sweeps the free energy may rise. Heskes, Albers, Kappen, *Approximate
inference and constrained optimization* (UAI, 2003), algorithm 1.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import softmax

from ppi_robotics.checks import check_count, check_counts, check_function, check_instance, check_sequence
from ppi_robotics.discrete.beliefs import GraphBeliefs, check_messages
from ppi_robotics.discrete.factor_graph import FactorGraph, mixed_radix
from ppi_robotics.discrete.loopy_belief_propagation import (
    ENDS,
    MOST_SWEEPS,
    convergence_threshold,
    flatten,
    initial_messages,
    slices,
    workspace,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held
from ppi_robotics.kernels import cluster_variation as kernel
from ppi_robotics.kernels.belief_propagation import FINE, Net, disagreement
from ppi_robotics.solution import Status

MOST = 50_000_000  # configurations of an outer region
MANY = 256  # neighbors of a region beyond which its subsets are examined in place of them, if they are fewer


@dataclass(frozen=True, eq=False)
class RegionGraph:
    """Outer clusters of the variables of a factor graph, and their intersections.

    Attributes:
      graph: `FactorGraph`.
      outer: clusters of variables; all variables of every factor lie in one of them, and none lies within another.
      inner: intersections of outer clusters, and of these, that have a variable.
      counts: counting numbers of the inner regions; that of an outer one is 1.
      homes: number of the outer cluster that every factor is assigned to.

    Args:
      graph, outer: as above; a cluster within another is left out.

    Raises:
      ProblemError: if a cluster has a variable that is not there or none, a factor has no cluster, or a variable no
        cluster.
    """

    graph: FactorGraph
    outer: Sequence[Sequence[int]]
    inner: tuple[tuple[int, ...], ...] = field(init=False)
    counts: tuple[int, ...] = field(init=False)
    homes: tuple[int, ...] = field(init=False)

    def __post_init__(self):
        check_instance(self.graph, "graph", FactorGraph)
        outer = check_sequence(self.outer, "outer", "clusters of variables")
        clusters = [frozenset(check_counts(cluster, f"outer[{i}]", 0)) for i, cluster in enumerate(outer)]
        everything = set(range(len(self.graph.sizes)))
        for cluster in clusters:
            if not cluster or not cluster <= everything:
                raise ProblemError(
                    f"outer cluster {sorted(cluster)} is not of variables 0 to {len(everything) - 1}; name one or more"
                )
        left = sorted(everything - set().union(*clusters))
        if left:
            raise ProblemError(f"variable {self.graph.name(left[0])} is in no outer cluster; put every one into one")
        outer = _maximal(clusters)
        inner = _intersections(outer)
        vars(self).update(outer=tuple(tuple(sorted(region)) for region in outer), counts=_counting(outer, inner))
        vars(self).update(inner=tuple(tuple(sorted(region)) for region in inner), homes=_homes(self.graph, outer))

    @functools.cached_property
    def entries(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Configurations (E, d) of every outer cluster that have weight, and its logarithm (E,)."""
        factors = [[] for _ in self.outer]
        for factor, home, entries in zip(self.graph.factors, self.homes, self.graph.entries, strict=True):
            factors[home].append((factor.variables, *entries))
        return tuple(_product(own, scope, self.graph) for own, scope in zip(factors, self.outer, strict=True))

    @functools.cached_property
    def net(self) -> Net:
        """Outer clusters and inner regions for the compiled code; the state of a region is a number of mixed radix."""
        sizes = self.graph.sizes
        numbers = [math.prod(sizes[v] for v in region) for region in self.inner]
        if max(numbers, default=0) > MOST:
            named = ", ".join(map(self.graph.name, self.inner[int(np.argmax(numbers))]))
            raise ProblemError(f"the region of {named} has more than {MOST:.3g} values; take clusters that share less")
        around = [[] for _ in self.outer]
        lookup = _lookup(self.outer)
        for b, region in enumerate(self.inner):
            for cluster in set.intersection(*(lookup[v] for v in region)):
                around[cluster].append(b)
        flat = []
        for scope, within, (states, weights) in zip(self.outer, around, self.entries, strict=True):
            codes = [_codes(states, scope, self.inner[b], sizes) for b in within]
            flat.append((np.column_stack(codes) if codes else np.empty((len(states), 0), np.int64), weights))
        return flatten(numbers, around, flat)


def minimal_regions(graph: FactorGraph) -> RegionGraph:
    """`RegionGraph` whose outer clusters are the largest scopes of the factors, the least that CVM can take."""
    check_instance(graph, "graph", FactorGraph)
    scopes = [factor.variables for factor in graph.factors if factor.variables]
    lonely = set(range(len(graph.sizes))) - set(itertools.chain.from_iterable(scopes))
    return RegionGraph(graph, (*scopes, *((v,) for v in sorted(lonely))))


def _lookup(regions):
    """For every variable the numbers of the regions that have it."""
    found = {}
    for number, region in enumerate(regions):
        for v in region:
            found.setdefault(v, set()).add(number)
    return found


def _maximal(clusters):
    """Different clusters, without those that lie within another, in their order."""
    clusters = list(dict.fromkeys(clusters))
    lookup = _lookup(clusters)
    return [c for c in clusters if len(set.intersection(*(lookup[v] for v in c))) == 1]


def _intersections(outer):
    """Intersections of outer regions and of intersections, until there are no others."""
    lookup, found, front = _lookup(outer), {}, []
    for region in outer:
        others = sum(len(lookup[v]) for v in region)
        if others > MANY and 2 ** len(region) < others:
            _shared_parts(region, lookup, found)
        else:
            front.append(region)
    while front:
        fresh = {}
        for region in front:
            for number in set().union(*(lookup[v] for v in region)):
                common = region & outer[number]
                if common != outer[number] and common not in found:
                    fresh[common] = None
        found |= fresh
        front = list(fresh)
    return [region for region, shared in found.items() if shared is None or shared]


def _shared_parts(region, lookup, found):
    """Intersections of a region with others, by its subsets, where these are fewer than the others.

    A subset is one if two regions or more have it, and no further variable in common. `found` says of every subset
    that was examined whether it is.
    """
    for size in range(1, len(region)):
        for part in map(frozenset, itertools.combinations(sorted(region), size)):
            if part not in found:
                around = set.intersection(*(lookup[v] for v in part))
                more = any(around <= lookup[v] for v in region - part if len(around) <= len(lookup[v]))
                found[part] = len(around) > 1 and not more


def _counting(outer, inner):
    """Moebius numbers 1 - sum over the regions around, of the inner regions."""
    lookup, inner_lookup, numbers = _lookup(outer), _lookup(inner), {}
    for b in sorted(range(len(inner)), key=lambda b: -len(inner[b])):
        around = set.intersection(*(lookup[v] for v in inner[b]))
        larger = set.intersection(*(inner_lookup[v] for v in inner[b])) - {b}
        numbers[b] = 1 - len(around) - sum(numbers[other] for other in larger)
    return tuple(numbers[b] for b in range(len(inner)))


def _homes(graph, outer):
    """Outer cluster of every factor."""
    lookup, homes = _lookup(outer), []
    for number, factor in enumerate(graph.factors):
        around = set.intersection(*(lookup[v] for v in factor.variables)) if factor.variables else {0}
        if not around:
            raise ProblemError(
                f"factor {number} of variables {factor.variables} is in no outer cluster; add one for it"
            )
        homes.append(min(around))
    return tuple(homes)


def _codes(states, scope, region, sizes):
    """Numbers of the states (E, d) of a scope, as far as the variables of a region go."""
    return mixed_radix(states[:, [scope.index(v) for v in region]], [sizes[v] for v in region])


def _product(factors, scope, graph):
    """Product of factors (variables, states, log weights) over a cluster: its entries."""
    names, states, weights = (), np.zeros((1, 0), np.int64), np.zeros(1)
    waiting = list(factors)
    while waiting:
        nearest = max(waiting, key=lambda factor: len(set(factor[0]) & set(names)))
        waiting = [factor for factor in waiting if factor is not nearest]
        names, states, weights = _join((names, states, weights), nearest, graph)
    for v in set(scope) - set(names):
        every = np.arange(graph.sizes[v])[:, None]
        names, states, weights = _join((names, states, weights), ((v,), every, np.zeros(len(every))), graph)
    return states[:, [names.index(v) for v in scope]], weights


def _join(first, second, graph):
    """Product of two factors (variables, states, log weights): pairs of entries that agree on what they share."""
    (names, states, weights), (others, more, factors) = first, second
    shared = [v for v in names if v in others]
    left, right = _codes(states, names, shared, graph.sizes), _codes(more, others, shared, graph.sizes)
    order = np.argsort(right, kind="stable")
    low = np.searchsorted(right[order], left, side="left")
    count = np.searchsorted(right[order], left, side="right") - low
    if count.sum() > MOST:
        named = ", ".join(map(graph.name, dict.fromkeys((*names, *others))))
        raise ProblemError(
            f"an outer cluster of {named} has {count.sum():.3g} configurations; take smaller ones, up to {MOST:.3g}"
        )
    rows = np.repeat(np.arange(len(left)), count)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    picked = order[np.repeat(low, count) + within]
    added = [j for j, v in enumerate(others) if v not in names]
    joined = np.column_stack((states[rows], more[picked][:, added]))
    return (*names, *(others[j] for j in added)), joined, weights[rows] + factors[picked]


def double_loop(
    regions: RegionGraph | FactorGraph,
    tolerance: float = 1e-6,
    max_outer: int = 10_000,
    inner_sweeps: int = 20,
    inner_tolerance: float | None = None,
    start: GraphBeliefs | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> GraphBeliefs:
    """Approximate marginals and log Z at a minimum of the region graph's free energy.

    Args:
      regions: `RegionGraph`, or a `FactorGraph` for its minimal regions.
      tolerance: of the change in an outer loop, undamped, of a probability of an inner region, and of the square of a
        logarithm of it or of a message: log Z is off in the second order of these.
      max_outer: outer loops at most.
      inner_sweeps: sweeps of an inner loop at most.
      inner_tolerance: of the change in an inner sweep that ends it; a tenth of tolerance by default.
      start: `GraphBeliefs` of a loop on a region graph of the same structure, whose messages are the first ones.
      progress: function of the number of outer loops done and of max_outer.

    Returns:
      `GraphBeliefs`, with the joints of the outer regions. log_partition is the negative Kikuchi free energy, no bound
      either way; trace has the free energy after every outer loop. Ctrl-C ends it with the beliefs of the last one.

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
    limits = (tolerance, max_outer, inner_sweeps, inner_tolerance)
    return _run(regions, counts, np.maximum(counts, 0.0), "double loop", *limits, start, progress)


def single_loop(
    regions: RegionGraph | FactorGraph,
    tolerance: float = 1e-6,
    max_sweeps: int = 10_000,
    start: GraphBeliefs | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> GraphBeliefs:
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
    """Outer loops of inner loops, until the beliefs of the inner regions do not change."""
    net, work = regions.net, workspace(regions.net)
    messages, joint = np.zeros(net.offset[-1]), np.zeros(net.entry[-1])
    bounds = np.concatenate((net.offset, net.offset[-1] + net.start[1:]))
    state = initial_messages(bounds, regions.graph, regions.outer, start, (schedule,))
    into, logs = np.split(state, [net.offset[-1]])
    beliefs = np.concatenate([softmax(logs[a:b]) for a, b in itertools.pairwise(net.start)] or [logs])
    change, status, trace, sweeps, log_z = np.inf, Status.MAX_ITERATIONS, [], 0, -np.inf
    with Held() as hold:
        while status is Status.MAX_ITERATIONS and len(trace) < max_outer:
            old, kept = logs.copy(), (state.copy(), beliefs.copy())
            reach = float(np.abs(state[state > -np.inf]).max(initial=0.0))
            within, inner_within = (convergence_threshold(net, level, reach) for level in (tolerance, inner_tolerance))
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
                progress(len(trace), max_outer)
            if change <= within:
                status = Status.CONVERGED
            elif hold.pressed:
                status = Status.INTERRUPTED
    if status is Status.CONTRADICTION:
        log_z, change = -np.inf, 0.0
        beliefs[:], joint[:] = 0.0, 0.0
    elif status is Status.MESSAGES_LOST:
        state[:], beliefs[:] = kept
        log_z = -kernel.free_energy(net, counts, into, beliefs, joint)
    configurations = tuple(states for states, _ in regions.entries)
    joints = slices(joint, net.entry)
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
        messages=slices(state, (0, len(state)))[0],
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
