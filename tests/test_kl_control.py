"""Control by inference in factor graphs: exact probabilities on the way, warm starts, and contradictions."""

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from ppi_robotics.discrete import (
    FactorGraph,
    Table,
    belief_propagation,
    double_loop,
    junction_tree,
    on_graph,
    play,
)
from ppi_robotics.solution import Status

TOWER = BlocksWorld([4, 0, 0, 0], 8, [0, 0, 4, 0])


def plan(method, merged=True, warm=False, seed=0, world=TOWER, **options):
    described = world.graph(merged=merged)
    infer = on_graph(described.graph, described.heights, described.moves, method, warm, **options)
    return play(infer, world.step, world.start, world.stages, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_exact_control_spreads_the_tower_and_piles_it_up_again(seed):
    """Every plan of most probable moves has one block everywhere at half time; probabilities of an exact count."""
    found = plan(junction_tree, merged=False, seed=seed)
    assert found.status.solved
    assert found.states[4].tolist() == [1, 1, 1, 1]
    assert found.states[8].tolist() == TOWER.goal.tolist()
    np.testing.assert_allclose(found.probabilities[0][[0, 2]], 0.5, rtol=1e-12)
    away, same, loose = 10 / 21, 6 / 21, 5 / 21  # of the tower and the block beside it: 0.47619, 0.285714, 0.238095
    np.testing.assert_allclose(np.sort(found.probabilities[1])[-3:], [loose, same, away], rtol=1e-12)


def test_the_future_is_not_conditioned_on_by_what_is_passed():
    """Probabilities after two moves are those of the shorter world from there."""
    found = plan(junction_tree)
    rest = TOWER.after(found.states[2], 6)
    described = rest.graph(merged=True)
    direct = junction_tree(described.graph)
    np.testing.assert_allclose(found.probabilities[2], described.actions(direct), rtol=1e-10)


def test_warm_starts_come_to_the_same_beliefs():
    world = BlocksWorld([2, 1, 1, 0, 0], 6, [0, 0, 0, 2, 2])
    cold, warm = (plan(double_loop, True, warm, world=world, tolerance=1e-7, max_outer=500) for warm in (False, True))
    # later stages leave no move to spare, where beliefs settle ever more slowly
    np.testing.assert_allclose(np.stack(warm.probabilities[:3]), np.stack(cold.probabilities[:3]), atol=1e-5)
    assert cold.states[-1].tolist() == world.goal.tolist()


def test_contradictions_end_a_play():
    """A state that leads nowhere: the second step finds that nothing is possible."""
    follow = np.array([[0.0, -np.inf], [-np.inf, 0.0]])
    graph = FactorGraph((2, 2, 2, 2, 2), (Table((0, 1), follow), Table((1, 3), follow), Table((4,), [0.0, -np.inf])))
    for method in (junction_tree, belief_propagation):
        infer = on_graph(graph, [[0], [3], [4]], [[1], [2]], method)
        found = play(infer, lambda state, action: np.array([1 - state[0]]), np.array([0]), 2)
        assert found.status is Status.CONTRADICTION
        assert len(found.states) == 2


def test_stages_that_do_not_fit_are_refused():
    graph = FactorGraph((2, 2), ())
    with pytest.raises(ppi.ProblemError, match=r"states has shape \(1, 1\), actions \(1, 1\); expected \(T \+ 1, n\)"):
        on_graph(graph, [[0]], [[1]])
