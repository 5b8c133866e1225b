"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from . import costs as costs
from . import goals as goals
from . import risk as risk
from . import sampling as sampling
from . import tables as tables
from . import theme as theme
from . import trajectories as trajectories
from .costs import cost_distribution as cost_distribution
from .theme import color as color
from .theme import style as style
from .trajectories import trajectory as trajectory
