"""Inference in coupled chains: exact cases, fixed points, free energies, zeros, warm starts, whole plans."""

import itertools
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from plants.blocks import CoupledChains, chain_beliefs, play_chains, receding
from plants.blocks.chains import symmetries
from plants.blocks.kernels import messages, scaled
from plants.blocks.study import goal_rates, random_goal
from ppi_robotics.discrete import play
from ppi_robotics.solution import Status

METHODS = ("merged", "double_loop", "cvm", "separate")
ENTROPY = BlocksWorld([1, 2, 1, 0], 6, strength=10.0)
GOALS = {  # worlds, exact log Z, and that of the fixed point of the cluster variation method, by other programs
    "n5m4": (BlocksWorld([2, 1, 1, 0, 0], 6, [0, 0, 0, 2, 2]), -9.747011536073, -12.2572148375),
    "n6m5": (BlocksWorld([5, 0, 0, 0, 0, 0], 8, [1, 2, 1, 0, 0, 1]), -10.841274599516, -12.5575627244),
    "n8m8": (BlocksWorld([8] + [0] * 7, 16, [1, 2, 2, 1, 0, 0, 1, 1]), -23.654401434680, -26.2895586557),
}
BIG = BlocksWorld([7, 3, 5, 4, 6, 2, 8, 5], 80, strength=10.0)


def enumerated(chains):
    """log Z, probabilities of actions (T, A), and of levels, from all sequences of actions."""
    T, A = chains.stages, len(chains.log_prior)
    actions, levels = np.zeros((T, A)), np.zeros((T + 1, len(chains.start), chains.top + 1))
    for sequence in itertools.product(range(A), repeat=T):
        x, log_p, path = chains.start, 0.0, [chains.start]
        for t, a in enumerate(sequence):
            x = x + chains.shifts[a]
            if x.min() < 0 or x.max() > chains.top:
                break
            log_p += chains.log_prior[a] + chains.log_weights[t, x].sum()
            path.append(x)
        else:
            if chains.goal is None or np.array_equal(x, chains.goal):
                actions[range(T), sequence] += math.exp(log_p)
                for t, x in enumerate(path):
                    levels[t, range(len(x)), x] += math.exp(log_p)
    Z = actions[0].sum()
    return math.log(Z), actions / Z, levels / Z


def random_chains(seed, n=1, stages=4, top=3, actions=4, goal=False):
    """Chains with random priors, weights and shifts; the goal is where some actions lead."""
    rng = np.random.default_rng(seed)
    shifts = rng.integers(-1, 2, (actions, n))
    shifts[0] = 0
    start = rng.integers(0, top + 1, n)
    chains = CoupledChains(start, shifts, rng.normal(size=actions), rng.normal(size=(stages, top + 1)))
    if not goal:
        return chains
    x = start
    for _ in range(stages):
        moved = x + shifts[rng.integers(actions)]
        x = moved if moved.min() >= 0 and moved.max() <= top else x
    return CoupledChains(start, shifts, chains.log_prior, chains.log_weights, x)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["merged", "double_loop"])
@pytest.mark.parametrize("case", ["one chain", "one chain to a goal", "one stage", "chains that do not move"])
def test_trees_are_exact(case, method, seed):
    chains = {
        "one chain": lambda: random_chains(seed),
        "one chain to a goal": lambda: random_chains(seed, goal=True),
        "one stage": lambda: random_chains(seed, n=3, stages=1),
        "chains that do not move": lambda: random_chains(seed, n=2),
    }[case]()
    if case == "chains that do not move":
        shifts = np.array(chains.shifts)
        shifts[:, 1] = 0
        chains = CoupledChains(chains.start, shifts, chains.log_prior, chains.log_weights)
    log_Z, actions, levels = enumerated(chains)
    # a bound on entropies that are not there to be bounded is slow: only one chain has none
    found = chain_beliefs(chains, method, tolerance=1e-13, inner_sweeps=500)
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(log_Z, abs=1e-9)
    assert np.abs(found.actions - actions).max() < 1e-9
    assert np.abs(found.levels - levels).max() < 1e-9


@pytest.mark.parametrize("method", ["merged", "double_loop", "separate"])
@pytest.mark.parametrize("damping", [0.0, 0.9])
def test_what_has_converged_does_not_move(method, damping):
    """Costs of thousands: actions are sure long before their messages are there, and turn when these have come."""
    solved = 0
    for seed in range(8):
        start = np.random.default_rng(seed).multinomial(5, [0.25] * 4)
        chains = BlocksWorld(start, 5, strength=1000.0).chains()
        found = chain_beliefs(chains, method, damping=damping, max_sweeps=3000, max_outer=300)
        if found.status.solved:
            solved += 1
            more = {"tolerance": 0.0, "max_sweeps": 1, "max_outer": 1, "inner_sweeps": 1}
            later = chain_beliefs(chains, method, damping=damping, start=found.messages, **more)
            assert np.abs(later.actions - found.actions).max() < 1e-4
            assert later.log_partition == pytest.approx(found.log_partition, abs=1e-3)
    assert solved >= 3


@pytest.mark.parametrize("damping", [0.5, 0.9])
@pytest.mark.parametrize("strength", [30.0, 1000.0])
def test_one_chain_is_exact_at_any_strength_and_damping(strength, damping):
    for seed in range(4):
        weak = random_chains(seed, goal=seed % 2 == 1)
        chains = CoupledChains(weak.start, weak.shifts, weak.log_prior, strength * weak.log_weights, weak.goal)
        exact = chain_beliefs(chains, "merged", tolerance=1e-13)  # undamped a chain is solved by passing it once
        found = chain_beliefs(chains, "merged", damping=damping, tolerance=1e-13, max_sweeps=5000)
        assert exact.status is found.status is Status.CONVERGED
        assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-9)
        assert np.abs(found.actions - exact.actions).max() < 1e-9
        log_Z, actions, _ = enumerated(weak)
        assert chain_beliefs(weak, "merged", damping=damping, tolerance=1e-13).log_partition == pytest.approx(log_Z)


def test_actions_that_die_out_at_a_steady_pace_do_not_keep_it_from_converging():
    """Two stages to stay where the goal is: moves away and back fall by the same factor in every sweep, for ever."""
    chains = BlocksWorld([1, 1, 0, 1, 1], 2, [1, 1, 0, 1, 1]).chains()
    found = chain_beliefs(chains, "merged", damping=0.5)
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(2 * math.log(1 / 3), abs=1e-8)
    later = chain_beliefs(chains, "merged", damping=0.5, start=found.messages, tolerance=0.0, max_sweeps=20)
    alive = found.messages.log_actions > -np.inf
    assert (later.messages.log_actions[alive] - found.messages.log_actions[alive]).min() < -10.0
    assert np.abs(later.actions - found.actions).max() < 1e-9
    assert later.log_partition == pytest.approx(found.log_partition, abs=1e-9)


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (BlocksWorld([2] * 4, 3), 8),  # all rotations and reflections
        (BlocksWorld([2, 1, 2, 1], 3), 4),
        (BlocksWorld([4, 0, 0, 0], 8, goal=[0, 0, 4, 0]), 2),  # one reflection
        (BlocksWorld([4, 0, 0, 1], 8, goal=[0, 0, 4, 1]), 1),
        (BlocksWorld([1, 2, 3, 0], 3), 1),
    ],
)
def test_symmetries_of_the_ring_are_those_that_keep_start_and_goal(world, expected):
    """Products of what is found, against all permutations that map moves onto moves."""
    chains = world.chains()
    moves = {tuple(row) for row in chains.shifts.tolist()}
    kept = set()
    for images in itertools.permutations(range(4)):
        same = (chains.start[list(images)] == chains.start).all()
        same &= world.goal is None or (world.goal[list(images)] == world.goal).all()
        if same and {tuple(row) for row in chains.shifts[:, list(images)].tolist()} == moves:
            kept.add(images)
    found = symmetries(chains)
    for of_chains, of_actions in found:
        np.testing.assert_array_equal(chains.shifts[of_actions][:, of_chains], chains.shifts)
    made = {tuple(range(4))}
    while True:
        products = {tuple(int(i) for i in of_chains[list(one)]) for one in made for of_chains, _ in found}
        if products <= made:
            break
        made |= products
    assert made == kept
    assert len(made) == expected


def test_says_when_it_broke_a_tie():
    """Four stacks that are alike: unstable messages amplify rounding until one of them is preferred."""
    even = BlocksWorld([1, 1, 1, 1], 6, strength=1000.0).chains()
    broken, kept = chain_beliefs(even, "merged"), chain_beliefs(even, "cvm")
    assert broken.broke_tie
    assert np.ptp(broken.actions[0, ::3]) > 0.1
    assert not kept.broke_tie
    assert np.ptp(kept.actions[0, ::3]) < 1e-9
    assert not chain_beliefs(BlocksWorld([1, 2, 3, 0], 4).chains()).broke_tie  # there is none
    assert not chain_beliefs(GOALS["n6m5"][0].chains().after([5, 0, 0, 0, 0, 0], 2)).broke_tie  # nor an answer


def test_messages_that_grow_without_bound_are_lost_and_the_last_beliefs_kept():
    """Two moves to a goal that is two moves away."""
    chains, found = BlocksWorld([1, 0, 0, 0, 1, 1, 1, 0], 2, [1, 0, 0, 0, 0, 1, 2, 0]).chains(), []
    for most in (1000, None):
        found.append(chain_beliefs(chains, "merged", damping=0.5, max_sweeps=most or found[0].sweeps - 1))
    lost, before = found
    assert lost.status is Status.MESSAGES_LOST
    assert before.status is Status.MAX_ITERATIONS
    assert lost.messages is None
    assert lost.log_partition == before.log_partition
    assert np.isfinite(lost.actions).all()
    assert np.isfinite(lost.levels).all()
    assert np.abs(lost.actions.sum(axis=1) - 1.0).max() < 1e-12


@pytest.mark.parametrize("name", GOALS)
def test_merged_and_double_loop_have_the_fixed_points_of_the_cluster_variation_method(name):
    world, exact, reference = GOALS[name]
    a = chain_beliefs(world.chains(), "merged", tolerance=1e-11)
    b = chain_beliefs(world.chains(), "double_loop", tolerance=1e-8)
    assert {a.status, b.status} == {Status.CONVERGED}
    assert a.log_partition == pytest.approx(reference, abs=1e-9)
    assert b.log_partition == pytest.approx(reference, abs=1e-7)
    assert np.abs(a.actions - b.actions).max() < 1e-6
    assert np.abs(a.levels - b.levels).max() < 1e-6
    assert max(a.inconsistency, b.inconsistency) < 1e-6
    assert abs(a.log_partition - exact) > 1.0  # it is no bound, and no substitute for the exact one
    assert not a.exact


def test_parts_of_actions_apart_lead_to_a_wrong_action_and_merged_ones_do_not():
    exact = np.zeros(12)
    exact[[2, 6]] = 0.49998473034369856
    apart = chain_beliefs(ENTROPY.chains(), "separate", tolerance=1e-11)
    assert apart.status is Status.CONVERGED
    assert apart.log_partition == pytest.approx(-14.545942172696, abs=1e-9)
    assert np.abs(apart.actions[0] - exact).max() == pytest.approx(0.5, abs=1e-3)
    merged = chain_beliefs(ENTROPY.chains(), tolerance=1e-9)
    assert -14.98400 < merged.log_partition < -14.98385
    assert np.abs(merged.actions[0] - exact).max() < 1e-3


@pytest.mark.parametrize("world", [ENTROPY, BlocksWorld([3, 0, 0], 5, [1, 1, 1])], ids=["entropy", "goal"])
def test_parts_apart_are_loopy_belief_propagation(world):
    """Against messages in dicts on the graph of k, l, s_i and x_i."""
    log_Z, beliefs = plain_propagation(world)
    found = chain_beliefs(world.chains(), "separate", tolerance=1e-11)
    assert found.log_partition == pytest.approx(log_Z, abs=1e-6)
    for t in (0, world.stages - 1):
        for i in range(world.locations):
            assert found.levels[t + 1, i] == pytest.approx(list(beliefs["x", i, t + 1].values()), abs=1e-6)


def plain_propagation(world, sweeps=100):
    """Bethe log Z and beliefs by messages in dicts, factor after factor there and back."""
    domains, factors = graph(world)
    near = {v: [f for f, (variables, _) in enumerate(factors) if v in variables] for v in domains}
    outgoing = {(f, v): dict.fromkeys(domains[v], 1.0) for v in domains for f in near[v]}

    def product(v, but=None):
        p = {x: math.prod(outgoing[g, v][x] for g in near[v] if g != but) for x in domains[v]}
        return {x: value / sum(p.values()) for x, value in p.items()}

    for sweep in range(sweeps):
        for f, (variables, table) in sorted(enumerate(factors), reverse=sweep % 2 == 1):
            incoming = {v: product(v, f) for v in variables}
            sums = {v: dict.fromkeys(domains[v], 0.0) for v in variables}
            for key, value in table.items():
                for j, v in enumerate(variables):
                    sums[v][key[j]] += value * math.prod(incoming[u][key[q]] for q, u in enumerate(variables) if q != j)
            for v in variables:
                outgoing[f, v] = {x: value / sum(sums[v].values()) for x, value in sums[v].items()}
    beliefs, log_Z = {v: product(v) for v in domains}, 0.0
    for v, b in beliefs.items():
        log_Z += (len(near[v]) - 1) * sum(p * math.log(p) for p in b.values() if p > 0)
    for f, (variables, table) in enumerate(factors):
        incoming = [product(v, f) for v in variables]
        b = {key: value * math.prod(h[x] for h, x in zip(incoming, key, strict=True)) for key, value in table.items()}
        log_Z -= sum(p / sum(b.values()) * math.log(p / sum(b.values()) / table[key]) for key, p in b.items() if p > 0)
    return log_Z, beliefs


def graph(world):
    """Domains of the variables, and factors as (variables, table of what is not 0)."""
    n, T, m = world.locations, world.stages, world.blocks
    domains, factors, ways = {}, [], (-1, 0, 1)
    for t, i in itertools.product(range(T), range(n)):
        k, l, s, x, y = ("k", t), ("l", t), ("s", i, t), ("x", i, t), ("x", i, t + 1)  # noqa: E741
        domains |= {k: range(n), l: ways, s: ways, y: range(m + 1)}
        share = (1 / (3 * n)) ** (1 / n)  # of the prior of k and l
        moves = {(a // 3, a % 3 - 1, int(world.shifts[a, i])): share for a in range(3 * n)}
        before = [int(world.start[i])] if t == 0 else range(m + 1)
        ends = [world.goal[i]] if t == T - 1 and world.goal is not None else range(m + 1)
        steps = {(z, d, z + d): math.exp(-world.cost[z + d]) for z in before for d in ways if z + d in ends}
        factors.append(((k, l, s), moves))
        if t == 0:
            factors.append(((s, y), {key[1:]: value for key, value in steps.items()}))
        else:
            factors.append(((x, s, y), steps))
    return domains, factors


@pytest.mark.parametrize("world", [ENTROPY, GOALS["n5m4"][0], BlocksWorld([3] * 4, 12, strength=5.0)])
def test_solved_inner_loops_lower_the_free_energy(world):
    found = chain_beliefs(world.chains(), "double_loop", tolerance=1e-7, inner_sweeps=3000)
    assert found.status is Status.CONVERGED
    assert len(found.trace) > 3
    assert np.diff(found.trace).max() < 1e-6  # inner loops end at changes of a tenth of the tolerance
    assert found.log_partition == -found.trace[-1]


def test_cvm_takes_the_double_loop_where_propagation_does_not_converge():
    world = BlocksWorld([2, 2, 2, 1, 2, 1, 1, 1], 30, strength=10.0)
    merged = chain_beliefs(world.chains(), "merged", max_sweeps=300)
    found = chain_beliefs(world.chains(), "cvm", max_sweeps=300)
    assert merged.status is Status.MAX_ITERATIONS
    assert found.status is Status.CONVERGED
    assert found.tried == (("merged", Status.MAX_ITERATIONS), ("double_loop", Status.CONVERGED))
    assert found.method == "double_loop"
    assert found.inconsistency < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_warm_start_finds_the_cold_fixed_point_sooner(method):
    world = random_goal(4, 8, 3)
    options = {"tolerance": 1e-9, "max_sweeps": 5000, "max_outer": 5000}
    first = chain_beliefs(world.chains(), method, **options)
    again = chain_beliefs(world.chains(), method, start=first.messages, **options)
    assert again.sweeps < 0.5 * first.sweeps
    assert np.abs(again.actions - first.actions).max() < 1e-6
    after = world.step(world.start, first.actions[0].argmax())
    left = world.chains().after(after, world.stages - 1)
    cold = chain_beliefs(left, method, **options)
    warm = chain_beliefs(left, method, start=first.messages.last(world.stages - 1), **options)
    assert cold.status is warm.status is Status.CONVERGED
    assert np.abs(warm.actions - cold.actions).max() < 1e-5
    assert warm.log_partition == pytest.approx(cold.log_partition, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_contradictions_are_a_status(method):
    far = GOALS["n6m5"][0].chains().after([5, 0, 0, 0, 0, 0], 2)
    found = chain_beliefs(far, method)
    assert found.status is Status.CONTRADICTION
    assert found.log_partition == -np.inf
    assert found.messages is None
    assert np.isnan(found.actions).all()
    good = chain_beliefs(ENTROPY.chains(), method)
    stale = chain_beliefs(ENTROPY.chains().after([0, 0, 0, 4], 6), method, start=good.messages)
    cold = chain_beliefs(ENTROPY.chains().after([0, 0, 0, 4], 6), method)
    assert stale.status is cold.status is Status.CONVERGED  # messages that exclude the start are given up
    assert np.abs(stale.actions - cold.actions).max() < 1e-3


@pytest.mark.parametrize("method", ["merged", "double_loop"])
def test_hard_zeros_are_exactly_zero(method):
    world = GOALS["n6m5"][0]
    found = chain_beliefs(world.chains(), method)
    assert (found.actions[0][~world.allowed(world.start)] == 0).all()
    assert (found.levels[-1, range(6), world.goal] == 1).all()
    assert np.abs(found.levels.sum(axis=2) - 1).max() < 1e-12
    reach = np.abs(np.arange(6) - world.start[:, None]) <= 1
    assert (found.levels[1][~reach] == 0).all()
    assert found.expected_levels.shape == (9, 6)
    with pytest.raises(ValueError, match="read-only"):
        found.actions[0, 0] = 1.0


@pytest.mark.parametrize("weight", [300.0, 3000.0])
def test_ranges_beyond_floats_are_kept(weight):
    """One chain whose weights span thousands of nats, against exact sums in the log domain."""
    rng = np.random.default_rng(0)
    T, m = 30, 12
    chains = CoupledChains([6], [[-1], [0], [1]], np.log([0.2, 0.5, 0.3]), weight * rng.normal(size=(T, m + 1)))
    log_b = [np.zeros(m + 1)]
    for t in range(T, 0, -1):
        ahead = np.pad(chains.log_weights[t - 1] + log_b[0], 1, constant_values=-np.inf)
        each = [chains.log_prior[s] + ahead[s : s + m + 1] for s in range(3)]
        log_b.insert(0, np.logaddexp.reduce(each))
    found = chain_beliefs(chains, "merged", tolerance=1e-12)
    assert found.log_partition == pytest.approx(log_b[0][6], rel=1e-12)
    ahead = np.pad(chains.log_weights[0] + log_b[1], 1, constant_values=-np.inf)
    first = chains.log_prior + ahead[6:9]
    assert found.actions[0] == pytest.approx(np.exp(first - np.logaddexp.reduce(first)), abs=1e-9)


@pytest.mark.parametrize("span", [20.0, 200.0, 2000.0])
def test_numbers_of_either_form_are_those_of_logarithms(span):
    rng = np.random.default_rng(1)
    logs = rng.uniform(-span, span, (3, 20)) + 3000.0 * rng.normal(size=(3, 1))
    logs[1, ::3] = -np.inf
    (F, in_F), (B, in_B), (weight, in_weight) = (stored(row, scaled.WIDE) for row in logs)
    assert (in_F == scaled.LOGS) == (span > 150.0)
    N_log = span * np.array([-0.4, 0.001, 0.6])
    N = np.empty(3)
    in_N = scaled.scale(N_log, scaled.NARROW, N)
    new = np.empty(22)
    for way in (-1, 1):
        offset = messages.advance(F, in_F, tuple(N), in_N, way, weight, in_weight, new)
        around = np.pad(logs[0], 1, constant_values=-np.inf)
        each = [N_log[s] + around[1 + way * (s - 1) : 21 + way * (s - 1)] for s in range(3)]
        assert in_logs(new, offset) == pytest.approx(logs[2] + np.logaddexp.reduce(each), rel=1e-12)
    M, offsets, log_M = np.ones((3, 8)), np.zeros(8), np.empty((3, 8))
    messages.collect(F[None], np.array([in_F]), B[None], np.array([in_B]), M, offsets, log_M)
    around = np.pad(logs[1], 1, constant_values=-np.inf)
    expected = [np.logaddexp.reduce(logs[0] + around[s : s + 20]) for s in range(3)]
    assert log_M[:, 0] == pytest.approx(expected, rel=1e-12)


def stored(logs, widest):
    row = np.pad(logs, 1, constant_values=-np.inf)
    values = np.empty_like(row)
    return values, scaled.scale(row, widest, values)


def in_logs(values, offset):
    logs = np.empty_like(values)
    scaled.to_logs(values, offset, logs)
    return logs[1:-1]


@pytest.mark.parametrize("x", [0.0, -1e-300, -0.3, -1.0, -17.3, -699.0])
def test_exponentials_and_logarithms_in_lanes(x):
    assert scaled.exp(x) == pytest.approx(math.exp(x), rel=1e-15)
    assert scaled.log(math.exp(x)) == pytest.approx(x, rel=1e-14, abs=1e-16)
    assert scaled.exp(-800.0) == 0.0
    assert scaled.log(0.0) == -math.inf


@pytest.mark.parametrize("norm", ["blocks", "locations"])
def test_both_readings_of_the_entropy_stay_finite(norm):
    """Weights of divided heights reach thousands of nats over the horizon; no message may turn to zero."""
    world = BlocksWorld(BIG.start, 80, strength=10.0, norm=norm)
    found = chain_beliefs(world.chains(), "double_loop", inner_sweeps=20, max_outer=5)
    assert found.status is Status.MAX_ITERATIONS
    assert np.isfinite(found.actions).all()
    assert np.isfinite(found.levels).all()
    assert np.isfinite(found.trace).all()
    allowed = world.allowed(world.start)
    assert (found.actions[0][allowed] > 0).all()


def test_plans_by_the_cluster_variation_method_reach_their_goals():
    chains = [random_goal(5, 6, i).chains() for i in range(6)]
    for method in ("merged", "double_loop"):
        plays = list(play_chains(chains, method, damping=0.5, tolerance=1e-4, threads=2))
        for one, (found, _) in zip(chains, plays, strict=True):
            assert found.status is Status.CONVERGED
            assert np.array_equal(found.states[-1], one.goal)
        alone = list(play_chains(chains, method, damping=0.5, tolerance=1e-4, threads=1))
        assert [a.actions for a, _ in alone] == [b.actions for b, _ in plays]


def test_receding_passes_messages_on_and_forbids_what_the_levels_forbid():
    world = GOALS["n5m4"][0]
    infer = receding(world.chains(), "separate", damping=0.5, first={"max_sweeps": 1})
    p, found, messages = infer(world.start, 0, None)
    assert found.sweeps == 1
    assert (p[~world.allowed(world.start)] == 0).all()
    later, more, _ = infer(world.start, 0, messages)
    assert more.sweeps > 1
    assert later.shape == p.shape
    played = play(receding(world.chains()), world.step, world.start, world.stages)
    assert np.array_equal(played.states[-1], world.goal)


def test_goal_rates_do_not_depend_on_threads_or_other_sizes():
    rows = goal_rates((4, 5), (4,), instances=3, planners=("merged bp", "bp"), seed=1, threads=2)
    alone = goal_rates((5,), (4,), instances=3, planners=("bp",), seed=1, threads=1)[0]
    same = next(row for row in rows if (row.locations, row.planner) == (5, "bp"))
    assert (same.reached, same.converged, same.sweeps) == (alone.reached, alone.converged, alone.sweeps)
    assert [row.reached for row in rows if row.planner == "merged bp"] == [1.0, 1.0]
    assert 0 < rows[0].standard_error(1.0) < 0.5
    with pytest.raises(ppi.PPIError, match="planner is 'x'"):
        goal_rates((4,), (4,), planners=("x",))


def prior(**changes):
    """Arguments of chains of two levels, with changes."""
    good = {"start": [0, 1], "shifts": [[0, 0], [1, -1]], "log_prior": [0.0, 0.0], "log_weights": np.zeros((2, 2))}
    return good | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": [0, 2]}, "start is .*; expected levels from 0 to 1"),
        ({"start": [0, 0.5]}, "expected whole numbers"),
        ({"goal": [0]}, "goal has shape"),
        ({"shifts": [[0, 0], [2, -1]]}, "shifts go from -1 to 2"),
        ({"shifts": [[0, 0]]}, "do not fit"),
        ({"log_prior": [np.nan, 0.0]}, "log_prior has nan"),
        ({"log_weights": np.zeros(2)}, "log_weights has shape"),
        ({"parts": (3, 1)}, "parts are"),
    ],
)
def test_bad_chains(changes, message):
    CoupledChains(**prior())
    with pytest.raises(ppi.PPIError, match=message):
        CoupledChains(**prior(**changes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bp"}, "method is 'bp'; choose from cvm"),
        ({"method": "separate"}, "no parts"),
        ({"damping": 1.0}, "damping is 1.0"),
        ({"bound": 0.0}, "bound is 0.0"),
        ({"max_sweeps": 0}, "max_sweeps is 0"),
        ({"tolerance": np.nan}, "tolerance is nan"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ppi.PPIError, match=message):
        chain_beliefs(CoupledChains(**prior()), **options)


def test_what_chains_cannot_hold_is_refused():
    with pytest.raises(ppi.PPIError, match="renormalized"):
        BlocksWorld([2, 1], 3, forbidden="renormalized").chains()
    mixed = CoupledChains(**prior(start=[0], shifts=[[0], [1], [0], [1]], log_prior=np.log([1, 2, 2, 1]), parts=(2, 2)))
    with pytest.raises(ppi.PPIError, match="does not factorize"):
        chain_beliefs(mixed, "separate")
    with pytest.raises(ppi.PPIError, match="start has messages"):
        chain_beliefs(ENTROPY.chains(), start=chain_beliefs(GOALS["n5m4"][0].chains()).messages)
