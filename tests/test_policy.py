"""Policies: the control law, what fits a problem, and files that come back equal or not at all."""

import io
import os
import pickle
import stat
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics import manifold
from ppi_robotics.policy import FORMAT, FORMAT_VERSION

NX, NU, T = 3, 2, 5


class Point(ppi.SymbolicPlant):
    """Two forces move a point; only its plan is used here, so nothing is compiled."""

    state_names = ("a", "b", "c")
    control_names = ("f", "g")
    dt = 0.1

    def transition(self, x, u):
        return ppi.vertcat(x[0] + u[0], x[1] + u[1], x[2] + x[0])


def make_policy(**changes):
    rng = np.random.default_rng(7)
    factor = rng.normal(size=(T, NU, NU))
    parts = {
        "x_ref": rng.normal(size=(T, NX)),
        "u_ref": rng.normal(size=(T, NU)),
        "K": rng.normal(size=(T, NU, NX)),
        "cov": factor @ factor.transpose(0, 2, 1),
        "dt": 0.1,
        "plant": "Point",
        "state_names": ("a", "b", "c"),
        "control_names": ("f", "g"),
    }
    return ppi.LinearGaussianPolicy(**(parts | changes))


def make_problem(plant=None, horizon=T):
    plant = plant or Point()
    cost = ppi.Quadratic(state=np.ones(plant.nx), control=np.ones(plant.nu))
    return ppi.Problem(plant, cost, np.zeros(plant.nx), horizon)


def assert_equal(policy, other):
    for name in ("x_ref", "u_ref", "K", "cov"):
        np.testing.assert_array_equal(getattr(policy, name), getattr(other, name))
    for name in ("dt", "plant", "state_names", "control_names"):
        assert getattr(policy, name) == getattr(other, name)


def archive(**changes):
    """Bytes of a policy file with entries replaced, or left out if they are None."""
    policy = make_policy()
    arrays = {name: np.array(getattr(policy, name)) for name in ("x_ref", "u_ref", "K", "cov", "dt", "plant")}
    arrays |= {"state_names": np.array(policy.state_names), "control_names": np.array(policy.control_names)}
    arrays |= {"quaternions": np.array(policy.quaternions, dtype=int)}
    arrays |= {"format": np.array(FORMAT), "version": np.array(FORMAT_VERSION)} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


def load_error(path, content=None):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ppi.ProblemError) as caught:
        ppi.LinearGaussianPolicy.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# -- the control law ---------------------------------------------------------------------------------------------------


def test_mean_is_feedback_about_the_reference():
    policy, x = make_policy(), np.random.default_rng(0).normal(size=(4, NX))
    for t in range(T):
        expected = [policy.u_ref[t] + policy.K[t] @ (row - policy.x_ref[t]) for row in x]
        np.testing.assert_allclose(policy.mean(t, x), expected, rtol=1e-14, atol=1e-14)
        np.testing.assert_array_equal(policy.mean(t, policy.x_ref[t]), policy.u_ref[t])


def test_samples_have_the_mean_and_covariance():
    """Each entry of both within 5 standard errors of its estimate."""
    policy, draws = make_policy(), 100_000
    x = np.array([0.3, -1.0, 2.0])
    u = policy.sample(2, np.tile(x, (draws, 1)), np.random.default_rng(1))
    cov, scale = policy.cov[2], np.diag(policy.cov[2])
    assert np.all(np.abs(u.mean(axis=0) - policy.mean(2, x)) < 5 * np.sqrt(scale / draws))
    assert np.all(np.abs(np.cov(u.T) - cov) < 5 * np.sqrt((np.outer(scale, scale) + cov**2) / draws))


def test_samples_of_a_singular_covariance_stay_in_its_range():
    direction = np.array([1.0, -2.0])
    policy = make_policy(cov=np.tile(np.outer(direction, direction), (T, 1, 1)))
    rng = np.random.default_rng(2)
    u = policy.sample(0, np.tile(policy.x_ref[0], (100, 1)), rng) - policy.u_ref[0]
    np.testing.assert_allclose(u @ [2.0, 1.0], 0.0, atol=1e-12)
    assert np.ptp(u @ direction) > 1.0
    still = make_policy(cov=np.zeros((T, NU, NU)))
    np.testing.assert_array_equal(still.sample(1, still.x_ref[1], rng), still.u_ref[1])


def test_interpolate_is_exact_at_stages_linear_between_and_constant_outside():
    policy = make_policy()
    parts = (policy.x_ref, policy.u_ref, policy.K)
    for t in range(T):
        for value, expected in zip(policy.interpolate(t * policy.dt), parts, strict=True):
            np.testing.assert_allclose(value, expected[t], rtol=1e-12)
    for value, expected in zip(policy.interpolate(1.25 * policy.dt), parts, strict=True):
        np.testing.assert_allclose(value, 0.75 * expected[1] + 0.25 * expected[2], rtol=1e-12)
    for time, t in ((-3.0, 0), (T * policy.dt, T - 1), (1e9, T - 1)):
        for value, expected in zip(policy.interpolate(time), parts, strict=True):
            np.testing.assert_array_equal(value, expected[t])


def test_interpolate_of_one_stage():
    policy = make_policy()
    one = make_policy(x_ref=policy.x_ref[:1], u_ref=policy.u_ref[:1], K=policy.K[:1], cov=policy.cov[:1])
    for time in (-1.0, 0.0, 0.05, 1.0):
        np.testing.assert_array_equal(one.interpolate(time)[1], policy.u_ref[0])


def test_interpolate_refuses_a_time_that_is_no_number():
    with pytest.raises(ppi.ProblemError, match="time"):
        make_policy().interpolate(np.nan)


def test_a_policy_is_immutable_and_does_not_share_memory():
    u_ref = np.zeros((T, NU))
    policy = make_policy(u_ref=u_ref)
    u_ref[0, 0] = 9.0
    assert policy.u_ref[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        policy.u_ref[0, 0] = 1.0
    with pytest.raises(AttributeError):
        policy.dt = 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x_ref", np.zeros(T)),
        ("x_ref", np.zeros((0, NX))),
        ("u_ref", np.zeros((T + 1, NU))),
        ("K", np.zeros((T, NX, NU + 1))),
        ("cov", np.zeros((T, NU))),
        ("cov", np.full((T, NU, NU), np.nan)),
        ("K", np.full((T, NU, NX), np.inf)),
        ("u_ref", "abc"),
        ("dt", 0.0),
        ("dt", -0.1),
        ("dt", [0.1, 0.2]),
        ("cov", np.tile([[1.0, 2.0], [2.0, 1.0]], (T, 1, 1))),
        ("cov", np.tile([[1.0, 0.5], [0.0, 1.0]], (T, 1, 1))),
        ("cov", np.tile(np.diag([1e12, -1.0]), (T, 1, 1))),
        ("plant", None),
        ("plant", "a\nb"),
        ("state_names", ("a", "b")),
        ("state_names", ("a", "b", 3)),
        ("control_names", "fg"),
        ("control_names", ("f", "\x1b[2J")),
        ("quaternions", (0,)),
    ],
)
def test_parts_that_do_not_fit_are_refused(name, value):
    with pytest.raises(ppi.ProblemError):
        make_policy(**{name: value})


@pytest.mark.parametrize("quaternions", [(5,), (-1,), (0, 3), (0, 0), (10**30,), (0.0,), (True,), 3, None, "0", [[0]]])
def test_quaternions_outside_the_state_are_refused_everywhere(quaternions):
    """Compiled code takes their indices as they are."""
    x, tangent = np.ones(8), np.ones(7)
    policy = {"x_ref": np.ones((T, 8)), "K": np.zeros((T, NU, 7)), "state_names": ()}
    for make in (
        lambda: make_policy(**policy, quaternions=quaternions),
        lambda: ppi.Gaussian(x, np.eye(7), quaternions),
        lambda: manifold.difference(x, x, quaternions),
        lambda: manifold.retract(x, tangent, quaternions),
        lambda: manifold.add_to_squares(np.zeros(1), np.zeros((0, 3)), x[None], x, quaternions),
        lambda: manifold.retract_jacobian(x, quaternions),
        lambda: manifold.difference_jacobian(x, x, quaternions),
        lambda: manifold.unit(x, quaternions),
    ):
        with pytest.raises(ppi.ProblemError, match="quaternions"):
            make()


def test_quaternions_count_in_any_order():
    x = np.arange(1.0, 10.0)
    for starts in ([5, 1], np.array([1, 5])):
        assert ppi.Gaussian(x, np.eye(7), starts).quaternions == (1, 5)
        np.testing.assert_array_equal(manifold.difference(x, x[::-1], starts), manifold.difference(x, x[::-1], (1, 5)))


@pytest.mark.parametrize(("x", "other"), [((8,), (3,)), ((2, 8), (3, 8)), ((), ()), ((8,), ())])
def test_states_of_other_shapes_are_refused(x, other):
    for quaternions in ((), (4,)):
        for function in (manifold.difference, manifold.retract):
            with pytest.raises(ppi.ProblemError):
                function(np.ones(x), np.ones(other), quaternions)


def test_definiteness_does_not_depend_on_units():
    """Rounding of either sign passes, whatever the units of the controls are."""
    unit = np.diag([1e-9, 1e9])
    singular = unit @ np.array([[1.0, 1.0], [1.0, 1.0 - 1e-12]]) @ unit
    make_policy(cov=np.tile(singular, (T, 1, 1)))
    with pytest.raises(ppi.ProblemError, match="indefinite"):
        make_policy(cov=np.tile(unit @ np.array([[1.0, 1.0], [1.0, 0.99]]) @ unit, (T, 1, 1)))


# -- fitting a problem -------------------------------------------------------------------------------------------------


def test_check_accepts_the_problem_it_was_made_for():
    make_policy().check(make_problem())
    make_policy(plant="", state_names=(), control_names=()).check(make_problem())


class Other(Point):
    """The same sizes under another name."""


class Renamed(Point):
    """The same name with other states."""

    name = "Point"
    state_names = ("b", "a", "c")


class Flat(ppi.SymbolicPlant):
    """Two states."""

    state_names = ("a", "b")
    control_names = ("f", "g")
    dt = 0.1

    def transition(self, x, u):
        return x + u


class Fast(Point):
    """Shorter stages."""

    name = "Point"
    dt = 0.05


@pytest.mark.parametrize(
    ("policy", "problem", "words"),
    [
        ({}, (Other(), T), ["'Point'", "'Other'"]),
        ({}, (Renamed(), T), ["('a', 'b', 'c')", "('b', 'a', 'c')"]),
        ({"plant": ""}, (Flat(), T), ["3 states", "2 and 2"]),
        ({}, (Point(), T + 2), [f"{T} stages", str(T + 2)]),
        ({}, (Fast(), T), ["0.1 s", "0.05 s"]),
    ],
)
def test_check_refuses_a_policy_of_another_problem(policy, problem, words):
    with pytest.raises(ppi.ProblemError) as caught:
        make_policy(**policy).check(make_problem(*problem))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"plant": "", "state_names": (), "control_names": ()}])
def test_a_saved_policy_comes_back_bit_for_bit(tmp_path, changes):
    policy = make_policy(**changes)
    policy.save(tmp_path / "policy.npz")
    assert_equal(ppi.LinearGaussianPolicy.load(tmp_path / "policy.npz"), policy)
    policy.save(str(tmp_path / "no suffix"))
    assert_equal(ppi.LinearGaussianPolicy.load(str(tmp_path / "no suffix")), policy)
    assert sorted(os.listdir(tmp_path)) == ["no suffix", "policy.npz"]


def test_the_file_holds_plain_arrays_and_no_pickle(tmp_path):
    make_policy().save(tmp_path / "policy.npz")
    with np.load(tmp_path / "policy.npz", allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= {"f", "i", "U"}


def test_saving_respects_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        make_policy().save(tmp_path / "policy.npz")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "policy.npz").stat().st_mode) == 0o600


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    resource = pytest.importorskip("resource")
    path, policy = tmp_path / "policy.npz", make_policy()
    policy.save(path)
    parts = ("x_ref", "u_ref", "K", "cov")
    large = make_policy(**{name: np.repeat(getattr(policy, name), 200, axis=0) for name in parts})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))  # files cannot grow beyond it, as on a full disk
    try:
        with pytest.raises(ppi.ProblemError, match="cannot write"):
            large.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["policy.npz"]
    assert_equal(ppi.LinearGaussianPolicy.load(path), policy)


@pytest.mark.parametrize("step", ["numpy.savez", "os.fsync", "os.replace"])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "policy.npz"
    path.write_bytes(b"old")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_policy().save(path)
    assert os.listdir(tmp_path) == ["policy.npz"]
    assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "policy.npz", tmp_path / "folder"):
        with pytest.raises(ppi.ProblemError, match="cannot write") as caught:
            make_policy().save(path)
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == []


def test_the_archive_helper_makes_valid_files(tmp_path):
    """Otherwise the refusals below could have another cause."""
    (tmp_path / "policy.npz").write_bytes(archive())
    assert_equal(ppi.LinearGaussianPolicy.load(tmp_path / "policy.npz"), make_policy())


def test_a_missing_file_is_refused(tmp_path):
    assert "no policy file" in load_error(tmp_path / "policy.npz")
    load_error(tmp_path)  # a folder


def test_every_truncation_is_refused(tmp_path):
    content = archive()
    for length in range(0, len(content), 41):
        load_error(tmp_path / "policy.npz", content[:length])


def test_a_changed_byte_is_refused_or_harmless(tmp_path):
    """Checksums cover the arrays; bytes outside them, such as the time of writing, do not matter."""
    content, path = archive(), tmp_path / "policy.npz"
    refused = 0
    for i in range(0, len(content), 5):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :])
        try:
            policy = ppi.LinearGaussianPolicy.load(path)
        except ppi.ProblemError:
            refused += 1
        else:
            assert_equal(policy, make_policy())
    assert refused > 0.5 * len(range(0, len(content), 5))  # the arrays are more than half of the file


@pytest.mark.parametrize("kind", ["text", "pickle", "npy", "npz", "zip"])
def test_foreign_files_are_refused(tmp_path, kind):
    buffer = io.BytesIO()
    if kind == "text":
        buffer.write(b"policy")
    elif kind == "pickle":
        pickle.dump({"x_ref": 1}, buffer)
    elif kind == "npy":
        np.save(buffer, np.ones((3, 2)))
    elif kind == "npz":
        np.savez(buffer, x_ref=np.ones(3))
    else:
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("format", FORMAT)
            file.writestr("dt", "abc")
    message = load_error(tmp_path / "foreign", buffer.getvalue())
    assert "policy.save" in message
    assert "allow_pickle" not in message


class Trap:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_objects_in_the_archive_are_never_loaded(tmp_path):
    path, trap = tmp_path / "policy.npz", tmp_path / "executed"
    for name in ("x_ref", "plant", "format"):
        load_error(path, archive(**{name: np.array([Trap(str(trap))], dtype=object)}))
    assert not trap.exists()
    with np.load(path, allow_pickle=True) as file, file["format"][0]:  # the trap is real
        assert trap.exists()


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "one", [1, 2], np.zeros((9, 9)), None])
def test_other_versions_are_refused(tmp_path, version):
    message = load_error(tmp_path / "policy.npz", archive(version=version))
    assert f"reads {FORMAT_VERSION}" in message


@pytest.mark.parametrize("name", ["x_ref", "u_ref", "K", "cov", "dt", "plant", "state_names", "control_names"])
def test_a_missing_entry_is_named(tmp_path, name):
    assert f"lacks {name};" in load_error(tmp_path / "policy.npz", archive(**{name: None}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x_ref", np.full((T, NX), np.nan)),
        ("x_ref", np.zeros((T + 1, NX))),
        ("x_ref", np.array([["a"] * 60] * 60)),
        ("dt", np.array("fast")),
        ("dt", np.array([0.1, 0.2])),
        ("dt", np.array(-1.0)),
        ("dt", np.array(np.nan)),
        ("x_ref", np.zeros((T, NX), dtype=complex)),
        ("x_ref", np.zeros((T, NX), dtype=np.float32)),
        ("x_ref", np.zeros((T, NX), dtype=np.longdouble)),
        ("u_ref", np.zeros((T, NU), dtype=bool)),
        ("K", np.zeros((T, NU, NX), dtype="datetime64[s]")),
        ("K", np.zeros((T, NU, NX + 1))),
        ("cov", np.zeros((T, NU, NU), dtype=[("a", float)])),
        ("cov", np.tile(-np.eye(NU), (T, 1, 1))),
        ("plant", np.array(["a", "b"])),
        ("plant", np.array(b"Point")),
        ("plant", np.array("a\x00\x1b[31mb")),
        ("state_names", np.array("abc")),
        ("state_names", np.array(["a", "b"])),
        ("state_names", np.array(["a", "b", "c\n"])),
        ("control_names", np.array([1.0, 2.0])),
        ("quaternions", np.array([0])),
        ("quaternions", np.array([2**62])),
        ("quaternions", np.array([0.0])),
        ("quaternions", np.zeros((0, 2), dtype=int)),
    ],
)
def test_damaged_entries_are_refused(tmp_path, name, value):
    assert "damaged" in load_error(tmp_path / "policy.npz", archive(**{name: value}))


def packed(path, entries):
    """An archive of entries (name, dtype, shape) that are all zero, packed as closely as it goes."""
    block = b"\0" * 2**22
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, value in make_policy()._arrays().items():
            if name not in {entry[0] for entry in entries}:
                buffer = io.BytesIO()
                np.save(buffer, value)
                file.writestr(f"{name}.npy", buffer.getvalue())
        for name, dtype, shape in entries:
            with file.open(f"{name}.npy", "w") as entry:
                about = {"descr": dtype, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(entry, about)
                left = np.dtype(dtype).itemsize * int(np.prod(shape))
                while left:
                    left -= entry.write(block[:left])


LONG = 2**20
BOMBS = {
    "one array": [("x_ref", "<f8", (16 * LONG, 1))],
    "all arrays": [
        ("x_ref", "<f8", (5 * LONG, 1)),
        ("u_ref", "<f8", (5 * LONG, 1)),
        ("K", "<f8", (5 * LONG, 1, 1)),
        ("cov", "<f8", (5 * LONG, 1, 1)),
    ],
    "one name": [("state_names", f"<U{32 * LONG}", (1,))],
    "the format": [("format", f"<U{32 * LONG}", ())],
    "something else": [("more", "<f8", (16 * LONG,))],
}


@pytest.mark.parametrize("kind", BOMBS)
def test_files_that_unpack_to_very_much_are_refused_unread(tmp_path, kind):
    path = tmp_path / "policy.npz"
    packed(path, BOMBS[kind])
    assert path.stat().st_size < 500_000
    tracemalloc.start()
    try:
        assert "damaged" in load_error(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_compressed_file_of_a_policy_is_read(tmp_path):
    np.savez_compressed(tmp_path / "policy.npz", **make_policy()._arrays())
    assert_equal(ppi.LinearGaussianPolicy.load(tmp_path / "policy.npz"), make_policy())


@pytest.mark.parametrize("shape", [(T, NX + 1), (T - 1, NX), (2**62, 2**62), (-T, -NX), (T, -1)])
def test_headers_that_do_not_tell_the_size_are_refused(tmp_path, shape):
    """Here the header of x_ref lies; its data are those of (T, NX)."""
    path, header = tmp_path / "policy.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as file:
        for name, value in make_policy()._arrays().items():
            buffer = io.BytesIO()
            np.save(buffer, value)
            content = header.getvalue() + value.tobytes() if name == "x_ref" else buffer.getvalue()
            file.writestr(f"{name}.npy", content)
    assert "damaged" in load_error(path)


def test_entries_of_one_name_are_refused(tmp_path):
    path = tmp_path / "policy.npz"
    path.write_bytes(archive())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, of the name
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("x_ref.npy", b"")
    assert "damaged" in load_error(path)
