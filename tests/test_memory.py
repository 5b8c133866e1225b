"""Memory: no array of a caller reaches compiled code, which checks no bounds, in another shape than that expects."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import sparse

import plants.blocks
import ppi_robotics as ppi
from plants.stag_hunt import rendezvous
from ppi_robotics import discrete
from ppi_robotics.discrete import bellman

S, A = 4, 2


class Slider(ppi.SymbolicPlant):
    """A mass on a line."""

    state_names = ("position", "velocity")
    control_names = ("force",)
    dt = 0.1

    def transition(self, x, u):
        return ppi.vertcat(x[0] + 0.1 * x[1], x[1] + 0.1 * u[0])


def table():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(S), (S, A))
    return discrete.FiniteMDP(transition, rng.uniform(size=(S, A)), discount=0.9)


def damaged(indices=None, indptr=None):
    """A transition matrix whose insides were replaced."""
    matrix = sparse.csr_array(np.full((S * A, S), 1.0 / S))
    if indices is not None:
        matrix.indices = indices(matrix.indices)
    if indptr is not None:
        matrix.indptr = indptr(matrix.indptr)
    return matrix


def outside():
    """Entries by coordinates, of which one is beyond the last column."""
    matrix = sparse.coo_array(np.full((S * A, S), 1.0 / S))
    matrix.coords[1][-1] = S
    return matrix


def chains(**changes):
    given = {
        "start": [0, 1],
        "shifts": [[1, 0], [0, 1], [-1, 0], [0, -1]],
        "log_prior": np.log(np.full(4, 0.25)),
        "log_weights": np.zeros((3, 3)),
        "parts": (2, 2),
    }
    return plants.blocks.CoupledChains(**(given | changes))


VALUES = {
    "too few": np.zeros(1),
    "too many": np.zeros(S + 1),
    "a matrix": np.zeros((2, 2)),
    "a number": 0.0,
    "nan": np.full(S, math.nan),
    "a text": "value",
    "complex": np.zeros(S, complex),
}


@pytest.mark.parametrize("value", VALUES)
def test_values_to_start_from_have_a_number_for_every_state(value):
    for weights in ((), (1.0, 0.5)):
        with pytest.raises(ppi.ProblemError, match="value"):
            discrete.iterate(table(), *weights, value=VALUES[value])


def test_a_start_changes_nothing_but_the_way_and_is_not_written_to():
    mdp, start = table(), np.full(S, 7.0)
    expected = discrete.iterate(mdp).value
    for value in (start, start.tolist(), np.full(2 * S, 7.0)[::2], start.astype(np.float32)):
        np.testing.assert_allclose(discrete.iterate(mdp, value=value).value, expected, rtol=1e-10)
    assert (start == 7.0).all()


@pytest.mark.parametrize(
    "matrix",
    [
        damaged(indices=lambda given: given + S),
        damaged(indices=lambda given: given - 1),
        damaged(indptr=lambda given: given + 1),
        damaged(indptr=lambda given: given[::-1].copy()),
        damaged(indptr=lambda given: given[:-1].copy()),
        outside(),
        damaged().astype(complex),
    ],
    ids=["after", "before", "shifted", "falling", "short", "coordinates", "complex"],
)
def test_transitions_lead_to_states_that_exist(matrix):
    with pytest.raises(ppi.ProblemError, match="damaged|array of numbers"):
        discrete.FiniteMDP(matrix, np.ones((S, A)), discount=0.9)


def test_transitions_are_tilted_by_values_of_the_same_problem():
    other = discrete.FiniteMDP(np.full((2, 1, 2), 0.5), np.ones((2, 1)), discount=0.9)
    with pytest.raises(ppi.ProblemError, match="that was solved"):
        bellman.tilted(table(), discrete.iterate(other, 1.0, 1.0))
    with pytest.raises(ppi.ProblemError, match="that was solved"):
        bellman.tilted(other, discrete.iterate(table(), 1.0, 1.0))


@pytest.mark.parametrize(
    "changes",
    [
        {"shifts": [[2, 0], [0, 1], [-1, 0], [0, -1]]},
        {"shifts": [[-np.inf, 0], [0, 1], [-1, 0], [0, -1]]},  # its absolute value is negative as a whole number
        {"parts": (-2, -2)},
        {"parts": (4,)},
        {"parts": (1.5, 2)},
        {"start": [0, 3]},
        {"start": [0, -np.inf]},
        {"goal": [0, 3]},
    ],
    ids=str,
)
def test_chains_stay_within_their_levels(changes):
    with pytest.raises(ppi.ProblemError):
        chains(**changes)


@pytest.mark.parametrize("method", ["merged", "separate", "double_loop"])
def test_messages_to_start_from_are_those_of_as_many_chains(method):
    found = plants.blocks.chain_beliefs(chains(), method).messages
    wrong = [{"to_chains": found.to_chains[:, :1]}, {"log_actions": found.log_actions[:1]}]
    if method == "separate":
        wrong += [{"to_parts": tuple(part[:, :, :1] for part in found.to_parts)}, {"to_parts": found.to_parts[:1]}]
    for changes in wrong:
        with pytest.raises(ppi.ProblemError):  # where they are made, or where they start
            plants.blocks.chain_beliefs(chains(), method, start=dataclasses.replace(found, **changes))
    for start in (found.last(1), "messages"):
        with pytest.raises(ppi.ProblemError, match="start"):
            plants.blocks.chain_beliefs(chains(), method, start=start)


def test_messages_to_start_from_are_those_of_as_many_factors():
    graph = discrete.FactorGraph((2, 3), (discrete.Table((0, 1), np.arange(6.0).reshape(2, 3)),))
    found = discrete.belief_propagation(graph)
    for messages in (found.messages[:1], found.messages[None], np.zeros(0)):
        with pytest.raises(ppi.ProblemError, match="start"):
            discrete.belief_propagation(graph, start=dataclasses.replace(found, messages=messages))


@pytest.mark.parametrize("cells", [[-1], [3], [0, 0], [0.5], [2**62]])
def test_walkers_are_at_cells_that_exist(cells):
    moves = np.array([[1, -1], [2, 0], [-1, 1]])
    walk = rendezvous.Rendezvous(moves, [0], 2, np.zeros(3), [2], [1.0], 1.0)
    found = walk.infer()
    assert found.actions(0, [0]).shape == (1, 2)
    with pytest.raises(ppi.ProblemError):
        found.actions(0, cells)


def test_blocks_that_add_up_by_overflow_are_refused():
    with pytest.raises(ppi.ProblemError, match="start"):
        plants.blocks.solve_compositions([2**62, 2**62, 2**62, 2**62 + 1], 2, np.zeros(2))


WRONG_ROWS = {
    "states": (np.zeros((3, 1)), np.zeros((3, 1))),
    "controls": (np.zeros((3, 2)), np.zeros((3, 2))),
    "few controls": (np.zeros((3, 2)), np.zeros((1, 1))),
    "no rows": (np.zeros((0, 2)), np.zeros((0, 1))),
    "one state": (np.zeros(2), np.zeros(1)),
    "texts": (np.array([["a", "b"]]), np.zeros((1, 1))),
    "complex": (np.zeros((1, 2), complex), np.zeros((1, 1))),
}


@pytest.mark.parametrize("rows", WRONG_ROWS)
def test_plants_and_costs_take_rows_of_their_sizes(rows):
    plant = Slider()
    problem = ppi.Problem(plant, ppi.Quadratic([1.0, 1.0], [1.0]), [0.0, 0.0], 3)
    x, u = WRONG_ROWS[rows]
    for function in (plant.step, plant.linearize, plant.expand, problem.cost.stage):
        with pytest.raises(ppi.ProblemError):
            function(x, u)
    if rows in ("states", "no rows", "one state", "texts", "complex"):
        with pytest.raises(ppi.ProblemError):
            problem.cost.terminal(x)
    if rows not in ("one state", "texts", "complex"):
        with pytest.raises(ppi.ProblemError):
            problem.cost.quadratize(x, u)


@pytest.mark.parametrize("adjoint", [np.zeros((2, 2)), np.zeros((3, 1)), np.zeros(2), "y"])
def test_adjoints_have_the_shape_of_the_states(adjoint):
    with pytest.raises(ppi.ProblemError, match="adjoint"):
        Slider().expand(np.zeros((3, 2)), np.zeros((3, 1)), adjoint)
