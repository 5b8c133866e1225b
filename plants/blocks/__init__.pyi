"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .chains import ChainMessages, CoupledChains
from .exact import CompositionControl, Forecast, solve_compositions
from .factor_graph import BlocksGraph, blocks_graph
from .inference import ChainBeliefs, chain_beliefs, play_chains, receding
from .sizes import fits, size_of
from .states import moves_between
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
