"""What inference in a graphical model reports, whichever algorithm it is."""

from dataclasses import dataclass

from ppi_robotics.checks import check_number
from ppi_robotics.gaussian import Record
from ppi_robotics.solution import Status


@dataclass(frozen=True, eq=False, kw_only=True)
class Inference(Record):
    """How inference went, and the partition function that it found.

    Attributes:
      log_partition: log Z; exact, or the negative Bethe or Kikuchi free energy; -inf after a contradiction.
      exact: whether log_partition and the beliefs are exact.
      status: `Status`: converged, max_iterations, contradiction if it is proven that no configuration has weight, or
        messages_lost if their numbers became too large; all that was found before is kept then.
      sweeps: how often all messages were updated; of a double loop, those of the inner loops together.
      change: largest change of the logarithm of a message, undamped, in the last sweep; of a double loop, in the last
        outer one. A message is in proportion to its largest number. Probabilities would not do: they stay at 0 and 1
        while messages move by hundreds.
      inconsistency: largest difference between the probabilities that two neighboring regions give to one variable.
      trace: free energy -log Z after every sweep, of a double loop after every outer one; empty where exact.
      schedule: name of the order of the updates.
    """

    log_partition: float
    exact: bool
    status: Status
    sweeps: int = 0
    change: float = 0.0
    inconsistency: float = 0.0
    trace: tuple = ()
    schedule: str = ""


def check_messages(tolerance, damping=0.0):
    """Raise `ProblemError` unless messages can be damped so, and end at such a change."""
    check_number(damping, "damping", least=0, below=1)
    check_number(tolerance, "tolerance", least=0)
