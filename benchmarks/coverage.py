"""How often 95 % intervals hold the truth, over 4,000 repetitions of several laws of the cost: coverage, not times.

`python -m benchmarks.coverage [law ...]` prints one line per law, number of samples and statistic; it takes some
minutes for all of them. Coverage is known to 0.7 % (two standard errors); "given" is the share of repetitions in which
there is an interval at all.
"""

import math
import sys

import numpy as np

from ppi_robotics.statistics import Evaluation

REPETITIONS, SAMPLES = 4000, (100, 1000)
WEIGHTS = np.array([1.0, 0.5, 0.3, 0.1, 0.1])  # of squared normals: a linear-quadratic problem's cost is such a sum
LAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "linear-quadratic": lambda rng, shape: rng.standard_normal((*shape, 5)) ** 2 @ WEIGHTS,
    "chi-square, 1": lambda rng, shape: rng.chisquare(1, shape),
    "chi-square, 4": lambda rng, shape: rng.chisquare(4, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0.0, 1.0, shape),
}
RATES = (0.5, 0.9, 0.98, 0.999)


def truths(draw, levels, shares):
    """What is true of a law, to about 4 digits, by name, from ten million draws."""
    cost = np.sort(draw(np.random.default_rng(1), (10_000_000,)))
    mean, std = cost.mean(), cost.std()
    found = {"mean": mean, "variance": std**2}
    found |= {f"CVaR {100 * level:g} %": cost[int(level * len(cost)) :].mean() for level in levels}
    for part in shares:
        eta = part / std
        found[f"entropic, eta std = {part:g}"] = mean - math.log(np.exp(-eta * (cost - mean)).mean()) / eta
    return found, std


def study(name):
    """Print the coverage under a law."""
    draw, levels = LAWS[name], (0.8, 0.95)
    shares = (0.5, 0.1) if name == "lognormal" else (0.5, 0.1, -0.1)  # exp(|eta| C) of lognormal costs has no mean
    truth, std = truths(draw, levels, shares)
    rng = np.random.default_rng(2)
    for samples in SAMPLES:
        held = {statistic: [] for statistic in truth}
        for _ in range(REPETITIONS):
            e = Evaluation(draw(rng, (samples,)))
            found = [e.mean_interval(), e.variance_interval(), *map(e.cvar_interval, levels)]
            found += [e.entropic_interval(part / std) for part in shares]
            for (statistic, value), interval in zip(truth.items(), found, strict=True):
                if interval is not None:
                    held[statistic].append(interval[0] <= value <= interval[1])
        for statistic, hits in held.items():
            covered = f"{np.mean(hits):.3f}" if hits else "-"
            print(f"{name:18s}{samples:6d}  {statistic:24s}{covered:>7s}  given {len(hits) / REPETITIONS:.3f}")


def rates():
    """Print the coverage of success rates."""
    rng = np.random.default_rng(3)
    for p in RATES:
        for samples in SAMPLES:
            counts = rng.binomial(samples, p, REPETITIONS)
            results = [Evaluation(np.zeros(samples), np.arange(samples) < count) for count in counts]
            ends = np.array([result.success_interval() for result in results])
            covered = np.mean((ends[:, 0] <= p) & (p <= ends[:, 1]))
            print(f"{f'successes, {p:g}':18s}{samples:6d}  {'success rate':24s}{covered:7.3f}  given 1.000")


if __name__ == "__main__":
    for law in sys.argv[1:] or LAWS:
        study(law)
    if not sys.argv[1:]:
        rates()
