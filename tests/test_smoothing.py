"""Smoothings of sampled controls: their correlation over time, and how a distribution moves on with the horizon."""

import numpy as np
import pytest
from oracles import close
from scipy.special import gamma, kv

from ppi_robotics.errors import ProblemError
from ppi_robotics.sampling.noise_shapes import AR1, NUGGET, Colored, Kernel, Splines, White

DT = 0.05
KERNELS = {
    "squared_exponential": Kernel("squared_exponential", 0.2),
    "matern12": Kernel("matern12", 0.3),
    "matern32": Kernel("matern32", 0.2),
    "matern52": Kernel("matern52", 0.2),
    "periodic": Kernel("periodic", 0.1, period=0.7),
}
OTHERS = {
    "white": White(),
    "ar1": AR1(0.7),
    "pink": Colored(1.0),
    "brown": Colored(),
    "held": Splines(4, degree=0),
    "linear": Splines(5, degree=1),
    "cubic": Splines(6),
}
ALL = {**KERNELS, **OTHERS}
every_smoothing = pytest.mark.parametrize("smoothing", ALL.values(), ids=ALL)
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def correlation(smoothing, T, dt=DT):
    factor = smoothing.factor(T, dt)
    assert factor.dtype == float
    assert factor.flags.c_contiguous
    assert len(factor) == T
    return factor @ factor.T


def lags(T):
    return np.abs(np.subtract.outer(np.arange(T), np.arange(T)))


def random_covariance(seed, T):
    factor = np.random.default_rng(seed).normal(size=(T, T)) / np.sqrt(T)
    return factor @ factor.T


# -- correlations ------------------------------------------------------------------------------------------------------


def test_white_stages_are_independent():
    close(correlation(White(), 7), np.eye(7), 0.0)


@pytest.mark.parametrize("b", [0.0, 0.3, 0.99])
def test_ar1_has_unit_variance_and_correlation_b_to_the_lag(b):
    P = correlation(AR1(b), 40)
    close(np.diag(P), np.ones(40), 1e-14)
    close(np.diag(P, 1), np.full(39, b), 1e-14)
    close(P, b ** lags(40).astype(float), 1e-14)


def test_ar1_is_its_recursion():
    w = np.random.default_rng(0).normal(size=30)
    e = [w[0]]
    for normal in w[1:]:
        e.append(0.8 * e[-1] + 0.6 * normal)
    close(AR1(0.8).factor(30, DT) @ w, e, 1e-14)


@pytest.mark.parametrize("T", [1, 2, 3, 24, 25])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.5])
def test_colored_noise_has_unit_variance_and_a_power_law_spectrum(T, exponent):
    P = correlation(Colored(exponent), T)
    close(np.diag(P), np.ones(T), 1e-14)
    fourier = np.fft.fft(np.eye(T)) / np.sqrt(T)
    spectrum = fourier @ P @ fourier.conj().T
    power = np.diag(spectrum).real
    close(np.abs(spectrum - np.diag(power)), np.zeros((T, T)), 1e-13)  # stationary: frequencies are independent
    j = np.arange(1, T // 2 + 1)
    # relative to the power itself, which spans decades
    close(power[j] / power[min(1, T - 1)] * j**exponent, np.ones(len(j)), 1e-9)
    assert power[0] == pytest.approx(power[min(1, T - 1)], rel=1e-12)


def test_colored_noise_of_exponent_0_is_white_and_of_a_huge_one_a_single_wave():
    close(correlation(Colored(0.0), 12), np.eye(12), 1e-14)
    close(correlation(Colored(1e4), 12), (1.0 + 2.0 * np.cos(2.0 * np.pi * lags(12) / 12)) / 3.0, 1e-14)


def bessel_form(order, s):
    """Matern correlation of any order."""
    argument = np.sqrt(2.0 * order) * np.where(s > 0, s, 1.0)
    return np.where(s > 0, 2.0 ** (1.0 - order) / gamma(order) * argument**order * kv(order, argument), 1.0)


@pytest.mark.parametrize(("name", "order"), [("matern12", 0.5), ("matern32", 1.5), ("matern52", 2.5)])
def test_matern_kernels_equal_their_bessel_form(name, order):
    close(correlation(Kernel(name, 0.3), 20), bessel_form(order, lags(20) * DT / 0.3), 3e-8)  # nugget 1e-8


def test_smooth_kernels_equal_their_closed_forms_but_for_the_nugget():
    d = lags(30) * DT
    length, period = 0.25, 0.8
    forms = {
        "squared_exponential": np.exp(-(d**2) / (2.0 * length**2)),
        "periodic": np.exp(-2.0 * np.sin(np.pi * d / period) ** 2 / (2.0 * np.pi * length / period) ** 2),
    }
    for name, form in forms.items():
        nugget = NUGGET[name]
        kernel = Kernel(name, length, period if name == "periodic" else None)
        close(correlation(kernel, 30), (form + nugget * np.eye(30)) / (1.0 + nugget), 1e-12)


def test_the_periodic_kernel_repeats_and_is_locally_the_squared_exponential():
    P = correlation(Kernel("periodic", 0.3, period=8 * DT), 20)
    close(P[8:, :12], P[:12, :12], 1e-3)  # nugget 1e-3
    local = correlation(Kernel("periodic", 0.3, period=1e4), 20)
    close(local, correlation(Kernel("squared_exponential", 0.3), 20), 1e-8)


def test_matern12_is_ar1_in_seconds():
    close(correlation(Kernel("matern12", 0.4), 25), correlation(AR1(np.exp(-DT / 0.4)), 25), 3e-8)  # nugget 1e-8


@every_kernel
@pytest.mark.parametrize("length", [1e-300, 1e-3, 1e6])
def test_kernels_of_any_length_have_unit_variance(kernel, length):
    close(np.diag(correlation(Kernel(kernel.name, length, kernel.period), 100, 1e-3)), np.ones(100), 1e-12)


# -- splines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [6, 7, 50])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_splines_reproduce_constants_and_polynomials_of_their_degree(T, degree):
    factor = Splines(6, degree).factor(T, DT)
    assert factor.shape == (T, 6)
    close(factor.sum(axis=1), np.ones(T), 1e-14)
    knots = np.linspace(0.0, 1.0, 6)
    for power in range(degree + 1):
        close(factor @ knots**power, np.linspace(0.0, 1.0, T) ** power, 1e-13)


@pytest.mark.parametrize("degree", [1, 3])
def test_splines_pass_through_their_knots(degree):
    close(Splines(5, degree).factor(21, DT)[::5], np.eye(5), 1e-14)


def test_linear_splines_equal_linear_interpolation():
    values = np.random.default_rng(0).normal(size=4)
    expected = np.interp(np.arange(18), np.linspace(0, 17, 4), values)
    close(Splines(4, 1).factor(18, DT) @ values, expected, 1e-14)


def test_held_splines_are_steps_of_lengths_that_differ_by_at_most_one_stage():
    held = Splines(3, 0).factor(11, DT)
    assert set(held.ravel()) == {0.0, 1.0}
    assert (np.diff(held @ np.arange(3)) >= 0.0).all()
    assert set(held.sum(axis=0)) == {3.0, 4.0}
    close(Splines(3, 0).factor(6, DT) @ [1.0, 2.0, 3.0], [1, 1, 2, 2, 3, 3], 0.0)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_a_knot_a_stage_is_white(degree):
    close(Splines(6, degree).factor(6, DT), np.eye(6), 1e-13)


# -- a horizon that moves on -------------------------------------------------------------------------------------------


@every_smoothing
def test_a_horizon_that_stays_keeps_its_distribution(smoothing):
    cov = random_covariance(0, 12)
    close(smoothing.shifted(cov, 0, DT, anneal=1.0), cov, 1e-14)
    P = correlation(smoothing, 12)
    close(smoothing.shifted(P, 0, DT, anneal=0.4), P, 1e-12)


@every_smoothing
@pytest.mark.parametrize("stages", [1, 5, 12, 30])
def test_without_anneal_the_covariance_is_the_prior(smoothing, stages):
    cov = random_covariance(1, 12)
    close(smoothing.shifted(cov, stages, DT), correlation(smoothing, 12), 1e-12)


@every_smoothing
@pytest.mark.parametrize("stages", [1, 4, 11, 12, 20])
@pytest.mark.parametrize("anneal", [0.3, 1.0])
def test_covariances_stay_semidefinite_and_blend_linearly(smoothing, stages, anneal):
    cov = random_covariance(2, 12)
    moved = smoothing.shifted(cov, stages, DT, anneal)
    close(moved, moved.T, 0.0)
    eigenvalues = np.linalg.eigvalsh(moved)
    assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]
    full = smoothing.shifted(cov, stages, DT, 1.0)
    P = correlation(smoothing, 12)
    close(moved, (1.0 - anneal) * P + anneal * full, 1e-9)  # regression through the nugget of 1e-8
    kept = max(12 - stages, 0)
    close(full[:kept, :kept], cov[stages:, stages:], 1e-9)


@pytest.mark.parametrize("smoothing", [White(), AR1(0.7), *KERNELS.values()], ids=["white", "ar1", *KERNELS])
@pytest.mark.parametrize("stages", [1, 6, 12])
def test_the_prior_moves_on_as_itself(smoothing, stages):
    P = correlation(smoothing, 12)
    close(smoothing.shifted(P, stages, DT, 1.0), P, 1e-12)


@pytest.mark.parametrize("smoothing", [White(), AR1(0.7)], ids=["white", "ar1"])
def test_two_moves_of_a_markov_prior_are_one(smoothing):
    cov = random_covariance(4, 12)
    once = smoothing.shifted(cov, 5, DT, 1.0)
    close(smoothing.shifted(smoothing.shifted(cov, 2, DT, 1.0), 3, DT, 1.0), once, 1e-14)


def test_ar1_and_matern12_move_covariances_alike():
    cov = random_covariance(5, 15)
    matern, ar1 = Kernel("matern12", 0.4), AR1(np.exp(-DT / 0.4))
    close(matern.shifted(cov, 4, DT, 1.0), ar1.shifted(cov, 4, DT, 1.0), 1e-6)  # nugget over 1 - b^2


@every_kernel
@pytest.mark.parametrize("stages", [3, 14])
def test_kernels_move_on_as_the_joint_gaussian_of_both_horizons(kernel, stages):
    """Reweigh the old stages of the prior over both horizons from N(0, K) to N(m, S), and read off the others."""
    T = 10
    cov = random_covariance(6, T)
    joint = correlation(kernel, T + stages)
    K, across = joint[:T, :T], joint[:, :T]
    gain = across @ np.linalg.pinv(K, rcond=1e-14, hermitian=True)
    expected = joint - 0.6 * gain @ (K - cov) @ gain.T
    moved = kernel.shifted(cov, stages, DT, 0.6)
    close(moved, expected[stages:, stages:], 1e-7)


@pytest.mark.parametrize("name", ["squared_exponential", "matern12", "matern32", "matern52"])
def test_kernels_revert_to_the_prior_beyond_the_old_horizon(name):
    cov = Kernel(name, 0.1).shifted(0.01 * np.eye(8), 100, DT, 1.0)
    close(cov, correlation(Kernel(name, 0.1), 8), 1e-9)


def test_appended_stages_of_ar1_hang_on_the_last_carried_one():
    cov = 1e-6 * np.eye(6)
    moved = AR1(0.9).shifted(cov, 3, DT, 1.0)
    j = np.arange(1, 4)
    close(np.diag(moved)[3:], 1.0 - 0.9 ** (2.0 * j) * (1.0 - 1e-6), 1e-14)
    close(moved[2, 3:], 1e-6 * 0.9**j, 1e-14)
    close(moved[:2, 3:], np.zeros((2, 3)), 0.0)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AR1(1.0), "correlation is 1.0;"),
        (lambda: AR1(-0.1), "at least 0 and below 1"),
        (lambda: AR1("high"), "correlation is 'high'"),
        (lambda: AR1(np.nan), "correlation is nan; expected a finite"),
        (lambda: Colored(-1.0), "exponent is -1.0;"),
        (lambda: Colored(np.inf), "exponent is inf; expected a finite"),
        (lambda: Kernel("rbf", 1.0), "choose from squared_exponential"),
        (lambda: Kernel(None, 1.0), "name is None"),
        (lambda: Kernel("matern32", 0.0), "length is 0.0;"),
        (lambda: Kernel("periodic", 1.0), "needs a period"),
        (lambda: Kernel("periodic", 1.0, -2.0), "period is -2.0;"),
        (lambda: Kernel("matern12", 1.0, 2.0), "only periodic does"),
        (lambda: Splines(3), "knots is 3; expected a whole number, at least 4"),
        (lambda: Splines(1, 1), "at least 2"),
        (lambda: Splines(2.5, 1), "whole number"),
        (lambda: Splines(8, 2), "choose from 0, 1, 3"),
        (lambda: Splines(8, True), "degree is True"),
        (lambda: Splines(8).factor(7, DT), "knots is 8 for a horizon of 7 stages"),
        (lambda: White().factor(0, DT), "T is 0"),
        (lambda: Colored().factor(5, 0.0), "dt is 0.0"),
        (lambda: White().shifted(np.ones((3, 4)), 1, DT), "cov has shape"),
        (lambda: White().shifted(np.eye(3), -1, DT), "stages is -1"),
        (lambda: KERNELS["matern12"].shifted(np.eye(3), 1, DT, 1.1), "anneal is 1.1"),
        (lambda: KERNELS["matern12"].shifted(np.eye(3), 1, -DT), "dt is -0.05"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ProblemError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
