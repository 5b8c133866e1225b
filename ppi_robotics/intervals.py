"""Confidence intervals of what is estimated from independent samples; each is (low, high), or the reason for none.

A statistic's error is a mean of influences u_1 ... u_N of the samples, to first order. With their skewness g,

    T = (estimate - truth) / standard error,   a = g / sqrt(N),   T + a T^2 / 3 + a^2 T^3 / 27 + a / 6  ~  Student's t

where the cubic, which rises everywhere, removes the skewness of T. P. Hall, *On the removal of skewness by
transformation* (Journal of the Royal Statistical Society B, 1992); for the variance's standard error D. G. Bonett,
*Approximate confidence interval for standard deviation of nonnormal distributions* (Computational Statistics & Data
Analysis, 2006). Measured coverage: `benchmarks/coverage.py`.
"""

import math

import numpy as np

FEWEST_IN_TAIL = 20  # samples that a tail, or what carries most of a weighted mean, must hold
FEWEST_FOR_VARIANCE = 50
MOST_SKEWED = 0.95  # a, whose bound is 1: one sample alone makes up the error
HEAVIEST = 0.4  # |eta| times the mean excess in the tail: the weights have no variance beyond 1 / 2

Interval = tuple[float, float] | str  # or the reason for none


def of_mean(cost: np.ndarray, level: float) -> Interval:
    """Interval of the mean of samples (N,)."""
    center = float(cost[0])
    deviation = cost - center  # equal samples have a mean without rounding
    mean = float(deviation.mean())
    if not math.isfinite(mean):
        return "costs too large to be squared"
    low_high = _straightened(mean, _error_of_mean(deviation), deviation, level)
    return low_high if isinstance(low_high, str) else (center + low_high[0], center + low_high[1])


def of_variance(ordered: np.ndarray, variance: float, level: float) -> Interval:
    """Interval of the variance, estimated from rising samples (N,)."""
    n = len(ordered)
    if n < FEWEST_FOR_VARIANCE:
        return f"{n} samples, and {FEWEST_FOR_VARIANCE} are needed"
    deviation = ordered - ordered.mean()
    scale = np.abs(deviation).max()
    if scale == 0.0 or variance == 0.0:
        return 0.0, 0.0
    if not math.isfinite(scale) or not math.isfinite(variance):
        return "costs too large to be squared"
    squares = (deviation / scale) ** 2
    cut = int(n / (2.0 * math.sqrt(n - 4)))  # a trimmed mean, so that outliers do not hide each other
    fourth = (((ordered - ordered[cut : n - cut].mean()) / scale) ** 4).sum()
    kurtosis = n * fourth / squares.sum() ** 2
    error = variance * math.sqrt((kurtosis - (n - 3) / n) / (n - 1)) * n / (n - _normal_quantile(level))
    low_high = _straightened(variance, error, squares, level)
    return low_high if isinstance(low_high, str) else (max(low_high[0], 0.0), low_high[1])


def of_cvar(estimate: float, error: float, excess: np.ndarray, share: float, level: float) -> Interval:
    """Interval of a mean over the worst share of the samples; `excess` (N,) is what exceeds that share's least cost."""
    tail = round(len(excess) * share, 6)
    if tail < FEWEST_IN_TAIL:
        return f"{tail:.3g} samples in the tail, and {FEWEST_IN_TAIL} are needed"
    return _straightened(estimate, error, excess, level)


def of_entropic(eta: float, ordered: np.ndarray, level: float) -> Interval:
    """Interval of -(1/eta) log E exp(-eta C), eta not 0, from rising samples (N,)."""
    extreme = ordered[0 if eta > 0.0 else -1]
    with np.errstate(over="ignore"):
        relative = np.expm1(-eta * (ordered - extreme))  # weights less 1, which keeps the digits of weights near 1
    weights = 1.0 + relative
    carriers = weights.sum() ** 2 / (weights**2).sum()
    if carriers < FEWEST_IN_TAIL:
        return f"{carriers:.3g} samples make up the mean of exp(-eta C), and {FEWEST_IN_TAIL} are needed"
    outermost = ordered if eta > 0.0 else -ordered[::-1]
    count = max(min(FEWEST_IN_TAIL, len(ordered) // 5), 1)
    if abs(eta) * (outermost[count] - outermost[:count].mean()) > HEAVIEST:
        return "eta is too large for so few samples: exp(-eta C) may have no variance"
    mean = float(relative.mean())
    low_high = _straightened(mean, _error_of_mean(relative), relative, level)
    if isinstance(low_high, str):
        return low_high
    if low_high[0] <= -1.0:
        return "too few samples for a bound"
    ends = [float(extreme - math.log1p(end) / eta) for end in low_high]
    return min(ends), max(ends)


def of_moments(mean: float, second: float, third: float, samples: int, level: float) -> tuple[float, float] | str:
    """Interval of a mean of samples, from their mean and the means of their squares and cubes."""
    variance = second - mean**2
    if variance <= 0.0 or samples < 2:
        return (mean, mean) if samples >= 2 else "one sample, and 2 are needed"
    skewness = (third - 3.0 * mean * second + 2.0 * mean**3) / variance**1.5
    error, a = math.sqrt(variance / (samples - 1)), skewness / math.sqrt(samples)
    return _of_skewed(mean, error, _of_few(a, samples), samples, level)


def of_rate(count: int, samples: int, level: float) -> tuple[float, float]:
    """Clopper's and Pearson's interval of a probability, which covers at least as often as it says."""
    from scipy.special import betaincinv  # takes longer to import than the rest of the package

    tail = (1.0 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, samples - count + 1, tail))
    high = 1.0 if count == samples else float(betaincinv(count + 1, samples - count, 1.0 - tail))
    return low, high


def p_value(sample: np.ndarray) -> float:
    """Probability of a sample mean this far from 0 on either side, if it is 0 in truth; nan where no interval is."""
    from scipy.special import stdtr

    n, mean, error = len(sample), float(sample.mean()), _error_of_mean(sample)
    if error == 0.0:
        return float(mean == 0.0)
    a, T = _asymmetry(sample), mean / error
    return 2.0 * float(stdtr(n - 1, -abs(T + a * T**2 / 3 + a**2 * T**3 / 27 + a / 6)))


def _straightened(estimate, error, influence, level):
    """Interval about an estimate with a standard error; influence (N,) is of any scale and offset."""
    if error == 0.0:
        return estimate, estimate
    if not math.isfinite(error):
        return "costs too large to be squared"
    return _of_skewed(estimate, error, _asymmetry(influence), len(influence), level)


def _of_skewed(estimate, error, a, samples, level):
    """Interval about an estimate of asymmetry a."""
    if math.isnan(a):
        return "too skewed: one sample makes up nearly all of the variance"
    t = _student_quantile(level, samples - 1)
    return estimate - error * _inverse(t, a), estimate - error * _inverse(-t, a)


def _inverse(t, a):
    """The T whose transform is t."""
    if a == 0.0:
        return t
    y = a * (t - a / 6)
    root = math.expm1(math.log1p(y) / 3) if y > -0.5 else float(np.cbrt(1.0 + y)) - 1.0
    return 3.0 * root / a


def _asymmetry(influence):
    """Skewness over sqrt(N); nan where it is too large for an interval."""
    n, deviation = len(influence), influence - influence.mean()
    scale = np.abs(deviation).max()
    if scale == 0.0:
        return 0.0
    deviation = deviation / scale
    a = float((deviation**3).mean() / (deviation**2).mean() ** 1.5) / math.sqrt(n)
    return _of_few(a, n)


def _of_few(a, n):
    """The asymmetry of which n samples show too little; nan where it is too large for an interval."""
    return a * (1.0 + 0.5 / math.sqrt(n)) if abs(a) <= MOST_SKEWED else math.nan


def _error_of_mean(sample):
    """Standard error of the mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        scale = float(np.abs(sample - sample.mean()).max())
        if scale == 0.0 or not math.isfinite(scale):
            return scale
        return scale * float((sample / scale).std(ddof=1)) / math.sqrt(len(sample))


def _student_quantile(level, freedom):
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _normal_quantile(level):
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))
