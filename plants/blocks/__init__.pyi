"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .chain_inference import ChainBeliefs, chain_beliefs
from .chain_plays import play_chains, receding
from .chain_sweeps import ChainMessages
from .compositions import CompositionControl, Forecast, fits, size_of, solve_compositions
from .coupled_chains import CoupledChains
from .factor_graph import BlocksGraph, blocks_graph
from .ring import moves_between
from .study import GoalRates, goal_rates, random_goal
from .world import BlocksWorld

__all__ = [
    "BlocksGraph",
    "BlocksWorld",
    "ChainBeliefs",
    "ChainMessages",
    "CompositionControl",
    "CoupledChains",
    "Forecast",
    "GoalRates",
    "blocks_graph",
    "chain_beliefs",
    "fits",
    "goal_rates",
    "moves_between",
    "play_chains",
    "random_goal",
    "receding",
    "size_of",
    "solve_compositions",
]
