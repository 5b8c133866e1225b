"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .beliefs import GraphBeliefs as GraphBeliefs, Inference as Inference
from .bellman import (
    TableSolution as TableSolution,
    entropic_cost as entropic_cost,
    evaluate_policy as evaluate_policy,
    mean_and_variance as mean_and_variance,
    solve as solve,
    tilted as tilted,
)
from .cluster_variation import (
    RegionGraph as RegionGraph,
    double_loop as double_loop,
    minimal_regions as minimal_regions,
    single_loop as single_loop,
)
from .discretization import Grid as Grid, GridProblem as GridProblem, discretize as discretize
from .elimination import TreeSize as TreeSize, tree_size as tree_size
from .factor_graph import FactorGraph as FactorGraph, IndexMap as IndexMap, Table as Table
from .graph_files import read_fg as read_fg, read_uai as read_uai, write_fg as write_fg, write_uai as write_uai
from .junction_trees import (
    junction_tree as junction_tree,
    most_probable as most_probable,
    sample_configurations as sample_configurations,
)
from .kl_control import Play as Play, on_graph as on_graph, pick as pick, play as play
from .learning import Learning as Learning, learn as learn, ratio as ratio
from .least_squares import (
    QuadraticPsi as QuadraticPsi,
    Transitions as Transitions,
    baseline_psi as baseline_psi,
    least_squares_psi as least_squares_psi,
    lstd_q as lstd_q,
    quadratic_psi_step as quadratic_psi_step,
    sample_transitions as sample_transitions,
)
from .linear_bellman import (
    TableIntegral as TableIntegral,
    compose_tables as compose_tables,
    sample_integral as sample_integral,
    soft_minimum as soft_minimum,
    solve_linear as solve_linear,
)
from .linearly_solvable import (
    LMDP as LMDP,
    LMDPSolution as LMDPSolution,
    embed as embed,
    solve_average as solve_average,
    solve_discounted as solve_discounted,
    solve_finite as solve_finite,
    solve_first_exit as solve_first_exit,
)
from .loopy_belief_propagation import belief_propagation as belief_propagation
from .mdp import FiniteMDP as FiniteMDP, random_problem as random_problem
from .policy_improvement import (
    Descent as Descent,
    majorize as majorize,
    posterior_policy_iteration as posterior_policy_iteration,
    weight_of_bound as weight_of_bound,
)
from .soft_policy_iteration import (
    Iterations as Iterations,
    policy_iteration as policy_iteration,
    psi_iteration as psi_iteration,
    value_error as value_error,
    value_iteration as value_iteration,
)
from .stationary import iterate as iterate, policy_value as policy_value
