"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from . import (
    costs as costs,
    goals as goals,
    risk as risk,
    sampling as sampling,
    tables as tables,
    theme as theme,
    trajectories as trajectories,
)
from .costs import cost_distribution as cost_distribution
from .theme import color as color, style as style
from .trajectories import trajectory as trajectory
