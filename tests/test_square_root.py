"""Sums of squares are never called indefinite: the sweep on square roots against the ordinary one and against decimals.

The decimals have 300 digits, so that the references are exact beside anything that floats do.
"""

import math
from dataclasses import replace
from decimal import Decimal, localcontext
from types import SimpleNamespace

import numpy as np
import pytest
from oracles import close, random_baseline, random_model

from ppi_robotics import recursion
from ppi_robotics.recursion import LocalModel, backward

T, NX, NU, NW = 20, 3, 2, 2
FIELDS = ("K", "k", "H", "noise_price", "P_ahead", "p_ahead", "slope", "curvature")


@pytest.fixture
def by_roots(monkeypatch):
    """`backward` where the compiled sweep always breaks down."""

    def sweep(*arguments, **options):
        with monkeypatch.context() as patch:
            broken = SimpleNamespace(backward=lambda *_: (2, 0, 0.0, 0.0))
            patch.setattr(recursion, "compiled", lambda *_: broken)
            return backward(*arguments, **options)

    return sweep


def boxes(seed, T, size=0.3):
    rng = np.random.default_rng([seed, 5])
    return size * np.stack([-rng.uniform(size=(T, NU)), rng.uniform(size=(T, NU))], axis=2)


# -- where rounding is harmless ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lambda_policy", [0.7, math.inf])
@pytest.mark.parametrize("lambda_transition", [0.0, 0.4])
@pytest.mark.parametrize("damping", [(0.0, 0.0), (0.3, np.array([0.2, 0.5]))])
@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("growing", [False, True])
def test_both_sweeps_agree(by_roots, lambda_policy, lambda_transition, damping, boxed, growing):
    for seed in range(6):
        model = random_model(seed)
        if growing:
            model = replace(model, E=0.2 * np.random.default_rng(seed).normal(size=(4, 1, NX, NX + NU)))
        options = {"damping": damping, "box": boxes(seed, 4) if boxed else None}
        sweep, other = (f(model, lambda_policy, lambda_transition, **options) for f in (backward, by_roots))
        assert sweep.breakdown is None
        assert other.breakdown is None
        for name in FIELDS:
            close(getattr(other, name), getattr(sweep, name))
        for name in ("P", "p", "p0"):
            close(getattr(other.value, name), getattr(sweep.value, name))


def test_closed_and_infinite_boxes(by_roots):
    for seed in range(3):
        model, k = random_model(seed), 0.2 * np.random.default_rng(seed).normal(size=(4, NU))
        closed, opened = np.stack([k, k], axis=2), np.tile([-np.inf, np.inf], (4, NU, 1))
        for box in (closed, opened):
            sweep, other = backward(model, box=box), by_roots(model, box=box)
            for name in FIELDS:
                close(getattr(other, name), getattr(sweep, name))


# -- where it is not ---------------------------------------------------------------------------------------------------


def steep(seed, kind, effort):
    """A sum of squares over maps with entries up to 10,000: dense, or jumps of rank one every other stage or so."""
    rng = np.random.default_rng(seed)
    A = 1e4 * rng.uniform(-1.0, 1.0, size=(T, NX, NX))
    if kind == "jumps":
        A *= rng.uniform(-1.0, 1.0, size=(T, NX, 1)) * (rng.uniform(size=(T, 1, 1)) < 0.5)
        A = np.eye(NX) + A[:, :, :1] * rng.uniform(-1.0, 1.0, size=(T, 1, NX))
    J = rng.normal(size=(T + 1, NX + NU, NX + NU))
    J[:, :, NX:] *= effort
    C, c = np.einsum("tij,tik->tjk", J, J), np.einsum("tij,ti->tj", J, rng.normal(size=(T + 1, NX + NU)))
    return LocalModel(
        A=A,
        B=rng.uniform(-1.0, 1.0, size=(T, NX, NU)),
        d=np.zeros((T, NX)),
        G=0.1 * rng.normal(size=(T, NX, NW)),
        Cxx=np.ascontiguousarray(C[:, :NX, :NX]),
        Cux=np.ascontiguousarray(C[:T, NX:, :NX]),
        Cuu=np.ascontiguousarray(C[:T, NX:, NX:]),
        cx=np.ascontiguousarray(c[:, :NX]),
        cu=np.ascontiguousarray(c[:T, NX:]),
        c0=np.zeros(T + 1),
    )


def decimals(a):
    return np.vectorize(Decimal, otypes=[object])(np.asarray(a, dtype=float))


def eliminate(H, Y):
    """H^-1 Y for decimals, by Gauss and Jordan."""
    n = len(H)
    Z = np.hstack([H, Y])
    for j in range(n):
        Z[j] = Z[j] / Z[j, j]
        for i in range(n):
            if i != j:
                Z[i] = Z[i] - Z[i, j] * Z[j]
    return Z[:, n:]


def exact(model, lS, damping=0.0, held=None):
    """K, k and gradients in the controls by the ordinary recursion; controls that are not nan in `held` stay there."""
    P, p, out, weight = decimals(model.Cxx[T]), decimals(model.cx[T]), [], Decimal(lS)
    for t in reversed(range(T)):
        A, B, G, X, U, S = (decimals(getattr(model, n)[t]) for n in ("A", "B", "G", "Cux", "Cuu", "Cxx"))
        M = decimals(np.eye(NW)) + weight * (G.T @ P @ G)
        shrunk = weight * (P @ G @ eliminate(M, np.column_stack([G.T @ P, G.T @ p])))
        P, p = P - shrunk[:, :-1], p - shrunk[:, -1]
        H, X, S = U + decimals(damping * np.eye(NU)) + B.T @ P @ B, X + B.T @ P @ A, S + A.T @ P @ A
        q, r = decimals(model.cu[t]) + B.T @ p, decimals(model.cx[t]) + A.T @ p
        K, k = decimals(np.zeros((NU, NX))), decimals(np.zeros(NU))
        free = np.ones(NU, bool) if held is None else np.isnan(held[t])
        if held is not None:
            k[~free] = decimals(held[t][~free])
        if free.any():
            rows = np.column_stack([X, q + H @ k])[free]
            Z = -eliminate(H[np.ix_(free, free)], rows)
            K[free], k[free] = Z[:, :-1], Z[:, -1]
        P, p = S + X.T @ K, r + X.T @ k
        out.insert(0, (K, k, q + H @ k))
    return [np.array(a).astype(float) for a in zip(*out, strict=True)]


def near(actual, expected):
    """To 1e-9 of the largest entry of the stage; rounding leaves some 1e-13, next to bounds 1e-10."""
    size = np.abs(expected).reshape(T, -1).max(axis=1)
    assert (np.abs(actual - expected).reshape(T, -1).max(axis=1) <= 1e-9 * size).all()


@pytest.mark.parametrize("kind", ["dense", "jumps"])
@pytest.mark.parametrize("effort", [1e-3, 1e-5])
@pytest.mark.parametrize("lambda_transition", [0.0, 1e-6, 0.5])
@pytest.mark.parametrize("damping", [0.0, 1e-3])
def test_steep_sums_of_squares_have_the_right_gains(by_roots, kind, effort, lambda_transition, damping):
    for seed in range(3):
        model = steep(seed, kind, effort)
        assert backward(model, math.inf, lambda_transition, damping=(0.0, damping)).breakdown is None
        sweep = by_roots(model, math.inf, lambda_transition, damping=(0.0, damping))
        with localcontext(prec=300):
            K, k, _ = exact(model, lambda_transition, damping)
        near(sweep.K, K)
        near(sweep.k, k)
        assert np.linalg.eigvalsh(sweep.value.P)[:, 0].min() >= -1e-12 * np.abs(sweep.value.P).max()


def test_compiled_sweeps_need_the_other_here(monkeypatch):
    """Rounding alone makes the compiled sweep call steep sums of squares indefinite, or a seeking risk too averse."""
    monkeypatch.setattr(recursion, "sweep_squares", lambda *_: None)
    kinds = {
        getattr(backward(steep(seed, "dense", 1e-3), math.inf, weight).breakdown, "kind", None)
        for weight in (0.0, 1e-6)
        for seed in range(3)
    }
    assert kinds >= {"indefinite", "risk"}


@pytest.mark.parametrize("kind", ["dense", "jumps"])
def test_steep_sums_of_squares_in_boxes_meet_the_conditions_of_optimality(by_roots, kind):
    bound = set()
    for seed in range(3):
        model, box = steep(seed, kind, 1e-3), boxes(seed, T)
        sweep = by_roots(model, box=box)
        assert sweep.breakdown is None
        low, high = box[:, :, 0], box[:, :, 1]
        at_low, at_high = sweep.k <= low, sweep.k >= high
        with localcontext(prec=300):
            K, k, gradient = exact(model, 0.0, held=np.where(at_low, low, np.where(at_high, high, np.nan)))
        near(sweep.K, K)
        near(sweep.k, k)
        assert ((low <= sweep.k) & (sweep.k <= high)).all()
        assert (gradient[at_low] >= 0.0).all()
        assert (gradient[at_high] <= 0.0).all()
        bound |= set((at_low | at_high).sum(axis=1).tolist())
    assert bound == {0, 1, 2}


# -- what stays a breakdown --------------------------------------------------------------------------------------------


def test_indefinite_costs_stay_indefinite():
    model = random_model(0)
    for t in range(4):
        Cuu = model.Cuu.copy()
        Cuu[t] -= 50.0 * np.eye(NU)
        breakdown = backward(replace(model, Cuu=Cuu)).breakdown
        assert (breakdown.kind, breakdown.stage) == ("indefinite", t)
        assert breakdown.bound < 0.0


@pytest.mark.parametrize("shift", [-1e-9, 0.0])
def test_hessians_that_are_singular_or_just_below_stay_indefinite(shift):
    model = random_model(1)
    J = np.array([[1.0, 1.0], [0.0, 0.0]])
    model = replace(model, B=0 * model.B, Cux=0 * model.Cux, Cuu=np.tile(J.T @ J + shift * np.eye(NU), (4, 1, 1)))
    assert backward(model).breakdown.kind == "indefinite"


def test_cross_terms_that_exceed_both_hessians_stay_indefinite():
    model = random_model(2)
    Cux = np.zeros_like(model.Cux)
    Cux[:, 0, 0] = 50.0
    assert backward(replace(model, Cux=Cux)).breakdown.kind == "indefinite"


def test_an_averse_risk_and_a_baseline_have_the_compiled_sweep_alone(monkeypatch):
    monkeypatch.setattr(recursion, "sweep_squares", None)  # calling it would fail
    model = random_model(3)
    assert backward(model, math.inf, -5.0).breakdown.kind == "risk"
    indefinite = replace(model, Cuu=model.Cuu - 50.0 * np.eye(NU))
    assert backward(indefinite, baseline=random_baseline(3, model)).breakdown.kind == "indefinite"


def test_what_is_not_finite_is_said_at_its_stage(by_roots):
    model = random_model(4)
    A = model.A.copy()
    A[2] = np.nan
    assert by_roots(replace(model, A=A)).breakdown.kind == "non-finite"
    assert by_roots(replace(model, A=A)).breakdown.stage == 2
    steeper = replace(model, A=1e60 * model.A, B=0 * model.B)
    assert by_roots(steeper).breakdown.kind == "non-finite"
    assert by_roots(replace(model, A=A), box=boxes(0, 4)).breakdown.stage == 2
