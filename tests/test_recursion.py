"""The recursion in numpy and the compiled one are the same: every number of both passes, and every breakdown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracles import close, random_baseline, random_model

import ppi_robotics as ppi
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.recursion import ENGINES, backward, forward, policy_step, q_step, risk_step
from ppi_robotics.values import joint_covariances, marginals

WEIGHTS = [(np.inf, 0.0), (np.inf, 0.4), (np.inf, -0.05), (0.7, 0.0), (0.7, 0.7), (2.0, -0.05)]
SEEDS = range(5)


def same(one, other, tolerance=1e-10):
    """Both passes agree in every field from the stage on at which they broke down, if they did."""
    a, b = one.breakdown, other.breakdown
    assert (a is None) == (b is None)
    first = 0
    if a is not None:
        assert (a.kind, a.stage) == (b.kind, b.stage)
        assert str(a) == str(b)
        if np.isfinite(a.bound):
            close(a.bound, b.bound, tolerance)
        first = a.stage + 1
    for name in ("P_ahead", "p_ahead", "K", "k", "H", "noise_price"):
        close(getattr(one, name)[first:], getattr(other, name)[first:], tolerance)
    for mine, theirs in zip(one.value, other.value, strict=True):
        close(mine[first:], theirs[first:], tolerance)
    if a is None:
        close([one.slope, one.curvature], [other.slope, other.curvature], tolerance)


def both(model, *arguments, **options):
    """The compiled pass, after a check that the reference is the same."""
    sweep = backward(model, *arguments, **options)
    same(backward(model, *arguments, **options, engine="reference"), sweep)
    return sweep


def growing(model, seed):
    """The model with a last noise that grows with state and control."""
    T, nx, nu = model.B.shape
    return replace(model, E=0.2 * np.random.default_rng([seed, 4]).normal(size=(T, 1, nx, nx + nu)))


@pytest.mark.parametrize("grown", [False, True])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_both_engines_give_the_same_values_and_policies(weights, grown):
    for seed in SEEDS:
        model = random_model(seed, indefinite=seed % 2 == 1)
        model = growing(model, seed) if grown else model
        both(model, *weights)
        both(model, *weights, random_baseline(seed, model))
        both(model, *weights, damping=(0.3, 1.7))
        both(model, *weights, random_baseline(seed, model), damping=(np.array([0.1, 0.0, 2.0]), np.array([0.5, 0.2])))


@pytest.mark.parametrize("lambda_transition", [-0.05, 0.0, 0.4])
def test_both_engines_evaluate_a_baseline_alike(lambda_transition):
    for seed in SEEDS:
        model = random_model(seed)
        baseline = random_baseline(seed, model)
        sweep = both(model, 0.0, lambda_transition, baseline)
        close(sweep.K, baseline.K, 0.0)


@pytest.mark.parametrize("weights", [(np.inf, 0.0), (0.7, 0.4)])
def test_both_engines_keep_the_feedforward_in_a_box(weights):
    clamped = 0
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 3])
        box = np.stack([-rng.uniform(size=(4, 2)), rng.uniform(size=(4, 2))], axis=2)
        sweep = both(random_model(seed), *weights, box=box)
        clamped += np.count_nonzero((sweep.K == 0.0).all(axis=2))
    assert clamped > 0


@pytest.mark.parametrize("weights", WEIGHTS)
def test_both_engines_follow_the_same_path(weights):
    for seed in SEEDS:
        model, x0 = random_model(seed), np.array([1.0, -0.5, 0.2])
        sweep = backward(model, *weights)
        for one, other in zip(forward(model, sweep, x0), forward(model, sweep, x0, "reference"), strict=True):
            close(one, other, 1e-12)


@pytest.mark.parametrize("weights", [(np.inf, 0.0), (0.7, 0.7), (0.7, -0.05)])
def test_both_engines_believe_the_same(weights):
    initial = Gaussian(np.array([0.5, -1.0, 0.3]), np.diag([0.4, 0.0, 0.7]))
    for seed in SEEDS:
        model = random_model(seed)
        sweep = backward(model, *weights)
        one, other = (marginals(model, sweep, initial, engine) for engine in ENGINES)
        close(one.mean, other.mean, 1e-12)
        close(one.cov, other.cov, 1e-12)
        for tilted, own_noise in ((True, False), (False, True)):
            how = model, sweep, initial.cov, tilted, own_noise
            for a, b in zip(*(joint_covariances(*how, engine) for engine in ENGINES), strict=True):
                close(a, b, 1e-12)


def test_both_engines_break_down_at_the_same_stage_and_bound():
    kinds = set()
    for seed in range(20):
        model = random_model(seed)
        for weights in ((np.inf, -2.0), (0.7, -1.0)):
            found = both(model, *weights).breakdown
            kinds.add(found and (found.kind, found.stage))
        Cuu = model.Cuu.copy()
        Cuu[seed % 4] -= 50.0 * np.eye(2)
        kinds.add(both(replace(model, Cuu=Cuu)).breakdown.kind)
        for name in ("A", "B", "Cxx", "Cuu", "cu"):
            array = getattr(model, name).copy()
            array[seed % 4].flat[0] = np.nan
            kinds.add(both(replace(model, **{name: array})).breakdown.kind)
    assert {"indefinite", "non-finite"} < kinds
    assert len(kinds) > 5  # risk at several stages


def test_rows_of_the_recursion_are_its_equations():
    """One scalar stage by hand: V = x^2, noise of variance 1/4, cost u^2 / 2, and lS = 2."""
    V, G = (np.array([[2.0]]), np.array([0.0]), 0.0), np.array([[0.5]])
    P, p, p0 = risk_step(V, G, 2.0)
    close([P[0, 0], p[0], p0], [2.0 / 2.0, 0.0, np.log(2.0) / 4.0])
    model = random_model(0, T=1, sizes=(1, 1, 1))
    one, zero = np.ones((1, 1, 1)), np.zeros((1, 1))
    model = replace(model, A=one, B=one, d=zero, Cux=0 * one, Cuu=one, cu=zero, Cxx=np.zeros((2, 1, 1)))
    model = replace(model, cx=np.zeros((2, 1)), c0=np.zeros(2))
    Q, H = q_step(model, 0, (P, p, p0)), np.empty((1, 1))
    (K, k), (P, _, p0), _ = policy_step(Q, None, np.inf, np.zeros(1), None, H)
    close([K[0, 0], k[0], H[0, 0], P[0, 0], p0], [-0.5, 0.0, 2.0, 0.5, np.log(2.0) / 4.0])


def test_an_unknown_engine_is_refused():
    with pytest.raises(ppi.ProblemError, match="engine is 'fast'; choose from compiled, reference"):
        backward(random_model(0), engine="fast")


def test_the_readme_leads_to_the_recursion_by_one_link():
    readme = Path(__file__).parents[1] / "README.md"
    assert "](ppi_robotics/recursion.py)" in readme.read_text(encoding="utf-8")
