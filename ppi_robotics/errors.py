"""The exceptions of the package, all children of `PPIError`.

Every message says what was given, what was expected and what to do, in one line of at most 300 characters.
A solve that does not converge is no exception: `Solution.status` tells, and `Solution.raise_for_status` turns it into a
`SolveError` on request.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppi_robotics.solution import Solution

LONGEST = 300  # characters of a message


class PPIError(Exception):
    """Base of every exception that the package raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(str(message)))


def one_line(text, most=LONGEST):
    """The text in one line of printable characters; a long one keeps both ends, as the last says what to do."""
    if len(text) > 2 * most:  # what is left out is not looked at
        text = f"{text[:most]} {text[-most:]}"
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 5]} ... {text[-end:]}"


class ProblemError(PPIError, ValueError):
    """Input that cannot be used: shapes, symmetry, definiteness, names, files. Raised before any work."""


class PlantError(PPIError, ValueError):
    """A plant whose definition cannot be used, for instance a `derivative` of the wrong size."""


class SolveError(PPIError, RuntimeError):
    """A solve that ended without an answer to rely on; carries the `solution` as far as it got."""

    def __init__(self, message: str, solution: "Solution | None" = None) -> None:
        super().__init__(message)
        self.solution = solution


class RiskBreakdown(SolveError):
    """The risk weight is too averse for the noise: no finite expected cost exists.

    Attributes:
      stage: stage of the backward sweep at which the bound was crossed.
      bound: largest eigenvalue of G'VG there, whose inverse is the largest theta that this stage allows.
      critical: largest theta = -eta that does not break down from the risk-neutral path; None where it is not known.
    """

    def __init__(
        self,
        message: str,
        solution: "Solution | None" = None,
        stage: int | None = None,
        bound: float | None = None,
        critical: float | None = None,
    ) -> None:
        super().__init__(message, solution)
        self.stage = stage
        self.bound = bound
        self.critical = critical


class Diverged(SolveError):
    """A non-finite state or cost ended the solve."""


class SimulationError(PPIError, RuntimeError):
    """A simulation that diverged; carries the `record` of its steps until then."""

    def __init__(self, message: str, record: object = None) -> None:
        super().__init__(message)
        self.record = record
