"""Confidence intervals: coverage under several laws, refusals, and what they have in common with textbook ones."""

import math

import numpy as np
import pytest
import scipy.stats

import ppi_robotics as ppi
from ppi_robotics import intervals
from ppi_robotics.statistics import Evaluation

REPETITIONS = 1000
WEIGHTS = np.array([1.0, 0.5, 0.3, 0.1, 0.1])  # of squared normals, as the cost of a linear-quadratic problem is


def squares(weights):
    """A draw of sums of weighted squares of normals, and what is true of their law: mean, variance, entropic cost."""
    return (
        lambda rng, shape: rng.standard_normal((*shape, len(weights))) ** 2 @ weights,
        weights.sum(),
        2.0 * (weights**2).sum(),
        lambda eta: np.log1p(2.0 * eta * weights).sum() / (2.0 * eta),
    )


LAWS = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0, 1.0, lambda eta: -eta / 2.0),
    "linear-quadratic": squares(WEIGHTS),
    "chi-square of 1": squares(np.ones(1)),
    "chi-square of 4": squares(np.ones(4)),
}


def tail_mean(draw, level):
    """Mean of the worst share, to 3 digits, from many samples."""
    sample = np.sort(draw(np.random.default_rng(0), (1_000_000,)))
    return sample[int(level * len(sample)) :].mean()


def shares(found, truth):
    """Share of intervals, and share of those that hold the truth."""
    kept = [interval for interval in found if interval is not None]
    return len(kept) / len(found), np.mean([low <= truth <= high for low, high in kept])


def assert_covers(covered, low=0.93, high=0.97):
    """Within the bounds up to 4 standard errors of a share of the repetitions."""
    error = math.sqrt(0.95 * 0.05 / REPETITIONS)
    assert low - 4 * error < covered < high + 4 * error


@pytest.mark.parametrize("samples", [100, 1000])
@pytest.mark.parametrize("name", LAWS)
def test_intervals_cover_as_often_as_they_say(name, samples):
    """`benchmarks/coverage.py` does this with more repetitions. Normal intervals of the variance cover .83 to .93."""
    draw, mean, variance, entropic = LAWS[name]
    level, std = 1.0 - 20.0 / samples, math.sqrt(variance)  # the least tail that is not refused
    results = [Evaluation(row) for row in draw(np.random.default_rng(11), (REPETITIONS, samples))]
    asked = {
        "mean": (lambda e: e.mean_interval(), mean),
        "variance": (lambda e: e.variance_interval(), variance),
        "cvar": (lambda e: e.cvar_interval(level), tail_mean(draw, level)),
        "seeking": (lambda e: e.entropic_interval(0.3 / std), entropic(0.3 / std)),
        "averse": (lambda e: e.entropic_interval(-0.1 / std), entropic(-0.1 / std)),
    }
    for ask, truth in asked.values():
        kept, covered = shares([ask(result) for result in results], truth)
        assert kept > 0.97
        assert_covers(covered)


def test_skewed_costs_have_intervals_that_cover_or_none():
    """Lognormal costs: .90 of the intervals of mean and variance hold, of 100 samples and of 1000."""
    for samples in (100, 1000):
        rows = np.random.default_rng(12).lognormal(0.0, 1.0, (REPETITIONS, samples))
        results = [Evaluation(row) for row in rows]
        kept, covered = shares([e.mean_interval() for e in results], math.exp(0.5))
        assert kept > 0.97
        assert_covers(covered, low=0.90)
        _, covered = shares([e.variance_interval() for e in results], math.e * (math.e - 1.0))
        assert_covers(covered, low=0.90)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize(("count", "samples"), [(0, 10), (1, 10), (5, 10), (10, 10), (997, 1000), (1, 2)])
def test_success_intervals_are_clopper_s_and_pearson_s(count, samples, level):
    result = Evaluation(np.zeros(samples), np.arange(samples) < count)
    exact = scipy.stats.binomtest(count, samples).proportion_ci(level, "exact")
    np.testing.assert_allclose(result.success_interval(level), (exact.low, exact.high), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("p", "samples"), [(0.5, 20), (0.98, 50), (0.999, 100), (0.03, 1000)])
def test_success_intervals_cover_every_probability_at_least_as_often_as_they_say(p, samples):
    """Summed over the binomial distribution, which needs no repetitions; Wilson's cover .896 near 1."""
    counts = np.arange(samples + 1)
    ends = np.array([intervals.of_rate(int(count), samples, 0.95) for count in counts])
    holds = (ends[:, 0] <= p) & (p <= ends[:, 1])
    assert scipy.stats.binom(samples, p).pmf(counts)[holds].sum() >= 0.95


def test_without_skewness_the_mean_has_student_s_interval():
    sample = np.concatenate([np.arange(1.0, 40.0), -np.arange(1.0, 40.0)]) + 5.0
    exact = scipy.stats.t.interval(0.9, len(sample) - 1, sample.mean(), scipy.stats.sem(sample))
    np.testing.assert_allclose(Evaluation(sample).mean_interval(0.9), exact, rtol=1e-12)
    assert intervals.p_value(sample - 4.0) == pytest.approx(scipy.stats.ttest_1samp(sample, 4.0).pvalue, rel=1e-12)


def test_a_mean_lies_in_its_interval_just_where_its_p_value_says_so():
    """At whatever level, and however skewed the sample."""
    sample = np.random.default_rng(3).gamma(0.7, 2.0, 60)
    for level in (0.5, 0.9, 0.999):
        for end, outward in zip(Evaluation(sample).mean_interval(level), (-1e-9, 1e-9), strict=True):
            assert intervals.p_value(sample - end) == pytest.approx(1.0 - level, rel=1e-6)
            assert intervals.p_value(sample - end - outward * end) < intervals.p_value(sample - end + outward * end)


def test_intervals_widen_with_the_level_and_hold_the_estimate():
    result = Evaluation(np.random.default_rng(4).gamma(1.0, 1.0, 300), np.arange(300) < 100)
    for ask, estimate in (
        (result.mean_interval, result.mean),
        (result.variance_interval, result.variance),
        (lambda level: result.cvar_interval(0.9, level), result.cvar(0.9)),
        (lambda level: result.entropic_interval(0.2, level), result.entropic(0.2)),
        (lambda level: result.entropic_interval(-0.1, level), result.entropic(-0.1)),
        (result.success_interval, result.success_rate),
    ):
        lows, highs = zip(*map(ask, (0.5, 0.9, 0.99)), strict=True)
        assert sorted(lows, reverse=True) == list(lows)
        assert sorted(highs) == list(highs)
        assert lows[0] < estimate < highs[0]


def test_intervals_follow_units_and_offsets():
    sample = np.random.default_rng(5).gamma(2.0, 1.0, 200)
    plain = Evaluation(sample)
    for factor, offset in ((1e-80, 0.0), (1e80, 0.0), (2.0, -7.0)):
        other = Evaluation(factor * sample + offset)
        for ask, power, moved in (
            (lambda e, f: e.mean_interval(), 1, offset),
            (lambda e, f: e.variance_interval(), 2, 0.0),
            (lambda e, f: e.cvar_interval(0.8), 1, offset),
            (lambda e, f: e.entropic_interval(0.3 / f), 1, offset),
        ):
            expected = factor**power * np.array(ask(plain, 1.0)) + moved
            np.testing.assert_allclose(ask(other, factor), expected, rtol=1e-9)


def test_intervals_of_small_eta_go_over_into_that_of_the_mean():
    result = Evaluation(np.random.default_rng(6).gamma(2.0, 1.0, 200))
    for eta in (1e-9, -1e-9):
        np.testing.assert_allclose(result.entropic_interval(eta), result.mean_interval(), rtol=1e-7)
    assert result.entropic_interval(0.0) == result.mean_interval()


def test_equal_costs_have_intervals_without_width():
    result = Evaluation(np.full(60, 0.1))
    found = (result.mean_interval(), result.cvar_interval(0.5), result.entropic_interval(2.0))
    assert found == ((0.1, 0.1),) * 3
    assert result.variance_interval() == (0.0, 0.0)


def test_where_too_few_samples_count_there_is_no_interval_and_a_reason():
    rng = np.random.default_rng(7)
    few, many = Evaluation(rng.normal(size=100)), Evaluation(rng.normal(size=400))
    assert few.cvar_interval() is None
    assert few.why_no_interval("cvar") == "5 samples in the tail, and 20 are needed"
    assert many.cvar_interval() is not None
    assert many.why_no_interval("cvar") is None
    assert "49 samples" in Evaluation(rng.normal(size=49)).why_no_interval("variance")
    assert few.entropic_interval(-5.0) is None
    assert "make up the mean" in few.why_no_interval("entropic", -5.0)
    assert few.why_no_interval("success") == "there is no criterion of success"


def test_one_sample_that_makes_up_the_spread_leaves_no_interval():
    cost = np.random.default_rng(8).normal(size=200)
    cost[7] = 1e6
    result = Evaluation(cost)
    for found in (result.mean_interval(), result.variance_interval(), result.cvar_interval(0.8)):
        assert found is None
    assert "one sample" in result.why_no_interval("mean")
    assert math.isnan(intervals.p_value(cost))


def test_diverged_samples_leave_intervals_of_what_stays_finite():
    result = Evaluation(np.append(np.random.default_rng(9).normal(size=200), np.inf), np.arange(201) < 150)
    for statistic in (("mean",), ("variance",), ("cvar",), ("entropic", -0.1)):
        assert result.why_no_interval(*statistic) == "1 of 201 samples diverged"
    low, high = result.entropic_interval(0.5)
    assert low < result.entropic(0.5) < high
    assert result.success_interval() is not None


def test_a_table_without_intervals_says_why():
    text = str(Evaluation(np.random.default_rng(10).normal(size=30)))
    assert "[-]" in text
    assert "no interval of the variance: 30 samples, and 50 are needed" in text


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.mean_interval(95),
        lambda e: e.variance_interval(level=1.0),
        lambda e: e.cvar_interval(1.0),
        lambda e: e.cvar_interval(0.9, 0.0),
        lambda e: e.entropic_interval(math.nan),
        lambda e: e.entropic_interval("high"),
        lambda e: e.success_interval(None),
        lambda e: e.why_no_interval("median"),
        lambda e: e.why_no_interval("entropic", math.inf),
    ],
)
def test_questions_without_an_answer_are_refused(ask):
    with pytest.raises(ppi.ProblemError):
        ask(Evaluation(np.arange(100.0)))


def test_moments_tell_as_much_as_samples():
    sample = np.random.default_rng(5).exponential(size=200)
    moments = (float((sample**k).mean()) for k in (1, 2, 3))
    np.testing.assert_allclose(intervals.of_moments(*moments, 200, 0.95), intervals.of_mean(sample, 0.95), rtol=1e-10)
    assert intervals.of_moments(2.0, 4.0, 8.0, 5, 0.95) == (2.0, 2.0)
