"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .beliefs import GraphBeliefs, Inference
from .bellman import TableSolution, entropic_cost, evaluate_policy, mean_and_variance, solve, tilted
from .cluster_variation import RegionGraph, double_loop, minimal_regions, single_loop
from .discretization import Grid, GridProblem, discretize
from .elimination import TreeSize, tree_size
from .factor_graph import FactorGraph, IndexMap, Table
from .graph_files import read_fg, read_uai, write_fg, write_uai
from .junction_trees import junction_tree, most_probable, sample_configurations
from .kl_control import Play, on_graph, pick, play
from .learning import Learning, learn, ratio
from .least_squares import (
    QuadraticPsi,
    Transitions,
    baseline_psi,
    least_squares_psi,
    lstd_q,
    quadratic_psi_step,
    sample_transitions,
)
from .linear_bellman import TableIntegral, compose_tables, sample_integral, soft_minimum, solve_linear
from .linearly_solvable import (
    LMDP,
    LMDPSolution,
    embed,
    solve_average,
    solve_discounted,
    solve_finite,
    solve_first_exit,
)
from .loopy_belief_propagation import belief_propagation
from .mdp import FiniteMDP, random_problem
from .policy_improvement import Descent, majorize, posterior_policy_iteration, weight_of_bound
from .soft_policy_iteration import Iterations, policy_iteration, psi_iteration, value_error, value_iteration
from .stationary import iterate, policy_value

__all__ = [
    "Descent", "FactorGraph", "FiniteMDP", "GraphBeliefs", "Grid", "GridProblem", "IndexMap", "Inference",
    "Iterations", "LMDP", "LMDPSolution", "Learning", "Play", "QuadraticPsi", "RegionGraph", "Table",
    "TableIntegral", "TableSolution", "Transitions", "TreeSize", "baseline_psi", "belief_propagation",
    "compose_tables", "discretize", "double_loop", "embed", "entropic_cost", "evaluate_policy", "iterate",
    "junction_tree", "learn", "least_squares_psi", "lstd_q", "majorize", "mean_and_variance", "minimal_regions",
    "most_probable", "on_graph", "pick", "play", "policy_iteration", "policy_value", "posterior_policy_iteration",
    "psi_iteration", "quadratic_psi_step", "random_problem", "ratio", "read_fg", "read_uai",
    "sample_configurations", "sample_integral", "sample_transitions", "single_loop", "soft_minimum", "solve",
    "solve_average", "solve_discounted", "solve_finite", "solve_first_exit", "solve_linear", "tilted",
    "tree_size", "value_error", "value_iteration", "weight_of_bound", "write_fg", "write_uai",
]  # fmt: skip
