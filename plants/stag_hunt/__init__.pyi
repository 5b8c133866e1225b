"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .counts import CappedCounts, CountBeliefs
from .factor_graph import StagGraph, stag_graph
from .joint_walks import JointMessages, joint_messages
from .rendezvous import Rendezvous, RendezvousBeliefs
from .temperatures import TemperatureSweep, sweep_temperatures
from .world import StagHunt

__all__ = [
    "CappedCounts",
    "CountBeliefs",
    "JointMessages",
    "Rendezvous",
    "RendezvousBeliefs",
    "StagGraph",
    "StagHunt",
    "TemperatureSweep",
    "joint_messages",
    "stag_graph",
    "sweep_temperatures",
]
