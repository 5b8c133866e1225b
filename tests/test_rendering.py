"""Pictures and videos of MuJoCo models without a window."""

import logging
import os
import re
import subprocess
import sys

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from mujoco_models import ARM, BALL, DRONE
from PIL import Image

import ppi_robotics as ppi
from ppi_robotics import rendering
from ppi_robotics.plotting import canvas, film as film_module, offscreen

SIZE = {"width": 160, "height": 120}  # processors draw these fast


@pytest.fixture(params=["OpenGL", "stick figure"])
def artist(request, monkeypatch):
    """Both ways to draw."""
    if request.param == "stick figure":
        monkeypatch.setenv("MUJOCO_GL", "disable")
    return request.param


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_string(ARM)


def swing(model, count=51):
    """Positions (count, nq) of an arm that falls, 0.02 s apart."""
    data, states = mujoco.MjData(model), []
    for _ in range(count):
        states.append(data.qpos.copy())
        mujoco.mj_step(model, data, 10)
    return np.array(states)


def reddish(picture):
    """Mask (height, width) of red pixels, however they are lit."""
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return (red > 90) & (red - green > 50) & (np.abs(green - blue) < 30)  # dots of the stick figure are orange


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_there_is_one_picture_per_frame_time(model, artist):
    states = swing(model)
    pictures = list(rendering.frames(model, states, 0.02, fps=10, **SIZE))
    assert len(pictures) == 11
    assert {(picture.shape, picture.dtype) for picture in pictures} == {((120, 160, 3), np.dtype(np.uint8))}
    assert len({picture.tobytes() for picture in pictures}) == 11
    assert len(list(rendering.frames(model, states[:3], **SIZE))) == 3  # without times, one a state


def test_times_may_be_given_one_by_one(model, artist):
    states = swing(model)
    stamps = 5.0 + 0.02 * np.arange(51)
    pairs = (rendering.frames(model, states, time, fps=5, **SIZE) for time in (0.02, stamps))
    for a, b in zip(*pairs, strict=True):
        assert (a != b)[40:].mean() < 0.01  # the stick figure shows the time on top
        if artist == "OpenGL":
            np.testing.assert_array_equal(a, b)


def test_between_states_rotations_take_the_short_way_on_the_sphere(monkeypatch):
    model = mujoco.MjModel.from_xml_string(DRONE)
    start = np.array([0.0, 0, 1, 1, 0, 0, 0])
    end = np.array([1.0, 0, 1, np.cos(1.0), 0, 0, np.sin(1.0)])  # 2 rad about z
    poses = []

    class Recorder:
        def draw(self, data, *_):
            poses.append(data.qpos.copy())

        def close(self):
            pass

    monkeypatch.setattr(film_module, "Offscreen", lambda *_: Recorder())
    list(rendering.frames(model, np.array([start, end]), [0.0, 1.0], fps=4))
    for share, pose in zip([0, 0.25, 0.5, 0.75, 1], poses, strict=True):
        np.testing.assert_allclose(pose, [share, 0, 1, np.cos(share), 0, 0, np.sin(share)], rtol=0, atol=1e-12)


def test_what_moves_is_in_the_middle_even_if_it_travels(artist):
    model = mujoco.MjModel.from_xml_string(BALL)
    for distance in (0.0, 0.05, 100.0):
        states = np.tile([0.0, 0, 1, 1, 0, 0, 0], (101, 1))
        states[:, 0] = distance * np.linspace(0, 1, 101)
        pictures = list(rendering.frames(model, states, 0.02, fps=5, **SIZE))
        for picture in pictures:
            rows, columns = np.nonzero(reddish(picture))
            assert abs(rows.mean() - 60) < 15
            # the follower is sluggish, and moves little in a motion's first and last moments
            assert abs(columns.mean() - 80) < 45
            assert 20 < np.ptp(columns) <= 120


def test_a_fixed_camera_of_the_model_sees_what_it_looks_at():
    body = '<camera name="above" pos="0.5 0 3"/><camera name="away" pos="5 0 3"/>'
    model = mujoco.MjModel.from_xml_string(BALL.replace("<worldbody>", f"<worldbody>{body}"))
    states = model.qpos0[None]
    for camera, seen in (("above", True), (0, True), ("away", False), (1, False)):
        picture = next(rendering.frames(model, states, camera=camera, **SIZE))
        assert reddish(picture).any() == seen
    rows, columns = np.nonzero(reddish(next(rendering.frames(model, states, camera="above", **SIZE))))
    # the camera looks down from 2 m above and 0.5 m to the right of the ball; 60 pixels are tan(22.5 deg) there
    assert columns.mean() == pytest.approx(79.5 - 0.5 / 2.0 * 60 / np.tan(np.pi / 8), abs=1.5)
    assert rows.mean() == pytest.approx(59.5, abs=1.0)


def test_the_page_is_white_and_uncolored_bodies_are_not_gray(model):
    picture = next(rendering.frames(model, model.qpos0[None], **SIZE))
    np.testing.assert_array_equal(picture[[0, 0, -1, -1], [0, -1, 0, -1]], 255)
    body = picture[picture.min(axis=2) < 200].astype(int)
    assert (body[:, 2] - body[:, 0]).mean() > 20
    assert body.shape[0] > 300


def test_uncolored_bodies_are_blue_in_either_way(model, artist):
    picture = next(rendering.frames(model, model.qpos0[None], **SIZE)).astype(int)
    body = picture[(picture[..., 2] - picture[..., 0] > 20) & (picture[..., 2] > 100)]
    assert body.shape[0] > 300


def test_floors_end_in_the_white_of_the_page():
    floor = '<geom type="plane" size="0 0 1"/>'
    model = mujoco.MjModel.from_xml_string(BALL.replace("<worldbody>", f"<worldbody>{floor}"))
    column = next(rendering.frames(model, model.qpos0[None], **SIZE))[:, 0].min(axis=1)
    assert column[0] == 255
    assert column.min() < 200
    assert column[np.argmax(column < 255)] > 240  # no line at the horizon


def test_a_model_with_a_sky_keeps_it():
    sky = '<asset><texture type="skybox" builtin="flat" rgb1="0 0 1" rgb2="0 0 1" width="16" height="96"/></asset>'
    model = mujoco.MjModel.from_xml_string(BALL.replace("<worldbody>", f"{sky}<worldbody>"))
    np.testing.assert_array_equal(next(rendering.frames(model, model.qpos0[None], **SIZE))[0, 0], [0, 0, 255])


def test_models_and_data_are_left_as_they_are(model, artist):
    data = mujoco.MjData(model)
    before = model.vis.global_.offwidth, model.geom_rgba.copy(), model.vis.headlight.ambient.copy()
    list(rendering.frames(model, swing(model)[:2], width=800, height=600, data=data))
    assert model.vis.global_.offwidth == before[0]
    np.testing.assert_array_equal(model.geom_rgba, before[1])
    np.testing.assert_array_equal(model.vis.headlight.ambient, before[2])
    np.testing.assert_array_equal(data.xpos, 0.0)


def test_mocap_bodies_of_the_data_are_drawn(artist):
    target = '<body mocap="true"><geom size="0.1" rgba="1 0 0 1" type="sphere"/></body></worldbody>'
    model = mujoco.MjModel.from_xml_string(ARM.replace("</worldbody>", target))
    data = mujoco.MjData(model)
    data.mocap_pos[0] = [0.2, 0.0, 0.8]
    shown = next(rendering.frames(model, model.qpos0[None], data=data, **SIZE))
    data.mocap_pos[0] = [0.0, 0.0, -50.0]
    gone = next(rendering.frames(model, model.qpos0[None], data=data, **SIZE))
    assert reddish(shown).any()
    assert not reddish(gone).any()


def test_models_without_geoms_can_be_drawn(artist):
    body = '<body><joint/><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/></body>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
    assert next(rendering.frames(model, model.qpos0[None], **SIZE)).shape == (120, 160, 3)


@pytest.mark.parametrize("kind", ["box", "cylinder", "ellipsoid", "capsule", "sphere", "mesh"])
def test_outlines_of_the_stick_figure_are_those_of_the_geoms(kind, monkeypatch):
    """Seen along y with little perspective, OpenGL and the figure cover the same pixels."""
    mesh = '<asset><mesh name="m" vertex="-.3 -.1 -.2 .3 -.1 -.2 0 .2 -.2 0 0 .3"/></asset>' if kind == "mesh" else ""
    shape = 'mesh="m"' if kind == "mesh" else 'size="0.15 0.25 0.2"'
    xml = f"""<mujoco><visual><global azimuth="90" elevation="0" fovy="1"/></visual>{mesh}<worldbody>
      <body quat="0.8 0.3 0.4 0.2"><freejoint/><geom type="{kind}" {shape} rgba="1 0 0 1" mass="1"/></body>
      </worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    real = reddish(next(rendering.frames(model, model.qpos0[None])))
    monkeypatch.setenv("MUJOCO_GL", "disable")
    drawn = next(rendering.frames(model, model.qpos0[None])).min(axis=2) < 220
    drawn[:60, :100] = False  # the time
    assert real.sum() > 5000
    y, x = np.nonzero(real)
    v, u = np.nonzero(drawn)
    assert np.abs(np.subtract([x.min(), x.max(), y.min(), y.max()], [u.min(), u.max(), v.min(), v.max()])).max() <= 8


# -- ways to OpenGL ----------------------------------------------------------------------------------------------------


def python(code, **variables):
    """Standard error and output of a fresh interpreter without a display."""
    own = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
    environment = {name: value for name, value in os.environ.items() if name not in own} | variables
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=os.getcwd())
    return done.stdout.strip(), done.stderr.strip()


DRAW = """
import mujoco
from ppi_robotics import rendering
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1" rgba="1 0 0 1"/></worldbody></mujoco>')
print(next(rendering.frames(model, model.qpos0[None].repeat(1, 0), width=64, height=64))[32, 32, 1])
"""


def test_without_a_display_pictures_need_no_setting_even_if_mujoco_came_first():
    shade, complaints = python(DRAW)
    assert complaints == ""
    assert int(shade) < 100


@pytest.mark.parametrize("setting", ["glfw", "off"])
def test_a_setting_that_cannot_work_gives_a_stick_figure_and_a_reason(setting):
    shade, complaints = python(DRAW, MUJOCO_GL=setting)
    assert "drawing a stick figure; for shaded pictures install EGL" in complaints
    assert int(shade) > 60


def test_the_fallback_says_why(model, monkeypatch, caplog):
    def missing(_name):
        raise ImportError("no libEGL\non this machine")

    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr(offscreen.importlib, "import_module", missing)
    with caplog.at_level(logging.WARNING, logger="ppi_robotics"):
        picture = next(rendering.frames(model, model.qpos0[None], **SIZE))
    assert "no OpenGL (egl: no libEGL on this machine): drawing a stick figure" in caplog.text
    assert "apt install libegl1" in caplog.text
    shade = [int(canvas.BACKGROUND[i : i + 2], 16) for i in (1, 3, 5)]
    np.testing.assert_array_equal(picture[-1, -1], shade)


# -- files -------------------------------------------------------------------------------------------------------------


def test_gif_lasts_as_long_as_the_motion(model, tmp_path, artist):
    path = tmp_path / "swing.gif"
    count = rendering.save(path, model, swing(model), 0.02, fps=25, **SIZE)
    assert os.listdir(tmp_path) == ["swing.gif"]
    with Image.open(path) as gif:
        assert gif.size == (160, 120)
        assert gif.n_frames == count == 26
        if artist == "OpenGL":
            assert gif.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        durations = []
        for i in range(count):
            gif.seek(i)
            durations.append(gif.info["duration"])
    assert sum(durations[:-1]) == 1000
    assert durations[-1] == canvas.HOLD_MS


@pytest.mark.parametrize(("fps", "count"), [(30, 34), (50, 51), (60, 51), (24, 26)])
def test_gifs_keep_to_real_time_whatever_the_rate(model, tmp_path, monkeypatch, fps, count):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    path = tmp_path / "swing.gif"
    assert rendering.save(path, model, swing(model), 0.02, fps=fps, **SIZE) == count
    with Image.open(path) as gif:
        assert (count - 1) * gif.info["duration"] == pytest.approx(1000, abs=gif.info["duration"])


def facts(path):
    """Size and rate that ffmpeg reports."""
    told = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True).stderr
    size, rate = re.search(r", (\d+x\d+).*?([\d.]+ fps)", told[told.index("Video:") :]).groups()
    return f"{size}, {rate}"


def test_mp4_has_the_size_and_the_frames(model, tmp_path, artist):
    path = tmp_path / "swing.mp4"
    count = rendering.save(path, model, swing(model), 0.02, fps=30, **SIZE)
    assert os.listdir(tmp_path) == ["swing.mp4"]
    assert facts(path) == "160x120, 30 fps"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, 120, 160, 3)
    assert len(pictures) == count == 31
    original = list(rendering.frames(model, swing(model), 0.02, fps=30, **SIZE))
    # lossy, and colors are kept at half the resolution
    assert np.abs(pictures[15].astype(int) - original[15]).mean() < 4


def test_run_writes_a_video(tmp_path, model):
    record = ppi.run(lambda data: [1.0, 0.0], model, mujoco.MjData(model), 0.2, video=tmp_path / "run.gif")
    with Image.open(tmp_path / "run.gif") as gif:
        assert gif.n_frames == 1 + int(record.time[-1] / 0.03 + 1e-6)
        assert gif.size == (rendering.WIDTH, rendering.HEIGHT)


@pytest.mark.parametrize("name", ["swing.gif", "swing.mp4"])
def test_an_interruption_leaves_the_old_file_and_nothing_else(model, tmp_path, monkeypatch, name):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    (tmp_path / name).write_bytes(b"old")
    drawn = film_module.Film.__getitem__

    def interrupted(film, index):
        if index == 3:
            raise KeyboardInterrupt
        return drawn(film, index)

    monkeypatch.setattr(film_module.Film, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rendering.save(tmp_path / name, model, swing(model), 0.02, **SIZE)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_without_the_package_an_mp4_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ppi.ProblemError, match=r"pip install ppi-robotics\[video\], or write a .gif"):
        rendering.save(tmp_path / "a.mp4", model, swing(model), 0.02)
    with pytest.raises(ppi.ProblemError, match=r"pip install ppi-robotics\[video\]"):  # before the simulation
        ppi.run(lambda data: [0.0, 0.0], model, mujoco.MjData(model), 1e9, video=tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "arm.xml"}, "model is a str; expected a mujoco.MjModel"),
        ({"states": np.zeros(2)}, r"states have shape \(2,\); expected \(n, 2\) positions"),
        ({"states": np.zeros((3, 1))}, r"states have shape \(3, 1\)"),
        ({"states": np.zeros((0, 2))}, r"states have shape \(0, 2\)"),
        ({"states": np.full((3, 2), np.nan)}, "states has a non-finite entry"),
        ({"time": [0.0, 1.0]}, "expected 51 increasing times"),
        ({"time": np.zeros(51)}, "expected 51 increasing times"),
        ({"time": -0.02}, "expected 51 increasing times"),
        ({"fps": 0}, "fps is 0"),
        ({"camera": "side"}, "camera is 'side'; the model has none"),
        ({"camera": 0}, "camera is 0; the model has none"),
        ({"camera": 1.5}, "camera is 1.5; the model has none"),
        ({"width": 1e3}, "width is 1000.0; expected a whole number, at least 16"),
        ({"height": 9000}, "height is 9000; expected a whole number, at least 16 and at most 8192"),
        ({"data": mujoco.MjData(mujoco.MjModel.from_xml_string(BALL))}, "data has 7 positions, the model 2"),
        ({"path": "motion.avi"}, "neither .mp4 nor .gif"),
        ({"path": "missing/motion.gif"}, "no folder 'missing'"),
        ({"path": "motion.mp4", "width": 161, "height": 121}, "give an even width and height"),
    ],
)
def test_bad_arguments_are_refused(model, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    given = {"path": "motion.gif", "model": model, "states": swing(model), "time": 0.02} | SIZE | change
    with pytest.raises(ppi.ProblemError, match=words) as caught:
        rendering.save(**given)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []
