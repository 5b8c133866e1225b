"""What inference in a factor graph reports: probabilities of variables, and of configurations of those that meet."""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import check_counts
from ppi_robotics.discrete.inference import Inference
from ppi_robotics.errors import ProblemError


@dataclass(frozen=True, eq=False, kw_only=True)
class GraphBeliefs(Inference):
    """Probabilities of the variables of a graph, beside what every `Inference` has.

    After a contradiction all probabilities are 0: there is no configuration that could have any.

    Attributes:
      graph: the `FactorGraph`.
      beliefs: probabilities of the values of every variable, a tuple of arrays.
      scopes: variables of every region that has a joint belief: of the factors, or of the outer regions.
      configurations: values (E, d) of these variables that can happen, one array a region.
      joints: probabilities (E,) of them.
      messages: to begin with another time; None after exact inference.
    """

    graph: object
    beliefs: tuple
    scopes: tuple
    configurations: tuple
    joints: tuple
    messages: np.ndarray | None = None

    def joint(self, *variables):
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
