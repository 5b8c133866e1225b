"""Rendezvous at many temperatures: where the walkers change from ending alone to ending in company.

With A(T) = -T log Z = <R> + T KL and T the temperature, over instances of one size:

    d(-log Z)/dT = -<R> / T^2,    d<R>/dT = Var R / T^2 = -dKL/dln T,    d<R>/dln T = Var R / T

The first has no maximum inside; the others have one, at different temperatures.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 4.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plants.stag_hunt.rendezvous import Rendezvous
from ppi_robotics import ProblemError, Status
from ppi_robotics.checks import as_finite, as_floats, check_function, check_instance, check_seed, check_sequence, shown
from ppi_robotics.parallel import finished

LEAST = 2  # instances that an interruption leaves, for standard errors
RESAMPLES = 1000  # of the instances, for the error of a peak


@dataclass(frozen=True, eq=False)
class TemperatureSweep:
    """What inference finds by instance (I, rows) and temperature (L, columns).

    Attributes:
      temperatures: (L,), rising.
      walkers: number M of them.
      log_partition, mean, variance, kl: exact log Z, mean and variance of the cost R, and divergence (I, L).
      met: exact mean number of places with two walkers or more.
      bp_log_partition, bp_mean: of belief propagation.
      bp_sweeps: of it.
      bp_converged: whether it did; its other numbers are those of the last sweep.
      interrupted: whether Ctrl-C was pressed; the instances are those finished by then.
    """

    temperatures: np.ndarray
    walkers: int
    log_partition: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    kl: np.ndarray
    met: np.ndarray
    bp_log_partition: np.ndarray
    bp_mean: np.ndarray
    bp_sweeps: np.ndarray
    bp_converged: np.ndarray
    interrupted: bool = False

    @property
    def slope(self) -> np.ndarray:
        """d<R>/dT (I, L), which is -dKL/dln T."""
        return self.variance / self.temperatures**2

    @property
    def log_slope(self) -> np.ndarray:
        """d<R>/dln T (I, L)."""
        return self.variance / self.temperatures

    @property
    def bp_error(self) -> np.ndarray:
        """Difference (I, L) of the log Z of belief propagation to the exact one, without its sign."""
        return np.abs(self.bp_log_partition - self.log_partition)

    @property
    def energy_slope(self) -> np.ndarray:
        """d(-log Z)/dT (I, L)."""
        return -self.mean / self.temperatures**2

    @property
    def bp_energy_slope(self) -> np.ndarray:
        """d(-log Z)/dT (I, L) of belief propagation, whose log Z is stationary in the messages where it converged."""
        return -self.bp_mean / self.temperatures**2

    def peak(self, values: ArrayLike, seed: int = 0) -> tuple[float, float, float]:
        """Where and how high the mean over instances of values (I, L) is largest.

        Returns:
          Temperature, its standard error and the height; the error is the standard deviation over resampled instances.
        """
        random = np.random.Generator(np.random.Philox(check_seed(seed)))
        values = as_floats(values, "values", (None, len(self.temperatures)))
        if not len(values):
            raise ProblemError("values is empty; expected a row of numbers for each instance")
        chosen = random.integers(0, len(values), (RESAMPLES, len(values)))
        at = self.temperatures[values[chosen].mean(axis=1).argmax(axis=1)]
        mean = values.mean(axis=0)
        return float(self.temperatures[mean.argmax()]), float(at.std()), float(mean.max())


def sweep_temperatures(
    problems: Sequence[Rendezvous],
    temperatures: ArrayLike,
    progress: Callable[..., object] | None = None,
    **options: Any,
) -> TemperatureSweep:
    """`TemperatureSweep` of instances, exactly and by belief propagation.

    Args:
      problems: `Rendezvous` of the same number of walkers, whose own temperature does not count.
      temperatures: (L,) positive and rising.
      progress: function of the number of instances done and of their number.
      options: of belief propagation, as `CappedCounts.propagate`.

    Raises:
      ProblemError: if there is no problem, they differ in walkers, or the temperatures are not as they should be.
    """
    problems = check_sequence(problems, "problems", "Rendezvous")
    for i, problem in enumerate(problems):
        check_instance(problem, f"problems[{i}]", Rendezvous)
    temperatures = np.array(as_finite(temperatures, "temperatures", (None,)))
    check_function(progress, "progress", "instances done and their number")
    if not problems or len({len(problem.start) for problem in problems}) > 1:
        raise ProblemError(f"there are {len(problems)} problems; expected some, all with the same number of walkers")
    if not len(temperatures) or not temperatures[0] > 0.0 or not (np.diff(temperatures) > 0.0).all():
        raise ProblemError(f"temperatures is {shown(temperatures)}; expected positive numbers in rising order")
    follow = None if progress is None else lambda done: progress(done, len(problems))
    rows, interrupted = finished(lambda problem: _row(problem, temperatures, options), problems, LEAST, follow)
    return TemperatureSweep(temperatures, len(problems[0].start), *np.moveaxis(np.array(rows), -1, 0), interrupted)


def _row(problem, temperatures, options):
    """Numbers (L, 9) of one instance."""
    out = []
    for temperature in temperatures:
        one = problem.at(float(temperature))
        exact, bp = one.infer("exact"), one.infer("bp", **options)
        out.append(
            [exact.log_partition, exact.mean, exact.variance, exact.kl, exact.met.sum()]
            + [bp.log_partition, bp.mean, bp.sweeps, bp.status is Status.CONVERGED]
        )
    return out
