"""The one log-sum-exp and entropic mean, against sums in many digits and the compiled form for tables."""

import decimal
import math

import numpy as np
import pytest
from scipy.special import logsumexp

from ppi_robotics.entropic import entropic, log_mean_exp, log_softmax, log_sum
from ppi_robotics.kernels import bellman

TERMS = np.random.default_rng(0).normal(0.0, 300.0, (4, 5, 6))  # whose exponentials overflow


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2)])
def test_log_sum_is_that_of_scipy_over_any_axes(axis):
    np.testing.assert_allclose(log_sum(TERMS, axis), logsumexp(TERMS, axis=axis), rtol=1e-14)


def test_rows_of_zeros_stay_zeros_without_a_warning():
    terms = np.array([[-np.inf, -np.inf], [-np.inf, 3.0]])
    np.testing.assert_array_equal(log_sum(terms), [-np.inf, 3.0])
    np.testing.assert_array_equal(log_softmax(terms), [[-np.inf, -np.inf], [-np.inf, 0.0]])


@pytest.mark.parametrize("axis", [0, -1])
def test_log_softmax_has_probabilities_with_the_same_odds(axis):
    found = log_softmax(TERMS, axis)
    np.testing.assert_allclose(np.exp(found).sum(axis=axis), 1.0, rtol=1e-13)
    np.testing.assert_allclose(np.diff(found, axis=axis), np.diff(TERMS, axis=axis), atol=1e-11)  # of 1000 in size


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 50.0])
def test_log_mean_exp_keeps_its_digits_at_any_scale(scale):
    exponents = -scale * np.random.default_rng(1).uniform(size=20)
    with decimal.localcontext(prec=50):
        mean = sum(decimal.Decimal(float(x)).exp() for x in exponents) / len(exponents)
        expected = float(mean.ln())
    assert log_mean_exp(exponents) == pytest.approx(expected, rel=1e-14)


def test_the_compiled_log_sum_is_the_same():
    for row in (*TERMS[0], np.array([-np.inf, -1e300, 2.0]), np.array([-np.inf, -np.inf])):
        assert bellman.log_sum(row, len(row)) == pytest.approx(log_sum(row), rel=1e-14)


@pytest.mark.parametrize("weight", [-3.0, -1e-9, 1e-9, 0.5, 200.0])
def test_the_compiled_risk_is_the_entropic_mean(weight):
    """Of equal probabilities, by both forms: over next states, and over actions."""
    values = np.random.default_rng(2).uniform(-1.0, 1.0, 8)
    p, places = np.full(8, 0.125), np.arange(8)
    expected = entropic(values, weight)
    assert bellman.risk(p, places, 0, 8, values, weight) == pytest.approx(expected, abs=1e-14)
    if weight > 0.0:
        assert bellman.soft(values, np.log(p), weight) == pytest.approx(expected, abs=1e-14)
    assert math.isfinite(expected)


def test_the_compiled_soft_minimum_takes_probabilities_beyond_the_range_of_floats():
    Q, log_rho = np.array([0.0, 1000.0, 1.0]), np.array([-800.0, 0.0, -np.inf])
    expected = -logsumexp(log_rho[:2] - 2.0 * Q[:2]) / 2.0
    assert bellman.soft(Q, log_rho, 2.0) == pytest.approx(expected, rel=1e-15)
