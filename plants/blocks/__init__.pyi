"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .chains import ChainMessages as ChainMessages, CoupledChains as CoupledChains
from .exact import (
    CompositionControl as CompositionControl,
    Forecast as Forecast,
    solve_compositions as solve_compositions,
)
from .factor_graph import BlocksGraph as BlocksGraph, blocks_graph as blocks_graph
from .inference import (
    ChainBeliefs as ChainBeliefs,
    chain_beliefs as chain_beliefs,
    play_chains as play_chains,
    receding as receding,
)
from .sizes import fits as fits, size_of as size_of
from .states import moves_between as moves_between
from .study import GoalRates as GoalRates, goal_rates as goal_rates, random_goal as random_goal
from .world import BlocksWorld as BlocksWorld
