"""The numbers of the random streams, and the bounds beyond which a state is of no use, in one table.

Every random number is a hash of (seed, stream, sample, counter), so that sample i meets the same noise under every
policy, chunk and number of threads. A stream keeps its number for good: compiled kernels hold it, and another number
means other samples. `np.random.Generator`s, for guesses and for trials that are not numbered, are seeded apart.
"""

import numpy as np

PROCESS, INITIAL, CONTROL, ACTUATOR, STATE = map(np.uint64, range(5))  # of rollouts, in the order of a stage's draws
SENSOR = np.uint64(5)  # what a MuJoCo plant measures
SEQUENCES = np.uint64(6)  # sampled control sequences
CHAINS = np.uint64(7)  # trajectories of a linearly solvable problem
MOVES, RESETS = np.uint64(16), np.uint64(17)  # learning from trials

DIVERGED = 1e8  # scales of a problem beyond which a state counts as diverged
USELESS = 1e4  # scales beyond which a first guess is of no use
LARGEST_STATE = 1e100  # of a given state, whose square and cost can still be computed
SHORT_OF_INFINITY = 1e300  # the bound of a state of which no scale is known


def literals(*names: str) -> str:
    """Lines of source that set streams by name, for generated kernels."""
    return "".join(f"{name} = uint64({globals()[name]})\n" for name in names)
