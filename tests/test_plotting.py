"""Figures and animations: what they show is checked through the artists and through the pixels of the file."""

import types

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import ppi_robotics as ppi
from plants import CartPole
from plants.drawing import Box, Disk, Line
from ppi_robotics import animation, plotting
from ppi_robotics.plotting import animations, canvas
from ppi_robotics.plotting.animations import Camera
from ppi_robotics.rollouts import Rollouts


class Slider(CartPole):
    """A cart-pole with limits of every kind; nothing of it is compiled here."""

    def __init__(self, **options):
        super().__init__(force_limit=5.0, track_limit=2.0, **options)


@pytest.fixture(scope="module")
def plant():
    return Slider()


@pytest.fixture(scope="module")
def rollouts():
    rng = np.random.default_rng(0)
    x = np.cumsum(0.05 * rng.standard_normal((200, 31, 4)), axis=1)
    return Rollouts(x, rng.uniform(-5, 5, (200, 30, 1)), np.ones(200), 0, 0)


def test_trajectory_shows_median_band_nominal_and_limits(plant, rollouts):
    nominal = rollouts.x[0], rollouts.u[0]
    axes = plotting.trajectory(plant, rollouts, nominal, name="PPI")
    assert [ax.get_title(loc="left") for ax in axes] == [
        "position [m]",
        "angle [rad]",
        "velocity [m/s]",
        "angular velocity [rad/s]",
        "force [N]",
    ]
    median, dotted, *limits = axes[0].lines
    np.testing.assert_allclose(median.get_ydata(), np.median(rollouts.x[:, :, 0], axis=0))
    np.testing.assert_array_equal(dotted.get_ydata(), nominal[0][:, 0])
    np.testing.assert_allclose(median.get_xdata(), 0.02 * np.arange(31))
    assert sorted(line.get_ydata()[0] for line in limits) == [-2.0, 2.0]
    assert all(line.get_linestyle() == "--" for line in limits)
    band = axes[0].collections[0].get_paths()[0].vertices
    low, high = np.quantile(rollouts.x[:, 30, 0], (0.05, 0.95))
    last = band[np.isclose(band[:, 0], 0.6), 1]
    assert np.isclose(last.min(), low)
    assert np.isclose(last.max(), high)


def test_controls_are_held_over_their_stage_and_to_the_end(plant, rollouts):
    axes = plotting.trajectory(plant, rollouts)
    median = axes[-1].lines[0]
    assert median.get_drawstyle() == "steps-post"
    assert len(median.get_ydata()) == 31
    assert median.get_ydata()[-1] == median.get_ydata()[-2]


def test_limits_far_away_do_not_flatten_the_curves(rollouts):
    axes = plotting.trajectory(CartPole(force_limit=1e4), rollouts)
    assert axes[-1].get_ylim()[1] < 10


def test_legend_counts_the_rollouts_and_those_that_diverged(plant, rollouts):
    x = rollouts.x.copy()
    x[:7, 20:] = np.nan
    axes = plotting.trajectory(plant, Rollouts(x, rollouts.u, rollouts.cost, 0, 0))
    (legend,) = axes[0].figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["median", "5 to 95 % of 193 noisy rollouts (7 more diverged)", "limit"]
    with pytest.raises(ppi.ProblemError, match="none of the 200 rollouts is finite"):
        plotting.trajectory(plant, Rollouts(np.full_like(x, np.inf), rollouts.u, rollouts.cost, 0, 0))


def test_angles_are_marked_in_multiples_of_pi():
    labels = [plotting.trajectories._multiple_of_pi(k * np.pi / 2, None) for k in range(-3, 5)]
    assert labels == ["\N{MINUS SIGN}3π/2", "\N{MINUS SIGN}π", "\N{MINUS SIGN}π/2", "0", "π/2", "π", "3π/2", "2π"]


def test_given_axes_are_used_and_settings_stay(plant, rollouts):
    before = dict(matplotlib.rcParams)
    figure = Figure()
    FigureCanvasAgg(figure)
    given = figure.subplots(5)
    assert plotting.trajectory(plant, rollouts, axes=given) is given
    ax = figure.add_subplot()
    assert plotting.cost_distribution({"PPI": ppi.Evaluation(np.arange(10.0))}, ax) is ax
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(ppi.ProblemError, match="2 axes for 4 states and 1 controls; give 5 axes"):
        plotting.trajectory(plant, rollouts, axes=given[:2])


def test_colors_are_one_per_method():
    assert plotting.color("PPI (η = 0.1)") == plotting.color("ppi") == plotting.theme.COLORS["PPI"]
    assert len({plotting.color(name) for name in ("PPI", "iLQG", "LEQG", "AICO", "Psi")}) == 5
    assert plotting.color("policy", 0) != plotting.color("policy", 1)


def test_cost_distribution_marks_mean_and_cvar_and_counts_every_rollout():
    cost = np.random.default_rng(0).normal(10.0, 1.0, 1000)
    evaluation = ppi.Evaluation(cost)
    ax = plotting.cost_distribution({"PPI": evaluation})
    assert [line.get_xdata()[0] for line in ax.lines] == [evaluation.mean, evaluation.cvar(0.95)]
    shares = ax.patches[0].get_data().values
    assert np.isclose(shares.sum(), 100.0)
    assert "logarithmic" not in ax.get_xlabel()
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim() == (cost.min(), cost.max())
    assert "1000 rollouts" in ax.figure.legends[0].get_texts()[0].get_text()


def test_bins_are_fine_enough_for_each_of_distributions_far_apart():
    rng = np.random.default_rng(0)
    costs = {name: ppi.Evaluation(rng.normal(mean, 1.0, 1000)) for name, mean in (("PPI", 10.0), ("iLQG", 30.0))}
    ax = plotting.cost_distribution(costs)
    for patch in ax.patches[::2]:
        assert np.count_nonzero(patch.get_data().values) >= 15  # each spans 6.5, and 80 bins cover 26.5


def test_heavy_tails_get_a_logarithmic_axis_that_says_so():
    cost = np.concatenate([np.random.default_rng(0).normal(-50.0, 1.0, 990), np.geomspace(10.0, 1e5, 10)])
    ax = plotting.cost_distribution({"PPI": ppi.Evaluation(cost), "iLQG": ppi.Evaluation(cost + 1)})
    assert "logarithmic" in ax.get_xlabel()
    for patch in ax.patches:
        assert np.isclose(patch.get_data().values.sum(), 100.0)
    ticks = ax.get_xticks()
    assert len(ticks) >= 4
    assert ticks[0] < -40
    assert ticks[-1] > 1e3
    ax.figure.canvas.draw()


def test_stretch_is_inverted_and_monotonic():
    stretch = plotting.costs.Stretch(np.random.default_rng(0).normal(3.0, 2.0, 500))
    cost = np.linspace(-100, 1e6, 1001)
    np.testing.assert_allclose(stretch.inverse(stretch.forward(cost)), cost, rtol=1e-9, atol=1e-9)
    assert (np.diff(stretch.forward(cost)) > 0).all()


@pytest.mark.parametrize("cost", [np.full(20, 3.0), np.zeros(5), np.array([1.0, np.inf, 2.0])])
def test_degenerate_distributions_are_drawn(cost):
    ax = plotting.cost_distribution({"_a$b$": ppi.Evaluation(cost)})
    low, high = ax.get_xlim()
    assert low < high
    expected = "1 diverged" if np.isinf(cost).any() else "mean"
    assert expected in ax.figure.legends[0].get_texts()[0].get_text()
    ax.figure.canvas.draw()
    with pytest.raises(ppi.ProblemError, match="no finite cost"):
        plotting.cost_distribution({"PPI": ppi.Evaluation(np.full(3, np.inf))})


# -- animation -------------------------------------------------------------------------------------------------------


def test_shapes_hold_arrays_and_cannot_be_changed():
    line, box, disk = Line([(0, 0), (1, 2)]), Box((1, 2), 0.4, 0.2), Disk((0, 1), 0.1, "tip")
    assert line.points.shape == (2, 2)
    assert box.center.dtype == float
    assert disk.role == "tip"
    with pytest.raises(AttributeError):
        line.role = "track"


@pytest.mark.parametrize(
    ("dt", "delay"), [(0.02, 20), (0.01, 20), (0.005, 20), (0.03, 30), (0.04, 40), (0.05, 30), (0.1, 30), (0.025, 30)]
)
def test_frames_come_every_whole_number_of_stages_if_they_can(dt, delay):
    assert animations.frame_delay(dt) == delay


def test_resample_is_exact_on_stages_and_linear_between():
    x, u = np.arange(8.0).reshape(4, 2), np.array([[1.0], [2.0], [3.0]])
    states, controls = animations.resample(x, u, 0.05, [0.0, 0.05, 0.075, 0.15])
    np.testing.assert_allclose(states, [x[0], x[1], (x[1] + x[2]) / 2, x[3]])
    np.testing.assert_array_equal(controls[:, 0], [1, 2, 2, 3])


def swing(plant, stages=50, travel=0.0):
    """States of a pole that turns once and of a cart that travels [m], and forces."""
    share = np.linspace(0.0, 1.0, stages + 1)
    zero = np.zeros(stages + 1)
    return np.stack([travel * share, 2 * np.pi * share, zero, zero], axis=1), np.sin(7 * share[:-1])[:, None]


def test_gif_lasts_as_long_as_the_motion_and_holds_its_end(plant, tmp_path):
    path = tmp_path / "animation.gif"
    frames = animation.save(path, plant, *swing(plant), title="a title")
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as gif:
        assert gif.size == (canvas.WIDTH, canvas.HEIGHT)
        assert gif.info["loop"] == 0
        durations = []
        for i in range(gif.n_frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
    assert frames == 51
    assert sum(durations[:-1]) == 1000
    assert durations[-1] == canvas.HOLD_MS


def test_colors_survive_the_palette(plant):
    images, _ = animation.render(plant, *swing(plant))
    assert len({image.palette.tobytes() for image in images}) == 1
    pixels = np.asarray(images[20].convert("RGB")).reshape(-1, 3).astype(int)
    np.testing.assert_array_equal(pixels[0], list(bytes.fromhex(canvas.BACKGROUND[1:])))
    for shade in (
        canvas.BACKGROUND,
        canvas.LINK,
        canvas.TIP,
        canvas.CONTROL,
        canvas.INK,
    ):
        wanted = [int(shade[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(pixels - wanted).sum(axis=1).min() <= 24, shade  # 8 a channel: colors are kept in 5 bits


def test_tip_is_drawn_where_the_plant_says(plant):
    x, u = swing(plant)
    drawings = [plant.draw(state) for state in x]
    scene = animations.Scene(plant, drawings, np.vstack([u, u[-1:]]), 0.02 * np.arange(51), "")
    for index in (0, 13, 50):
        tip = next(shape for shape in drawings[index] if shape.role == "tip")
        column, row = scene.camera.to_pixels(tip.center, index) + (0, scene.floor)
        pixel = scene.frame(index)[canvas.HEIGHT - 1 - int(row), int(column), :3].astype(int)
        assert np.abs(pixel - [0xD5, 0x5E, 0x00]).max() <= 8


def test_window_follows_what_travels_farther_than_it_shows(plant):
    for travel, follows in ((0.5, False), (12.0, True)):
        x, _ = swing(plant, travel=travel)
        drawings = [plant.draw(state) for state in x]
        camera = Camera(plant.view, drawings, np.array([480, 260]), 0.02)
        assert camera.follows[0] == follows
        assert not camera.follows[1]
        assert (camera.spacing > 0) == follows
        for index, shapes in enumerate(drawings):
            cart = next(shape for shape in shapes if shape.role == "cart")
            assert (np.abs(cart.center - camera.path[index]) < camera.half).all()


def test_plants_without_drawing_and_bad_trajectories_are_refused(plant, tmp_path):
    x, u = swing(plant)
    bare = types.SimpleNamespace(name="bare", dt=0.02)
    with pytest.raises(ppi.ProblemError, match="'bare' cannot be drawn; give it draw"):
        animation.save(tmp_path / "a.gif", bare, x, u)
    with pytest.raises(ppi.ProblemError, match=r"expected finite \(T \+ 1, nx\)"):
        animation.save(tmp_path / "a.gif", plant, x[:-1], u)
    with pytest.raises(ppi.ProblemError, match="choose a writable place"):
        animation.save(tmp_path / "missing" / "a.gif", plant, x, u)
    assert not list(tmp_path.iterdir())
