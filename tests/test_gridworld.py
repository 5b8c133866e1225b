"""Grid worlds: exact costs, bad maps, pictures, and gymnasium's tables."""

import math
from dataclasses import replace

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import GridWorld
from plants.gridworld import MAPS
from ppi_robotics import plotting
from ppi_robotics.discrete import compose_tables, iterate, soft_minimum, solve, solve_linear


@pytest.mark.parametrize(
    ("name", "states", "largest", "mean"), [("rooms", 74, 23.75, None), ("cup", 83, 20.0, 810 / 83)]
)
def test_cost_is_the_distance_over_success(name, states, largest, mean):
    world = GridWorld(name)
    found = iterate(world.mdp)
    assert (world.mdp.states, found.status.solved) == (states, True)
    np.testing.assert_allclose(found.value, 1.25 * world.distance, rtol=1e-14)
    assert found.value.max() == pytest.approx(largest, rel=1e-14)
    assert found.value.mean() == pytest.approx(12.6520270270270 if mean is None else mean, rel=1e-12)


def test_random_slips_cost_what_an_independent_program_found():
    value = iterate(GridWorld("rooms", "random").mdp).value
    assert value.max() == pytest.approx(23.4184081371, abs=1e-9)
    assert value.mean() == pytest.approx(12.7181547040, abs=1e-9)


def test_transitions_are_those_of_the_definition():
    """Every row by the definition in plain loops over the cells."""
    text = "..#\n.S*\n..."
    for slip in ("stay", "random"):
        world = GridWorld(text, slip, success=0.7)
        lines, P = text.splitlines(), world.mdp.dense()
        for x, (i, j) in enumerate(world.position):
            ways = [(i + a, j + b) for a, b in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            open_ways = [0 <= a < 3 and 0 <= b < 3 and lines[a][b] != "#" for a, b in ways]
            assert world.mdp.allowed[x].tolist() == open_ways
            for u in np.flatnonzero(open_ways):
                row = np.zeros(world.mdp.states)
                row[world.state(*ways[u])] += 0.7
                others = [x] if slip == "stay" else [world.state(*ways[v]) for v in np.flatnonzero(open_ways)]
                for y in others:
                    row[y] += 0.3 / len(others)
                np.testing.assert_allclose(P[x, u], row, atol=1e-15)
        assert world.start.tolist() == [world.state(1, 1)]
        assert np.flatnonzero(world.mdp.absorbing).tolist() == [world.state(1, 2)]


@pytest.mark.parametrize("slip", ["stay", "random"])
def test_two_targets_composed_are_the_direct_solution(slip):
    """Walks that may end at one target alone, mixed: value and policy of the walk that may end at both."""
    mdp = GridWorld("*..#....\n.#.....*\n....#...", slip).mdp
    here, there = np.flatnonzero(mdp.absorbing)
    ends = np.full((2, mdp.states), 25.0)  # for whom time runs out
    ends[0, [here, there]], ends[1, [here, there]] = (0.0, np.inf), (np.inf, 3.0)
    shares, weight = [0.6, 0.4], 0.7
    mixed = compose_tables(solve_linear(mdp, weight, horizon=30, terminals=ends), shares)
    both = replace(mdp, terminal=soft_minimum(ends, shares, weight))
    direct = solve(both, weight, weight, horizon=30)
    np.testing.assert_allclose(mixed.value, direct.value, rtol=1e-12)
    np.testing.assert_allclose(mixed.policy, direct.policy, rtol=0, atol=1e-12)
    assert both.terminal[here] == pytest.approx(-math.log(0.6) / weight)


@pytest.mark.parametrize("weights", [(math.inf, 0.0), (2.0, 0.5), (2.0, -0.2), (0.0, 0.0)], ids=str)
def test_stationary_values_are_those_of_long_horizons(weights):
    """The start and the order of the passes are of no account: plain backups from zero come to the same."""
    mdp = GridWorld("..#.\n...*\n.#..", "random", discount=0.95).mdp
    np.testing.assert_allclose(iterate(mdp, *weights).value, solve(mdp, *weights, horizon=800).value[0], rtol=1e-10)
    np.testing.assert_allclose(
        iterate(mdp, *weights, value=np.zeros(10)).value, iterate(mdp, *weights).value, rtol=1e-10
    )


def test_large_maps_take_a_few_passes():
    """Moves that fail in place leave a cell with its own value: it is settled at once, so that passes do not add up."""
    rng = np.random.default_rng(0)
    cells = np.where(rng.random((120, 120)) < 0.1, "#", ".")
    cells[:, ::2] = np.where(np.arange(120)[:, None] % 4 == 1, cells[:, ::2], ".")  # every cell keeps a way
    cells[60, 60] = "*"
    cells[60, 61] = "."
    text = "\n".join(map("".join, cells))
    try:
        world = GridWorld(text)
    except ppi.ProblemError as error:  # pragma: no cover
        pytest.fail(str(error))
    found = iterate(world.mdp)
    assert found.sweeps <= 3
    np.testing.assert_allclose(found.value, 1.25 * world.distance, rtol=1e-13)


BAD = {
    "character": (lambda: GridWorld("..\n.x\n.*"), "line 2, column 2 of the map has 'x'; expected . free"),
    "ragged": (lambda: GridWorld("..*\n..\n..."), "line 2 of the map has 2 characters; expected 3"),
    "target": (lambda: GridWorld("..\n.S"), "the map has no target"),
    "lost": (lambda: GridWorld(".#.\n*#."), "2 of 4 cells cannot reach a target, first the one at line 1, column 3"),
    "empty": (lambda: GridWorld(""), "the map is ''; expected lines of . free, # obstacle"),
    "slip": (lambda: GridWorld("rooms", "ice"), "slip is 'ice'; choose from stay, random"),
    "success": (lambda: GridWorld("rooms", success=0.0), "success is 0.0"),
    "discount": (lambda: GridWorld("rooms", discount=2.0), "discount is 2.0"),
    "cell": (lambda: GridWorld("rooms").state(1, 1), "there is no free cell at row 1, column 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_maps_say_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message.replace("#", r"\#")):
        make()


def test_pictures_show_every_cell():
    world = GridWorld("cup")
    solution = iterate(world.mdp)
    ax = plotting.tables.value_map(world, solution.value, solution.policy)
    shown = ax.images[0].get_array().filled(np.nan)
    assert shown.shape == (10, 10)
    assert np.isnan(shown).sum() == MAPS["cup"].count("#")
    assert np.nanmax(shown) == 20.0


# -- gymnasium ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["FrozenLake", "CliffWalking", "Taxi"])
def test_toy_texts_have_the_values_of_plain_value_iteration(name):
    gymnasium = pytest.importorskip("gymnasium")
    newest = max(spec for spec in gymnasium.registry if spec.startswith(f"{name}-v"))
    env = gymnasium.make(newest)
    mdp, table = ppi.gym.mdp_of(env, discount=0.95), env.unwrapped.P
    reward = np.zeros(len(table))
    for _ in range(400):  # 0.95^400 is 1e-9
        reward = np.array(
            [
                max(sum(p * (r + 0.95 * reward[y] * (not done)) for p, y, r, done in table[x][u]) for u in table[x])
                for x in range(len(table))
            ]
        )
    np.testing.assert_allclose(iterate(mdp).value, np.append(-reward, 0.0), rtol=0, atol=1e-6)
    assert mdp.absorbing.sum() == 1


def test_frozen_lake_is_crossed_with_the_known_chance():
    """Undiscounted, minus the cost is the best chance to reach the goal of the slippery 4 x 4 lake, 14 / 17."""
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make(max(spec for spec in gymnasium.registry if spec.startswith("FrozenLake-v")))
    assert iterate(ppi.gym.mdp_of(env)).value[0] == pytest.approx(-14 / 17, abs=1e-9)


def test_environments_without_a_table_are_refused():
    pytest.importorskip("gymnasium")
    with pytest.raises(ppi.ProblemError, match="expected a gymnasium environment with a table P"):
        ppi.gym.mdp_of("FrozenLake-v1")
