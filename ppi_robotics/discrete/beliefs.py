"""What inference in a graphical model reports, whichever algorithm it is; in a factor graph, marginals as well."""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import check_counts, check_number
from ppi_robotics.discrete.factor_graph import FactorGraph
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record
from ppi_robotics.solution import Status


@dataclass(frozen=True, eq=False, kw_only=True)
class Inference(Record):
    """Status, convergence and partition function of an inference.

    Attributes:
      log_partition: log Z; exact, or the negative Bethe or Kikuchi free energy; -inf after a contradiction.
      exact: whether log_partition and the beliefs are exact.
      status: `Status`: converged, max_iterations, contradiction if it is proven that no configuration has weight,
        messages_lost if their numbers became too large, or interrupted; what was found before is kept then.
      sweeps: how often all messages were updated; of a double loop, those of the inner loops together.
      change: largest change of the logarithm of a message relative to its largest number, undamped, in the last update
        of all; of a double loop, in the last outer one. Probabilities stay at 0 and 1 while messages move by hundreds.
      inconsistency: largest difference between the probabilities that two neighboring regions give to one variable.
      trace: free energy -log Z after every update of all messages or outer loop; empty where exact.
      schedule: name of the order of the updates.
    """

    log_partition: float
    exact: bool
    status: Status
    sweeps: int = 0
    change: float = 0.0
    inconsistency: float = 0.0
    trace: tuple[float, ...] = ()
    schedule: str = ""


def check_messages(tolerance, damping=0.0):
    """Raise `ProblemError` unless messages can be damped so, and end at such a change."""
    check_number(damping, "damping", least=0, below=1)
    check_number(tolerance, "tolerance", least=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class GraphBeliefs(Inference):
    """Probabilities of the variables of a graph, beside what every `Inference` has.

    After a contradiction all probabilities are 0: there is no configuration that could have any.

    Attributes:
      graph: the `FactorGraph`.
      beliefs: probabilities of the values of every variable, a tuple of arrays.
      scopes: variables of every region that has a joint belief: of the factors, or of the outer regions.
      configurations: values (E, d) of these variables that have weight, one array a region.
      joints: probabilities (E,) of them.
      messages: the last ones, which another run may start from; None after exact inference.
      configuration: values (N,) of the best configuration, where that is what was asked for; else None.
    """

    graph: FactorGraph
    beliefs: tuple[np.ndarray, ...]
    scopes: tuple[tuple[int, ...], ...]
    configurations: tuple[np.ndarray, ...]
    joints: tuple[np.ndarray, ...]
    messages: np.ndarray | None = None
    configuration: np.ndarray | None = None

    def joint(self, *variables: int) -> np.ndarray:
        """Joint probabilities of variables, an axis for each, from the first region that has them all.

        Raises:
          ProblemError: if they share no factor or region; a Table of zeros over them would give them one.
        """
        variables = check_counts(variables, "variables", 0, len(self.graph.sizes) - 1)
        for scope, states, p in zip(self.scopes, self.configurations, self.joints, strict=True):
            if set(variables) <= set(scope):
                columns = [scope.index(v) for v in variables]
                out = np.zeros([self.graph.sizes[v] for v in variables])
                np.add.at(out, tuple(states[:, columns].T), p)
                return out
        named = ", ".join(self.graph.name(v) for v in variables)
        raise ProblemError(f"variables {named} share no factor; give them a Table of log_values 0 to have their joint")


def best_configuration(graph, beliefs, joints):
    """The best configuration (N,), by the weights of the best configurations that have a value (max-marginals).

    Each factor picks the best of its configurations that has the values picked before, from one variable of every
    component on: variables that each pick their own would mix configurations that tie.
    """
    near = [[] for _ in graph.sizes]
    for number, factor in enumerate(graph.factors):
        for v in factor.variables:
            near[v].append(number)
    found, done = np.full(len(graph.sizes), -1), np.zeros(len(graph.factors), bool)
    for root in range(len(graph.sizes)):
        if found[root] >= 0:
            continue
        found[root], front = np.argmax(beliefs[root]), [root]
        for v in front:  # grows as it goes
            for number in near[v]:
                if not done[number]:
                    done[number] = True
                    front += _pick(graph, number, beliefs, joints[number], found)
    return found


def _pick(graph, number, beliefs, joint, found):
    """Set the values of a factor's variables that have none yet; returns these variables."""
    scope, (states, _) = np.array(graph.factors[number].variables), graph.entries[number]
    free = found[scope] < 0
    if not free.any():
        return []
    fits = (states[:, ~free] == found[scope[~free]]).all(axis=1)
    if fits.any():  # in loops, other factors may have left nothing
        found[scope] = states[np.argmax(np.where(fits, joint, -1.0))]
    else:
        found[scope[free]] = [np.argmax(beliefs[v]) for v in scope[free]]
    return scope[free].tolist()
