"""The stag hunt: exact sums against brute force, joint messages and published numbers, and belief propagation."""

import itertools

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import StagHunt
from plants.stag_hunt import CappedCounts, Rendezvous, joint_messages, sweep_temperatures
from ppi_robotics.discrete import belief_propagation, double_loop, junction_tree, tree_size
from ppi_robotics.solution import Status

CORNERS = [(0, 0), (0, 4), (4, 0), (4, 4)]
FIVE = [  # moves, temperature, log Z, mean cost, probability that the stag is caught, last cells: independent programs
    (3, 10.0, 0.05978358450371525, -0.6570692392653928, 0.0027045656196906147, [(0, 0), (0, 4)]),
    (3, 1.0, 3.2829923524591935, -8.995540107924935, 0.8728227914719013, None),
    (3, 0.1, 93.14696962070711, -10.0, 1.0, [(2, 2), (2, 2)]),
    (4, 10.0, 0.05834218512666803, -0.6444119210607053, 0.003540478940033847, [(0, 0), (0, 4)]),
    (4, 1.0, 3.518261483779499, -9.222452695454812, 0.9017548634689082, None),
    (4, 0.1, 93.41484891793371, -10.0, 1.0, [(2, 2), (2, 2)]),
]
LARGE = {  # seed: temperature, exact log Z, log Z of belief propagation; side 20, 10 hunters
    0: [
        (10.0, 0.05083583060125714, 0.05083582151215498),
        (2.0, 0.4953740574913862, 0.4953220123263684),
        (1.0, 6.3523428655580565, 6.2977901738218645),
        (0.5, 41.854041118429066, 41.80134089876798),
        (0.1, 391.4575848906571, None),
    ],
    1: [
        (10.0, 0.08120681415146436, 0.08120680684768639),
        (1.0, 4.613800775827885, 4.622716860408001),
        (0.5, 39.01458788443984, 38.58124073592775),
        (0.1, 383.7285024644599, 404.662514815035),
    ],
    2: [
        (10.0, 0.13882416030654593, 0.1388241603061776),
        (1.0, 4.733568813493347, 4.733565737328321),
        (0.5, 31.62846910699662, 31.628906007169878),
        (0.1, 334.61796693310407, None),
    ],
}
SMALL = [  # stags, temperature, exact log Z, of belief propagation: 3 x 3 cells, 3 moves, independent programs
    ([4], 10.0, 0.2674624845, 0.2674624845),
    ([4], 1.0, 8.0981147160, 8.0981147160),
    ([4], 0.3, 35.8595744958, 35.8595744958),
    ([4, 8], 10.0, 0.2757887371, 0.2756409605),
    ([4, 8], 1.0, 8.2292573995, 8.7738290113),
    ([4, 8], 0.3, 35.9981408531, None),
]


def five(moves, temperature):
    """The hunt of the paper's figure 7."""
    return StagHunt(5, [(2, 0), (1, 4)], CORNERS, [(2, 2)], moves, temperature=temperature)


def small(stags, temperature):
    """Three hunters on 3 x 3 cells."""
    return StagHunt(3, [0, 2, 6], [1, 3], stags, 3, temperature=temperature)


def paths(hunt):
    """All joint paths (stages + 1, M), their probabilities without control and costs, by enumeration."""
    single = []
    for start in hunt.hunters:
        walks = [((int(start),), 1.0)]
        for _ in range(hunt.stages):
            longer = []
            for walk, p in walks:
                row, column = divmod(walk[-1], hunt.side)
                near = [(row, column), (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
                near = [r * hunt.side + c for r, c in near if 0 <= r < hunt.side and 0 <= c < hunt.side]
                longer += [((*walk, cell), p / len(near)) for cell in near]
            walks = longer
        single.append(walks)
    for joint in itertools.product(*single):
        cells = np.array([walk for walk, _ in joint]).T
        counts = [(cells[-1] == stag).sum() for stag in hunt.stags]
        cost = hunt.hare * np.isin(cells[-1], hunt.hares).sum() + hunt.stag * sum(count >= 2 for count in counts)
        yield cells, np.prod([p for _, p in joint]), cost


# -- the world ---------------------------------------------------------------------------------------------------------


def test_moves_stay_on_the_grid():
    hunt = StagHunt(3, [4], [0], [8])
    assert hunt.moves[4].tolist() == [4, 1, 7, 3, 5]
    assert hunt.moves[0].tolist() == [0, -1, 3, -1, 1]
    assert hunt.moves[8].tolist() == [8, 5, -1, 7, -1]
    assert (hunt.moves >= 0).sum() == 9 + 2 * 12  # staying, and every edge both ways
    assert StagHunt(1, [0], [], []).moves.tolist() == [[0, -1, -1, -1, -1]]


def test_cells_are_numbers_or_pairs():
    by_pairs, by_numbers = five(3, 1.0), StagHunt(5, [10, 9], [0, 4, 20, 24], [12], 3)
    for name in ("hunters", "hares", "stags"):
        assert getattr(by_pairs, name).tolist() == getattr(by_numbers, name).tolist()


def test_random_hunts_have_twice_the_hares_and_half_the_stags():
    hunt = StagHunt.random(20, 10, seed=0)
    assert hunt.hunters.tolist() == [133, 202, 293, 88, 55, 36, 388, 387, 248, 189]
    assert hunt.stags.tolist() == [18, 128, 119, 204, 266]
    assert hunt.hares[:4].tolist() == [19, 299, 320, 339]
    assert (len(hunt.hares), hunt.stages) == (20, 9)
    assert len({*hunt.hunters.tolist(), *hunt.hares.tolist(), *hunt.stags.tolist()}) == 35


def test_cost_pays_every_hunter_at_a_hare_and_a_stag_once():
    hunt = StagHunt(3, [4, 4, 4], [0], [8], hare=-2, stag=-10)
    assert hunt.cost([0, 0, 1]) == -4.0
    assert hunt.cost([8, 0, 1]) == -2.0
    assert hunt.cost([8, 8, 8]) == -10.0
    assert hunt.caught([8, 8, 0]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hares": [0, (0)]}, "row 0, column 0 has 2 animals"),
        ({"hares": [8]}, "row 2, column 2 has 2 animals"),
        ({"hunters": [9]}, "hunters has cell 9; expected one on the grid of 3 x 3"),
        ({"hunters": [-1]}, "hunters has cell -1"),
        ({"stags": [(0, 3)]}, r"stags has \(row, column\) \(0, 3\)"),
        ({"hunters": []}, "no hunter"),
        ({"hunters": [0.5]}, "hunters has 0.5 at index"),
        ({"hunters": [[0, 1], [2]]}, "expected an array of numbers"),
        ({"hunters": "four"}, "expected an array of numbers"),
        ({"side": 0}, "side is 0"),
        ({"stages": 2.5}, "stages is 2.5"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a positive finite number"),
        ({"temperature": np.inf}, "temperature is inf"),
        ({"stag": np.nan}, "expected a finite number"),
    ],
)
def test_what_is_no_hunt_is_refused(change, message):
    with pytest.raises(ppi.PPIError, match=message):
        StagHunt(**({"side": 3, "hunters": [0, 0], "hares": [1], "stags": [8]} | change))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 3, "hunters": 4}, "need 14 cells, there are 9"),
        ({"side": 9, "hunters": 3}, "expected an even number"),
        ({"side": 9, "hunters": 0}, "hunters is 0"),
        ({"side": 9, "hunters": 2, "seed": -1}, "seed is -1"),
    ],
)
def test_random_hunts_need_room(options, message):
    with pytest.raises(ppi.PPIError, match=message):
        StagHunt.random(**options)


# -- exact sums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hunt",
    [
        StagHunt(2, [0, 0], [1], [3], 3, temperature=0.7),
        StagHunt(2, [0, 3, 1], [2], [1, 3], 2, temperature=3.0),
        StagHunt(3, [0, 8], [1, 5], [4, 2], 2, hare=-1.0, stag=3.0, temperature=1.3),  # a stag to be avoided in pairs
        StagHunt(2, [0, 1, 2], [], [0, 1, 2, 3], 1, temperature=2.0),  # no cell without a stag
        StagHunt(3, [4], [1], [], 2, temperature=1.0),
    ],
    ids=["pair", "two stags", "avoided", "stags everywhere", "alone"],
)
def test_exact_is_the_sum_over_all_joint_paths(hunt):
    walks, q, R = (np.array(part) for part in zip(*paths(hunt), strict=True))
    psi = q * np.exp(-R / hunt.temperature)
    p, beliefs = psi / psi.sum(), hunt.infer("exact")
    assert q.sum() == pytest.approx(1.0, abs=1e-12)
    assert beliefs.exact
    assert beliefs.log_partition == pytest.approx(np.log(psi.sum()), abs=1e-12)
    assert beliefs.mean == pytest.approx(p @ R, abs=1e-12)
    assert beliefs.variance == pytest.approx(p @ (R - p @ R) ** 2, abs=1e-11)
    assert beliefs.kl == pytest.approx(p @ np.log(p / q), abs=1e-12)
    for i in range(len(hunt.hunters)):
        ends = np.bincount(walks[:, -1, i], weights=p, minlength=hunt.cells)
        assert np.allclose(beliefs.ends[i], ends, rtol=0, atol=1e-13)
        first = np.bincount(walks[:, 1, i], weights=p, minlength=hunt.cells)
        there = hunt.moves[hunt.hunters[i]]
        assert np.allclose(beliefs.actions()[i][there >= 0], first[there[there >= 0]], rtol=0, atol=1e-13)
        assert (beliefs.actions()[i][there < 0] == 0.0).all()
    for j, stag in enumerate(hunt.stags):
        assert beliefs.met[j] == pytest.approx(p[(walks[:, -1] == stag).sum(axis=1) >= 2].sum(), abs=1e-13)
    cells, t = walks[p.argmax(), hunt.stages - 1], hunt.stages - 1
    for i, cell in enumerate(cells):  # given its own cell, whatever the others do
        here = walks[:, t, i] == cell
        last = np.bincount(walks[here, t + 1, i], weights=p[here], minlength=hunt.cells) / p[here].sum()
        there = hunt.moves[cell]
        assert np.allclose(beliefs.actions(t, cells)[i][there >= 0], last[there[there >= 0]], rtol=0, atol=1e-13)
    assert hunt.problem.least_cost() == R[q > 0].min()


def test_groups_out_of_reach_of_each_other_are_the_sum_over_all_joint_paths():
    """Two pairs with a stag each, a stag that one hunter alone can reach, one that nobody can, and a hunter alone."""
    moves = np.array([[0, 1], [0, 1], [2, 3], [2, 3], [4, 5], [4, -1], [6, 7], [6, 7], [8, -1]])
    alone = np.random.default_rng(0).normal(size=9)
    hunt = Rendezvous(moves, [0, 1, 2, 3, 4, 6], 2, alone, [1, 3, 5, 8], [-4.0, -3.0, -2.0, -1.0], 0.8)
    walks, q, R = [], [], []
    for choice in itertools.product((0, 1), repeat=2 * len(hunt.start)):
        cells, chance, path = hunt.start, 1.0, []
        for t in range(2):
            here = moves[cells, np.array(choice[t::2])]
            chance *= np.prod(1.0 / (moves[cells] >= 0).sum(axis=1)) * (here >= 0).all()
            cells = np.maximum(here, 0)
            path.append(cells)
        walks.append(path)
        q.append(chance)
        R.append(hunt.cost(cells))
    walks, q, R = map(np.array, (walks, q, R))
    psi = q * np.exp(-R / hunt.temperature)
    p, beliefs = psi / psi.sum(), hunt.infer()
    assert [(len(agents), len(places)) for agents, places in hunt.counts.groups] == [(2, 1), (2, 1), (2, 0)]
    assert beliefs.log_partition == pytest.approx(np.log(psi.sum()), abs=1e-12)
    assert beliefs.mean == pytest.approx(p @ R, abs=1e-12)
    assert beliefs.variance == pytest.approx(p @ (R - p @ R) ** 2, abs=1e-11)
    for i in range(len(hunt.start)):
        for t, cells in enumerate((hunt.start, walks[:, 0])):
            chances = beliefs.actions(t, cells if t == 0 else np.full(len(hunt.start), cells[p.argmax()]))[i]
            here = np.ones(len(p), bool) if t == 0 else walks[:, 0, i] == walks[p.argmax(), 0, i]
            last = np.bincount(walks[here, t, i], weights=p[here], minlength=9) / p[here].sum()
            there = moves[hunt.start[i] if t == 0 else walks[p.argmax(), 0, i]]
            assert np.allclose(chances[there >= 0], last[there[there >= 0]], rtol=0, atol=1e-13)
    met = [p[(walks[:, -1] == place).sum(axis=1) >= 2].sum() for place in hunt.places]
    assert np.allclose(beliefs.met, met, rtol=0, atol=1e-13)
    assert hunt.least_cost() == pytest.approx(R[q > 0].min(), abs=1e-12)


def test_many_hunters_are_no_more_than_their_largest_group():
    """The same hunt copied side by side: log Z, cost and variance add up, and so do sizes, but not exponents."""
    one = StagHunt(5, [(2, 0), (1, 4)], [0, 4, 20, 24], [12], 3).problem
    copies, cells = 30, len(one.moves)
    shift = cells * np.arange(copies)
    many = Rendezvous(
        np.concatenate([np.where(one.moves < 0, -1, one.moves + s) for s in shift]),
        np.concatenate([one.start + s for s in shift]),
        one.stages,
        np.tile(one.alone, copies),
        np.concatenate([one.places + s for s in shift]),
        np.tile(one.shared, copies),
        one.temperature,
    )
    alone, together = one.infer(), many.infer()
    for name in ("log_partition", "mean", "variance", "kl"):
        assert getattr(together, name) == pytest.approx(copies * getattr(alone, name), rel=1e-12)
    assert np.allclose(together.met, np.tile(alone.met, copies), rtol=0, atol=1e-13)
    assert np.allclose(together.actions()[-2:], alone.actions(), rtol=0, atol=1e-13)
    assert many.least_cost() == pytest.approx(copies * one.least_cost())


@pytest.mark.parametrize("seed", range(4))
def test_capped_counts_are_the_sum_over_all_choices(seed):
    rng, M, S = np.random.default_rng(seed), 5, 3
    weights = rng.normal(size=(M, S + 1)) * 3
    weights[rng.uniform(size=weights.shape) < 0.3] = -np.inf
    weights[np.isneginf(weights.max(axis=1)), 2] = 0.0
    gains, own, spread, shared = (
        rng.normal(size=S) * 4,
        rng.normal(size=(M, S + 1)),
        rng.uniform(size=M),
        rng.normal(size=S),
    )
    found = CappedCounts(weights, gains, own, spread, shared).exact()
    total, first, second, classes, met = 0.0, 0.0, 0.0, np.zeros((M, S + 1)), np.zeros(S)
    for choice in itertools.product(range(S + 1), repeat=M):
        together = np.bincount(choice, minlength=S + 1)[1:] >= 2
        weight = np.exp(weights[np.arange(M), choice].sum() + gains @ together)
        cost = own[np.arange(M), choice].sum() + shared @ together
        noise = spread[np.array(choice) == 0].sum()
        total, first, second = total + weight, first + weight * cost, second + weight * (cost**2 + noise)
        classes[np.arange(M), choice] += weight
        met += weight * together
    assert found.log_partition == pytest.approx(np.log(total), abs=1e-12)
    assert np.allclose(found.classes, classes / total, rtol=0, atol=1e-13)
    assert np.allclose(found.met, met / total, rtol=0, atol=1e-13)
    assert found.mean == pytest.approx(first / total, abs=1e-12)
    assert found.variance == pytest.approx(second / total - (first / total) ** 2, abs=1e-11)


@pytest.mark.parametrize(("moves", "temperature", "log_z", "mean", "caught", "ends"), FIVE)
def test_the_hunt_of_figure_7(moves, temperature, log_z, mean, caught, ends):
    hunt = five(moves, temperature)
    exact, bp, joint = hunt.infer("exact"), hunt.infer("bp"), joint_messages(hunt.problem)
    for found in (exact, bp, joint):  # with one stag the graph is a tree
        assert found.log_partition == pytest.approx(log_z, abs=1e-11)
    for found in (exact, bp):
        assert found.mean == pytest.approx(mean, abs=1e-11)
        assert found.met[0] == pytest.approx(caught, abs=1e-12)
    assert np.allclose(exact.actions(), joint.actions(0, hunt.hunters), rtol=0, atol=1e-12)
    if ends is not None:
        first, second = (row * 5 + column for row, column in ends)
        cells = [[first, second], [20 if first == 0 else first, second]]  # two hares are as near to the first hunter
        for seed in range(5):
            assert joint.most_likely(seed)[-1].tolist() in cells
            for loop in ("open", "closed"):
                assert hunt.play("exact", loop, seed=seed).states[-1].tolist() in cells
                assert hunt.play("bp", loop, seed=seed).states[-1].tolist() in cells


@pytest.mark.parametrize("temperature", [0.02, 0.3, 2.0])
def test_joint_messages_give_the_same_probabilities(temperature):
    hunt = StagHunt(4, [0, 15, 5], [3, 12], [6, 9], 4, temperature=temperature)
    exact, joint = hunt.infer("exact"), joint_messages(hunt.problem)
    assert joint.log_partition == pytest.approx(exact.log_partition, rel=1e-13)
    assert np.allclose(joint.actions(0, hunt.hunters), exact.actions(), rtol=0, atol=1e-12)
    assert joint.step(0, hunt.hunters).sum() == pytest.approx(1.0, abs=1e-14)
    cells = np.array([1, 11, 6])  # closed loop: the joint state is known
    again = hunt.problem.after(cells, 3).infer("exact")
    assert np.allclose(joint.actions(1, cells), again.actions(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", LARGE)
def test_hunts_that_the_paper_calls_infeasible(seed):
    for temperature, log_z, by_bp in LARGE[seed]:
        hunt = StagHunt.random(20, 10, seed, temperature=temperature)
        exact, bp = hunt.infer("exact"), hunt.infer("bp")
        assert exact.log_partition == pytest.approx(log_z, rel=1e-12)
        if by_bp is None:
            assert bp.status is Status.MAX_ITERATIONS
        else:
            assert bp.status is Status.CONVERGED
            assert bp.log_partition == pytest.approx(by_bp, abs=1e-9)


@pytest.mark.parametrize("seed", LARGE)
def test_at_a_high_temperature_all_hunters_take_hares(seed):
    hunt = StagHunt.random(20, 10, seed, temperature=10.0)
    for method in ("exact", "bp"):
        assert hunt.caught(hunt.play(method, "open").states[-1])[0] == 10


def test_small_temperatures_leave_the_least_cost():
    hunt = StagHunt.random(20, 10, seed=0)
    assert hunt.problem.least_cost() == -44.0  # of an independent program
    for temperature in (1e-2, 1e-4):
        beliefs = hunt.at(temperature).infer("exact")
        assert beliefs.mean == pytest.approx(-44.0, abs=1e-6)
        # temperature times a divergence, which is at most that of a single joint path, 90 moves of 5
        assert -44.0 <= -temperature * beliefs.log_partition <= -44.0 + temperature * 90 * np.log(5)
        assert np.isfinite(beliefs.actions()).all()


def test_derivatives_by_the_temperature():
    """d<R>/dT = Var R / T^2 and d(-log Z)/dT = -<R> / T^2, the latter also of the Bethe free energy."""
    hunt, T, h = StagHunt.random(12, 6, seed=3), 0.9, 1e-4
    for method in ("exact", "bp"):
        below, here, above = (hunt.at(T + d).infer(method, **FINE[method]) for d in (-h, 0.0, h))
        slope = -(above.log_partition - below.log_partition) / (2 * h)
        assert slope == pytest.approx(-here.mean / T**2, rel=1e-6)  # of order h^2
        if method == "exact":
            assert (above.mean - below.mean) / (2 * h) == pytest.approx(here.variance / T**2, rel=1e-6)
            assert -T * (above.kl - below.kl) / (2 * h) == pytest.approx(here.variance / T**2, rel=1e-6)


FINE = {"exact": {}, "bp": {"tolerance": 1e-13}}


# -- belief propagation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stags", "temperature", "exact", "bp"), SMALL)
def test_small_hunts_of_independent_programs(stags, temperature, exact, bp):
    hunt = small(stags, temperature)
    assert hunt.infer("exact").log_partition == pytest.approx(exact, abs=1e-9)
    found = hunt.infer("bp")
    if bp is None:
        assert found.status is Status.MAX_ITERATIONS
        assert found.sweeps == 500
        assert hunt.infer("bp", damping=0.3).status is Status.CONVERGED
    else:
        assert found.status is Status.CONVERGED
        assert found.log_partition == pytest.approx(bp, abs=1e-8)  # squared change of a probability


@pytest.mark.parametrize(
    "hunt",
    [small([4], 1.0), small([4, 8], 1.0), small([4, 8], 10.0), StagHunt.random(10, 4, 0, temperature=0.5)],
    ids=["tree", "loops", "weak", "random"],
)
def test_bp_is_that_of_the_factor_graph_of_the_paper(hunt):
    made, found = hunt.graph(), hunt.infer("bp", tolerance=1e-12)
    general = belief_propagation(made.graph, tolerance=1e-12, max_sweeps=3000)
    assert general.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(general.log_partition, abs=1e-10)
    # changes of 1e-12 a sweep that shrink slowly, by 0.8 or less
    assert np.allclose(found.ends, made.ends(general), rtol=0, atol=1e-10)
    assert np.allclose(found.actions(), made.actions(general), rtol=0, atol=1e-10)
    at = np.array([[general.beliefs[variable][1] for variable in row] for row in made.at])
    assert np.allclose(found.classes[:, 1:], at, rtol=0, atol=1e-10)
    met = [general.beliefs[variable][2] for variable in made.counts[-1]]
    assert np.allclose(found.met, met, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("stags", "temperature", "exact", "bp"), SMALL)
def test_junction_tree_and_double_loop_of_the_factor_graph(stags, temperature, exact, bp):
    hunt = small(stags, temperature)
    made, beliefs = hunt.graph(), hunt.infer("exact")
    found = junction_tree(made.graph)
    assert found.log_partition == pytest.approx(exact, abs=1e-9)
    assert np.allclose(made.ends(found), beliefs.ends, rtol=0, atol=1e-13)
    assert np.allclose(made.actions(found), beliefs.actions(), rtol=0, atol=1e-13)
    bethe = hunt.infer("bp", damping=0.3)  # the double loop converges where messages undamped go on and on
    assert bethe.log_partition == pytest.approx(double_loop(made.graph).log_partition, abs=1e-4)  # stops at 1e-6
    if bp is not None:
        assert bethe.log_partition == pytest.approx(bp, abs=1e-8)


def test_the_graph_of_a_large_hunt_is_too_wide_for_a_junction_tree():
    assert tree_size(StagHunt.random(20, 10, 0).graph().graph).largest > 1e12


def test_the_graph_weighs_configurations_as_the_hunt_does():
    hunt = StagHunt(2, [0, 3, 1], [2], [1, 3], 2, temperature=3.0)
    made = hunt.graph()
    for cells, q, cost in itertools.islice(paths(hunt), 0, None, 7):
        values = np.zeros(len(made.graph.sizes), dtype=int)
        values[made.cells] = cells
        for t, i in itertools.product(range(hunt.stages), range(3)):
            values[made.moves[t, i]] = np.flatnonzero(hunt.moves[cells[t, i]] == cells[t + 1, i])[0]
        at = cells[-1][:, None] == hunt.stags
        values[made.at] = at
        values[made.counts] = np.minimum(np.cumsum(at, axis=0)[1:], 2)
        assert made.graph.log_weight(values) == pytest.approx(np.log(q) - cost / 3.0, abs=1e-12)


def test_damping_and_starts_lead_to_the_same_fixed_point():
    hunt = StagHunt.random(20, 10, 1, temperature=0.5)
    plain = hunt.infer("bp")
    damped = hunt.infer("bp", damping=0.5)
    again = hunt.infer("bp", start=plain.ratios)
    assert damped.log_partition == pytest.approx(plain.log_partition, abs=1e-9)
    assert again.sweeps <= 2
    assert plain.inconsistency < 1e-9
    assert len(plain.trace) == plain.sweeps
    assert plain.trace[-1] == pytest.approx(-plain.log_partition, abs=1e-12)
    assert plain.schedule == "sequential"


@pytest.mark.parametrize("damping", [0.0, 0.5, 0.9])
def test_one_stag_is_exact_at_any_temperature_and_damping(damping):
    """The probabilities of a cold hunt are 0 and 1 long before the messages are there."""
    for temperature in (10.0, 0.1, 0.01):
        hunt = five(4, temperature)
        exact, found = hunt.infer("exact"), hunt.infer("bp", damping=damping, max_sweeps=2000)
        assert found.status is Status.CONVERGED
        assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-9)
        assert found.mean == pytest.approx(exact.mean, abs=1e-8)
        assert np.allclose(found.ends, exact.ends, rtol=0, atol=1e-9)


def test_what_has_converged_does_not_move():
    for seed in range(4):
        for damping in (0.5, 0.9):
            hunt = StagHunt.random(10, 6, seed, temperature=0.02)
            found = hunt.infer("bp", damping=damping, max_sweeps=20000)
            if found.status.solved:
                later = hunt.infer("bp", start=found.ratios, max_sweeps=50, tolerance=0.0)
                assert later.log_partition == pytest.approx(found.log_partition, abs=1e-7)
                assert np.abs(later.classes - found.classes).max() < 1e-7


def test_bp_takes_more_stags_than_the_exact_sum():
    hunt = StagHunt.random(30, 40, seed=0, temperature=2.0)
    found = hunt.infer("bp")
    assert found.status is Status.CONVERGED
    assert np.allclose(found.ends.sum(axis=1), 1.0, rtol=0, atol=1e-9)
    with pytest.raises(ppi.PPIError, match="20 places and 38 agents hang together.*belief propagation"):
        hunt.infer("exact")
    with pytest.raises(ppi.PPIError, match="20 places"):
        hunt.problem.least_cost()


# -- playing and sweeping ----------------------------------------------------------------------------------------------


def test_plays_are_repeated_by_their_seed():
    hunt = StagHunt.random(10, 4, 0, temperature=0.3)
    for choice in ("map", "sample"):
        first, again = (hunt.play("exact", "closed", choice, seed=5) for _ in range(2))
        assert np.array_equal(first.states, again.states)
        assert np.array_equal(first.probabilities, again.probabilities)
        assert np.array(first.probabilities).shape == (9, 4, 5)
    assert not np.array_equal(first.states, hunt.play("exact", "closed", "sample", seed=6).states)
    path = np.array(first.states)
    rows, columns = np.divmod(path, 10)
    assert (abs(np.diff(rows, axis=0)) + abs(np.diff(columns, axis=0)) <= 1).all()


def test_samples_of_a_lone_hunter_follow_the_controlled_process():
    hunt = StagHunt(4, [5], [0, 15], [], 4, temperature=1.0)
    ends = [int(hunt.play(choice="sample", seed=seed).states[-1][0]) for seed in range(500)]
    share, expected = np.bincount(ends, minlength=16) / 500, hunt.infer().ends[0]
    # binomial standard errors; 16 cells
    assert (abs(share - expected) <= 4.0 * np.sqrt(expected * (1 - expected) / 500) + 1e-12).all()


@pytest.mark.parametrize(
    "hunt", [small([4, 8], 0.4), StagHunt.random(10, 4, 0, temperature=0.3)], ids=["small", "random"]
)
def test_samples_by_turns_follow_the_law_of_the_joint_walks(hunt):
    """The product of the probabilities of all moves is q exp(-R / T) / Z of the walk that they make."""
    log_z, log_q = hunt.infer("exact").log_partition, -np.log((hunt.moves >= 0).sum(axis=1))
    for seed in range(5):
        played = hunt.play("exact", "turns", "sample", seed=seed)
        states, chance = np.array(played.states), np.array(played.probabilities)
        assert np.array_equal(states[1:], hunt.moves[states[:-1], np.array(played.actions)])
        assert len(played.inferences) == hunt.stages * len(hunt.hunters)
        drawn = np.log(np.take_along_axis(chance, np.array(played.actions)[..., None], axis=-1)).sum()
        law = log_q[states[:-1]].sum() - hunt.cost(states[-1]) / hunt.temperature - log_z
        assert drawn == pytest.approx(law, abs=1e-9)


def test_closer_loops_help_at_low_temperatures():
    """Means of ten hunts, the same for all loops.

    At this temperature the joint law has the least cost almost surely, and by turns no move leaves that law.
    """
    excess = {"open": [], "closed": [], "turns": []}
    for seed in range(10):
        hunt = StagHunt.random(20, 10, seed, temperature=0.1)
        for loop, found in excess.items():
            found.append(hunt.cost(hunt.play("exact", loop).states[-1]) - hunt.problem.least_cost())
    assert min(map(min, excess.values())) == 0.0
    assert max(excess["turns"]) == 0.0
    assert 0.0 < np.mean(excess["closed"]) < np.mean(excess["open"])


@pytest.mark.parametrize("options", [{"method": "best"}, {"loop": "ajar"}, {"choice": "any"}, {"damping": 1.0}])
def test_unknown_options_of_a_play_are_refused(options):
    with pytest.raises(ppi.PPIError, match=next(iter(options))):
        five(3, 1.0).play(**({"method": "bp"} | options))


def test_sweeps_are_inferences_at_every_temperature():
    problems = [StagHunt.random(8, 4, seed).problem for seed in range(3)]
    sweep = sweep_temperatures(problems, [0.5, 1.0, 4.0])
    for row, problem in enumerate(problems):
        for column, temperature in enumerate([0.5, 1.0, 4.0]):
            exact, bp = problem.at(temperature).infer("exact"), problem.at(temperature).infer("bp")
            assert sweep.log_partition[row, column] == exact.log_partition
            assert sweep.variance[row, column] == exact.variance
            assert sweep.bp_mean[row, column] == bp.mean
            assert sweep.bp_sweeps[row, column] == bp.sweeps
    assert np.allclose(sweep.kl + sweep.mean / [0.5, 1.0, 4.0], -sweep.log_partition, rtol=1e-12)
    assert (np.diff(sweep.energy_slope.mean(axis=0)) < 0.0).all()


@pytest.mark.parametrize(("side", "hunters", "low", "high"), [(10, 4, 0.6, 0.8), (15, 10, 0.85, 1.05)])
def test_stags_give_way_to_hares_near_a_temperature_of_one(side, hunters, low, high):
    problems = [StagHunt.random(side, hunters, 1000 + i).problem for i in range(20)]
    sweep = sweep_temperatures(problems, np.arange(1, 17) / 10)
    at, error, height = sweep.peak(sweep.slope)
    assert low <= at <= high
    assert error > 0.0
    assert height == pytest.approx({4: 16.10, 10: 34.64}[hunters], abs=0.005)  # of an independent program
    assert 0.5 < sweep.peak(sweep.log_slope)[0] < 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: sweep_temperatures([], [1.0]), "there are 0 problems"),
        (lambda p: sweep_temperatures([p], [1.0, 0.5]), "rising order"),
        (lambda p: sweep_temperatures([p], [0.0, 0.5]), "positive numbers"),
        (lambda p: p.infer("exact", damping=0.5), "damping is given, which belongs to method 'bp'"),
        (lambda p: p.infer("bp", max_sweeps=0), "max_sweeps is 0"),
        (lambda p: p.infer("bp", start=np.zeros((3, 3))), r"start has shape \(3, 3\)"),
        (lambda p: p.infer("bp").actions(3), "stage is 3"),
        (lambda p: p.infer("exact").actions(1, [24, 24]), "walker 0 is at cell 24"),
        (lambda p: joint_messages(p).step(7, [0, 0]), "stage is 7"),
        (lambda p: joint_messages(StagHunt.random(20, 10).problem), "10 walkers on 400 cells"),
        (lambda p: Rendezvous(p.moves, [25], 1, p.alone, p.places, p.shared, 1.0), "start is"),
        (lambda p: Rendezvous(p.moves, [0], 1, p.alone, [3, 3], [1.0, 1.0], 1.0), "different cells"),
        (lambda p: Rendezvous(p.moves[:, :0], [0], 1, p.alone, p.places, p.shared, 1.0), "a move from every cell"),
        (lambda p: Rendezvous(p.moves, [0], 1, p.alone[1:], p.places, p.shared, 1.0), "alone has shape"),
        (lambda p: Rendezvous(p.moves, [0], 1, p.alone, p.places, p.shared, -1.0), "temperature is -1.0"),
        (lambda p: Rendezvous(p.moves, [0], -1, p.alone, p.places, p.shared, 1.0), "stages is -1"),
        (lambda p: p.after(p.start, 0, moved=[True, False]), "moved is"),
        (lambda p: p.after(p.start, 3, moved=[True]), "moved is"),
        (lambda p: joint_messages(p.after(p.start, 3, moved=[True, False])), "moved already"),
        (lambda p: CappedCounts(np.zeros((2, 2)), [0.0], np.zeros((2, 3)), [0, 0], [1.0]), "own has shape"),
        (lambda p: CappedCounts([[-np.inf, -np.inf]], [0.0], np.zeros((1, 2)), [0], [1.0]), "no class"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ppi.PPIError, match=message):
        call(five(3, 1.0).problem)
