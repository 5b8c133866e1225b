"""The one recursion on tables: finite Markov decision processes, exactly.

The public names, each loaded on first use.
"""

import importlib

_WHERE = {
    "mdp": ("FiniteMDP",),
    "iterations": ("psi_iteration", "value_iteration", "policy_iteration", "policy_value", "value_error", "Iterations"),
    "learning": ("learn", "ratio", "Learning"),
    "features": ("Transitions", "sample_transitions", "least_squares_psi", "lstd_q"),
    "quadratic_psi": ("QuadraticPsi", "baseline_psi", "quadratic_psi_step"),
    "stationary": ("iterate",),
    "central": ("solve", "evaluate_policy", "tilted", "TableSolution"),
    "linear": ("solve_linear", "compose_tables", "soft_minimum", "sample_integral", "TableIntegral"),
    "lmdp": (
        "LMDP",
        "LMDPSolution",
        "solve_finite",
        "solve_first_exit",
        "solve_discounted",
        "solve_average",
        "embed",
    ),
    "discretization": ("discretize", "Grid", "GridProblem"),
    "inference": ("Inference",),
    "factor_graph": ("FactorGraph", "Table", "IndexMap"),
    "graph_beliefs": ("GraphBeliefs",),
    "junction_trees": ("junction_tree", "most_probable"),
    "tree_samples": ("sample_configurations",),
    "elimination": ("tree_size", "TreeSize"),
    "graph_files": ("read_uai", "write_uai", "read_fg", "write_fg"),
    "loopy_propagation": ("belief_propagation",),
    "regions": ("RegionGraph", "minimal_regions"),
    "region_loops": ("double_loop", "single_loop"),
    "kl_control": ("play", "pick", "on_graph", "Play"),
    "compositions": ("solve_compositions", "size_of", "fits", "CompositionControl", "Forecast"),
    "ring": ("moves_between",),
    "coupled_chains": ("CoupledChains",),
    "chain_sweeps": ("ChainMessages",),
    "chain_inference": ("ChainBeliefs", "chain_beliefs"),
    "chain_plays": ("receding", "play_chains"),
    "capped_counts": ("CappedCounts", "CountBeliefs"),
    "rendezvous": ("Rendezvous", "RendezvousBeliefs"),
    "temperature_sweep": ("sweep_temperatures", "TemperatureSweep"),
    "joint_walks": ("joint_messages", "JointMessages"),
    "moments": ("mean_and_variance",),
    "examples": ("random_problem",),
    "majorization": ("majorize", "posterior_policy_iteration", "entropic_cost", "weight_of_bound", "Descent"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}
__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(
            f"module 'ppi_robotics.discrete' has no attribute '{name}'; see dir(ppi_robotics.discrete)"
        )
    value = getattr(importlib.import_module(f"ppi_robotics.discrete.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
