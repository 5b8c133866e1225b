"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from .counts import CappedCounts as CappedCounts, CountBeliefs as CountBeliefs
from .factor_graph import StagGraph as StagGraph, stag_graph as stag_graph
from .joint_walks import JointMessages as JointMessages, joint_messages as joint_messages
from .rendezvous import Rendezvous as Rendezvous, RendezvousBeliefs as RendezvousBeliefs
from .temperatures import TemperatureSweep as TemperatureSweep, sweep_temperatures as sweep_temperatures
from .world import StagHunt as StagHunt
