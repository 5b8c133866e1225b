"""The risk dial: order and starts of a sweep, what breaks down, and the table of its cost distributions."""

import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import ppi_robotics as ppi
from plants import CartPole, Pendulum
from ppi_robotics import plotting, risk
from ppi_robotics.risk import RiskPoint, RiskProfile

ETAS = [1, -0.1, 0.1, 0, -2, 0.3, -0.3, -3]
ROW = ["eta", "mean", "mean_se", "variance", "variance_se", "cvar95", "entropic", "merit", "iterations", "status"]
ROW += ["expansion", "success_rate"]
ROW += [f"{name}_{end}" for name in ("mean", "variance", "cvar95", "entropic", "success") for end in ("low", "high")]


@pytest.fixture(scope="module")
def problem():
    plant = CartPole()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)


@pytest.fixture(scope="module")
def swept(problem):
    """Solutions by eta."""
    return dict(zip(ETAS, ppi.risk_sweep(problem, ppi.PPI(eta=7), eta=ETAS), strict=True))


@pytest.fixture(scope="module")
def ilqg(problem):
    return ppi.solve(problem, ppi.ILQG())


@pytest.fixture(scope="module")
def profile(problem, swept, ilqg):
    return ppi.risk_profile(problem, ilqg, eta=swept, samples=4000, seed=3)


# -- solving ---------------------------------------------------------------------------------------------------------


def test_warm_solves_take_few_iterations_and_end_where_cold_ones_do(problem):
    etas = [0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1]
    for eta, warm in zip(etas, ppi.risk_sweep(problem, ppi.PPI(0), eta=etas), strict=True):
        cold = ppi.solve(problem, ppi.PPI(eta))
        assert warm.status is ppi.Status.CONVERGED
        assert eta == 0 or (warm.iterations <= 8 and len(warm.starts) == 1)
        assert warm.cost == pytest.approx(cold.cost, rel=1e-6)  # both stop where the merit changes by less than 1e-7
        np.testing.assert_allclose(warm.policy.K, cold.policy.K, atol=1e-2)  # gains reach 100; states differ by 1e-4


def test_averse_and_limited_problems_end_where_cold_solves_do(problem, swept):
    assert swept[-0.3].cost == pytest.approx(ppi.solve(problem, ppi.PPI(-0.3)).cost, rel=1e-6)
    plant = Pendulum()
    limited = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, plant.default_horizon)
    for eta, warm in zip([0, 1], ppi.risk_sweep(limited, ppi.PPI(0), eta=[0, 1]), strict=True):
        assert warm.status is ppi.Status.CONVERGED
        assert warm.cost == pytest.approx(ppi.solve(limited, ppi.PPI(eta)).cost, rel=1e-6)


def test_weights_are_solved_outward_and_returned_in_the_order_given(problem, swept, monkeypatch):
    called = []

    def record(problem, method, seed, trajectory=None, **others):
        called.append((method.eta, None if trajectory is None else trajectory[1]))
        return swept[method.eta]

    monkeypatch.setattr(risk, "solve", record)
    solutions = ppi.risk_sweep(problem, ppi.PPI(0), eta=ETAS, starts=3)
    assert solutions == tuple(swept[eta] for eta in ETAS)
    assert [eta for eta, _ in called] == sorted(ETAS, key=abs)
    guesses = dict(called)
    assert guesses[0] is None
    for eta, neighbor in ((0.1, 0), (0.3, 0.1), (1, 0.3)):
        assert guesses[eta] is swept[neighbor].policy.u_ref
    for eta, neighbor in ((-0.1, 0), (-0.3, -0.1), (-2, -0.3), (-3, -0.3)):  # -2 has broken down
        assert guesses[eta] is swept[neighbor].u


def test_a_breakdown_keeps_its_status_and_its_place(swept):
    broken = {eta for eta, solution in swept.items() if not solution.status.solved}
    assert broken == {-2, -3}
    for eta in broken:
        assert swept[eta].status is ppi.Status.RISK_BREAKDOWN
        assert swept[eta].nominal_cost == pytest.approx(swept[0].nominal_cost, rel=1e-6)


def test_fields_are_kept_and_theta_is_minus_eta(problem, swept):
    (short,) = ppi.risk_sweep(problem, ppi.PPI(0, max_iterations=3), eta=[0.1], starts=1)
    assert short.status is ppi.Status.MAX_ITERATIONS
    neutral, averse = ppi.risk_sweep(problem, ppi.LEQG(0), theta=np.array([0.0, 0.3]))
    assert averse.cost == pytest.approx(swept[-0.3].cost, rel=1e-6)
    assert neutral.nominal_cost == pytest.approx(swept[0].nominal_cost, rel=1e-6)


def test_starts_and_seed_belong_to_the_cold_solve(problem):
    first, second = ppi.risk_sweep(problem, ppi.PPI(0), eta=[0.2, 0.1], seed=2, starts=3)
    assert (len(first.starts), len(second.starts)) == (1, 3)
    np.testing.assert_array_equal(second.policy.K, ppi.solve(problem, ppi.PPI(0.1), seed=2, starts=3).policy.K)


def test_interruption_keeps_what_is_solved(problem):
    counts = []

    def stop_at_the_second(row):
        counts.append(row.index)
        return counts.count(1) == 2

    solved, cut, missed = ppi.risk_sweep(problem, ppi.PPI(0), eta=[0, 0.1, 0.2], starts=1, callback=stop_at_the_second)
    assert solved.status is ppi.Status.CONVERGED
    assert cut.status is missed.status is ppi.Status.INTERRUPTED
    assert math.isnan(missed.cost)
    assert missed.trace == ()
    answered, missed = ppi.risk_sweep(problem, ppi.PPI(0), eta=[0, 0.1], callback=lambda row: row.start == 1)
    assert answered.status is ppi.Status.CONVERGED  # by its first start
    assert missed.status is ppi.Status.INTERRUPTED


def test_sigma_points_start_warm_like_derivatives(problem):
    """A cold solve takes dozens of iterations, a warm one as few as with Taylor's expansion, and both agree."""
    method = ppi.PPI(0, expansion=ppi.SigmaPoints())
    neutral, *warm = ppi.risk_sweep(problem, method, eta=[0, 0.1, 0.3])
    for eta, solution in zip([0.1, 0.3], warm, strict=True):
        cold = ppi.solve(problem, replace(method, eta=eta))
        assert solution.status is ppi.Status.CONVERGED
        assert solution.iterations <= 10 < neutral.iterations
        assert solution.cost == pytest.approx(cold.cost, rel=1e-6)


def test_paths_start_single_shooting_from_rollouts(swept):
    solution = swept[0.1]
    for method in (ppi.PPI(0.2, about="rollout"), ppi.PPI(0.2, baseline="posterior"), ppi.PPI(-0.2), ppi.LEQG(-0.2)):
        assert risk.warm_path(solution, method)[1] is solution.u
    assert risk.warm_path(solution, ppi.PPI(0.2))[1] is solution.policy.u_ref


def test_the_sweep_has_two_names():
    assert ppi.sweep is ppi.risk_sweep


@pytest.mark.parametrize(
    ("method", "weights", "words"),
    [
        (ppi.PPI(0), {}, "neither eta nor theta is given; give eta="),
        (ppi.PPI(0), {"eta": [0], "theta": [0]}, "eta and theta are both given"),
        (ppi.PPI(0), {"theta": [0.1]}, r"has no theta; give LEQG\(theta=0\)"),
        (ppi.LEQG(0), {"eta": [0.1]}, r"has no eta; give PPI\(eta=0\)"),
        (ppi.ILQG(), {"eta": [0.1]}, r"ILQG\(.*\), which has no eta"),
        (ppi.PPI, {"eta": [0.1]}, "which has no eta"),
        (ppi.PPI(0), {"eta": []}, "eta holds no weight"),
        (ppi.PPI(0), {"eta": 0.1}, "eta is 0.1; expected a list of numbers"),
        (ppi.PPI(0), {"eta": "0.1"}, "eta is '0.1'; expected a list of numbers"),
        (ppi.PPI(0), {"eta": [0.1, math.nan]}, "eta is nan; expected a finite number"),
        (ppi.LEQG(0), {"theta": [math.inf]}, "theta is inf; expected a finite number"),
        (ppi.PPI(0), {"eta": [0.1, "x"]}, "eta is 'x'; expected a finite number"),
        (ppi.PPI(0), {"eta": [0.0, 0.1, -0.0]}, "eta holds -0 twice; give every weight once"),
    ],
)
def test_bad_weights_are_refused(problem, method, weights, words):
    with pytest.raises(ppi.ProblemError, match=words):
        ppi.risk_sweep(problem, method, **weights)


def test_methods_that_cannot_solve_the_problem_are_refused_before_any_work(monkeypatch):
    plant = CartPole(track_limit=2.0)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    monkeypatch.setattr(risk, "solve", lambda *_, **__: pytest.fail("solved"))
    with pytest.raises(ppi.ProblemError, match="knows no limits"):
        ppi.risk_sweep(problem, ppi.PPI(1, baseline="posterior"), eta=[0.1, 1])
    with pytest.raises(ppi.ProblemError, match="expected a Problem"):
        ppi.risk_sweep(plant, ppi.PPI(0), eta=[0])


# -- evaluating ------------------------------------------------------------------------------------------------------


def test_rows_agree_with_evaluate(problem, swept, ilqg, profile):
    assert [row["eta"] for row in profile.rows()] == sorted(ETAS)
    for row in profile.rows():
        solution, eta = swept[row["eta"]], row["eta"]
        result = ppi.evaluate(problem, solution.policy, 4000, seed=3)
        assert list(row) == ROW
        assert (row["mean"], row["mean_se"]) == (result.mean, result.standard_error)
        assert (row["variance"], row["variance_se"]) == (result.variance, result.variance_standard_error)
        assert (row["cvar95"], row["entropic"]) == (result.cvar(0.95), result.entropic(eta))
        assert (row["merit"], row["iterations"]) == (solution.cost, solution.iterations)
        assert row["status"] == solution.status.name.lower()
        assert (row["mean_low"], row["mean_high"]) == result.mean_interval()
        assert (row["entropic_low"], row["entropic_high"]) == (result.entropic_interval(eta) or (None, None))
    reference = profile.ilqg.row()
    assert list(reference) == ROW
    assert reference["eta"] == 0
    assert reference["entropic"] == reference["mean"] == ppi.evaluate(problem, ilqg.policy, 4000, seed=3).mean
    assert reference["merit"] == ilqg.cost


def test_mean_and_variance_grow_with_optimism_on_the_cart_pole(profile):
    rows = {row["eta"]: row for row in profile.rows()}
    for name in ("mean", "variance", "cvar95"):
        values = [rows[eta][name] for eta in (0, 0.1, 0.3, 1)]
        assert values == sorted(values)
    assert rows[-0.3]["variance"] < rows[-0.1]["variance"] < rows[0]["variance"]
    # the entropic cost of the policy is at least the best, which falls with eta like the merit does
    for name in ("entropic", "merit"):
        values = [rows[eta][name] for eta in (0, 0.1, 0.3, 1)]
        assert values == sorted(values, reverse=True)


def test_rows_of_leqg_say_so(problem, swept, ilqg):
    profile = ppi.risk_profile(problem, ilqg, eta={0.1: swept[0.1]}, theta={0.1: swept[-0.1], 0: swept[0]}, samples=100)
    rows = profile.rows()
    assert [(row["eta"], row.get("theta"), row.get("method")) for row in rows] == [
        (-0.1, 0.1, "leqg"),
        (0.0, 0.0, "leqg"),
        (0.1, None, None),
    ]
    assert [math.copysign(1, row["eta"]) for row in rows] == [-1, 1, 1]
    text = str(profile)
    for word in (
        "LEQG",
        "PPI",
        "iLQG",
        "converged",
        "100 common samples, seed 0; 95 % intervals",
        "[-]",
        "no interval of the CVaR 95 % of",
    ):
        assert word in text


def test_expansions_are_compared_at_the_same_weight(problem, swept, ilqg):
    points = dict(
        zip([0, 0.3], ppi.risk_sweep(problem, ppi.PPI(0, expansion=ppi.SigmaPoints()), eta=[0, 0.3]), strict=True)
    )
    by_name = {"derivatives": {eta: swept[eta] for eta in (0, 0.1, 0.3)}, "points": points}
    profile = ppi.risk_profile(problem, ilqg, eta=by_name, theta={0.1: swept[-0.1]}, samples=100, seed=1)
    assert profile.expansions == ("derivatives", "points")
    assert [(p.eta, p.expansion) for p in profile.points if p.difference] == [(0.0, "points"), (0.3, "points")]
    table = ppi.compare(problem, {"a": swept[0.3].policy, "b": points[0.3].policy}, samples=100, seed=1)
    assert profile.points[-1].difference == table.differences["b"]
    assert "difference to derivatives" in str(profile)
    alone = ppi.risk_profile(problem, ilqg, eta=points, samples=100)
    assert alone.expansions == ("cubature",)
    assert [row["expansion"] for row in alone.rows()] == ["cubature"] * 2
    assert not any("difference" in row for row in alone.rows())


def test_bad_profiles_are_refused(problem, swept, ilqg):
    with pytest.raises(ppi.ProblemError, match="eta and theta hold no weight"):
        ppi.risk_profile(problem, ilqg)
    for bad in ({"eta": {0.1: swept[0.1].policy}}, {"theta": {0.1: None}}):
        with pytest.raises(ppi.ProblemError, match="is given for a Solution"):
            ppi.risk_profile(problem, ilqg, **bad)
    with pytest.raises(ppi.ProblemError, match="samples is 1"):
        ppi.risk_profile(problem, ilqg, eta={0.1: swept[0.1]}, samples=1)
    with pytest.raises(ppi.ProblemError, match="expansion is named 0; expected a printable name"):
        ppi.risk_profile(problem, ilqg, eta={0: {0.1: swept[0.1]}})
    with pytest.raises(ppi.ProblemError, match="eta is a Solution; expected dict"):
        ppi.risk_profile(problem, ilqg, eta={"taylor": {0.1: swept[0.1]}, "cubature": swept[0.1]})
    with pytest.raises(ppi.ProblemError, match="eta is a str; expected dict"):
        ppi.risk_profile(problem, ilqg, eta="a")
    with pytest.raises(ppi.ProblemError, match="eta"):
        ppi.risk_profile(problem, ilqg, eta={"a": swept[0.1]})


# -- drawing ---------------------------------------------------------------------------------------------------------


def bars(ax):
    """Positions, values and ends of all bars of a panel."""
    found = []
    for container in ax.containers:
        line, _, (segments,) = container.lines
        low, high = zip(*(segment[:, 1] for segment in segments.get_segments()), strict=True)
        found += zip(*line.get_data(), low, high, strict=True)
    return sorted(found)


def test_panels_show_rows_with_intervals_and_ilqg(profile):
    axes = plotting.risk.risk_dial(profile)
    rows = profile.rows()
    for ax, name in zip(axes, ("mean", "variance"), strict=False):
        expected = [(row["eta"], row[name], row[f"{name}_low"], row[f"{name}_high"]) for row in rows]
        np.testing.assert_allclose(bars(ax), expected, rtol=1e-6)
        dashed = next(line for line in ax.lines if line.get_label() == "iLQG")
        assert dashed.get_ydata()[0] == profile.ilqg.row()[name]
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        assert texts == ["PPI, 95 % intervals", "iLQG", "not solved"]
    curves = [container.lines[0].get_data() for container in axes[2].containers]
    solved = [row for row in rows if row["status"] == "converged"]
    for name, some in (
        ("cvar95", solved),
        ("entropic", solved),
        ("merit", solved),
    ):
        np.testing.assert_allclose(curves.pop(0), [[row["eta"] for row in some], [row[name] for row in some]])
    texts = [text.get_text() for text in axes[3].get_legend().get_texts()]
    minus = "\N{MINUS SIGN}"
    assert texts == ["neutral, η = 0", "seeking, η = 1", f"averse, η = {minus}0.3", "mean", "CVaR 95 %"]


def test_every_expansion_has_a_line_of_its_own():
    one, other = made_up([0, 1]), made_up([0, 1])
    points = [*one.points, *(replace(point, expansion="cubature") for point in other.points)]
    axes = plotting.risk.risk_dial(replace(one, points=tuple(points), expansions=("taylor", "cubature")))
    first, second = (container.lines[0] for container in axes[0].containers)
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert first.get_color() != second.get_color()
    texts = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert texts == ["PPI, taylor", "PPI, cubature", "iLQG"]
    assert all(ax.get_title().endswith(", taylor") for ax in axes[2:])
    assert len(axes[2].containers) == 3


@pytest.mark.parametrize(
    "etas",
    [
        [0, 0.1, 1],
        [-0.3, -0.1, -0.03, 0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1],
        [0],
        [0.1, 0.2, 0.3],
        [-1e-6, 1e3],
        [0.1, 0.10001],
    ],
)
def test_tick_labels_are_weights_and_do_not_touch(etas):
    axes = plotting.risk.risk_dial(made_up(etas))
    axes[0].figure.canvas.draw()
    for ax in axes[:3]:
        labels = [label for label in ax.get_xticklabels() if label.get_text()]
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
        assert set(ax.get_xticks()) <= set(etas)
        low, high = ax.get_xlim()
        assert low < min(etas) <= max(etas) < high
        assert min(etas) in ax.get_xticks()


def made_up(etas, theta=False, scale=lambda _: 1.0, **changes):
    """A profile of random costs, without policies."""
    given = {"cost": 9.0, "nominal_cost": 9.0, "status": ppi.Status.CONVERGED, "trace": ()} | changes
    blank = ppi.Solution(**dict.fromkeys(ppi.Solution.__dataclass_fields__) | given)
    rng = np.random.default_rng(0)

    def point(eta):
        evaluation = ppi.Evaluation(scale(eta) * rng.normal(10.0, 1.0, 300))
        return RiskPoint(eta, blank, evaluation, -eta if theta else None)

    return RiskProfile(tuple(point(eta) for eta in etas), replace(point(0.0), theta=None))


def test_values_over_decades_get_a_logarithmic_axis_that_says_so():
    axes = plotting.risk.risk_dial(made_up([0, 1], scale=lambda eta: 1e3**eta))
    for ax in axes[:2]:
        assert ax.get_yscale() == "log"
        assert "logarithmic" in ax.get_title()
    assert all(ax.get_yscale() == "linear" for ax in plotting.risk.risk_dial(made_up([0, 1])))


def test_infinite_costs_are_left_out_and_all_infinite_ones_refused():
    axes = plotting.risk.risk_dial(made_up([0, 1], scale=lambda eta: math.inf if eta else 1.0))
    assert [eta for eta, *_ in bars(axes[0])] == [0]
    axes[0].figure.canvas.draw()
    with pytest.raises(ppi.ProblemError, match="every rollout at every weight diverged"):
        plotting.risk.risk_dial(made_up([0, 1], scale=lambda _: math.inf))


def test_given_axes_are_used_and_settings_stay():
    before = dict(matplotlib.rcParams)
    figure = Figure()
    FigureCanvasAgg(figure)
    given = figure.subplots(4)
    assert plotting.risk.risk_dial(made_up([-1, -0.1], theta=True), given) is given
    assert dict(matplotlib.rcParams) == before
    assert [text.get_text() for text in given[0].get_legend().get_texts()] == ["LEQG, 95 % intervals", "iLQG"]
    with pytest.raises(ppi.ProblemError, match="3 axes for four panels; give 4 axes"):
        plotting.risk.risk_dial(made_up([0]), given[:3])
