"""Kernels on disk: compiled once, and nothing is read that is damaged or that somebody else may have written."""

import importlib
import logging
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ppi_robotics
from ppi_robotics.kernels import jit, outside, store

PACKAGE = Path(ppi_robotics.__file__).parent
NAME, DATA = "kernel.nbc", bytes(range(256)) * 8


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder that PPI_ROBOTICS_CACHE names."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PPI_ROBOTICS_CACHE", str(folder))
    return folder


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def double(x):
    return 2.0 * x


def compiled(base):  # noqa: ARG001
    """A function in the state of a process that has just started, and its store."""
    fresh = store.Store()
    function = jit.njit(double, error_model="numpy")
    return function, fresh


def run(function, fresh, monkeypatch):
    """How often the function came from disk and how often it was compiled, after a call."""
    monkeypatch.setattr(jit, "store", lambda: fresh)
    assert function(1.5) == 3.0
    stats = function.stats
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


# -- the folder --------------------------------------------------------------------------------------------------------


def test_files_come_back_in_a_folder_that_nobody_else_may_enter(base):
    kept = store.Store()
    kept.write(NAME, DATA)
    assert store.Store().read(NAME) == DATA
    assert kept.read("another.nbc") is None
    assert kept.folder.parent == base
    assert mode(kept.folder) == mode(base) == 0o700
    assert mode(kept.folder / NAME) == 0o600
    assert os.listdir(kept.folder) == [NAME]


@pytest.mark.parametrize("given", [0o755, 0o2775, 0o777, 0o1777])
def test_a_folder_that_was_there_keeps_its_mode(base, given):
    base.mkdir()
    base.chmod(given)
    kept = store.Store()
    kept.write(NAME, DATA)
    assert mode(base) == given
    assert mode(kept.folder) & 0o777 == 0o700  # the bit for groups is inherited


def test_an_empty_name_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PPI_ROBOTICS_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.base_directory() == tmp_path / "xdg" / "ppi_robotics"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert store.base_directory() == Path.home() / ".cache" / "ppi_robotics"


@pytest.mark.parametrize("given", [0o777, 0o770, 0o702])
def test_what_a_folder_holds_that_others_could_write_to_is_deleted(base, given):
    kept = store.Store()
    kept.write(NAME, DATA)
    kept.folder.chmod(given)
    again = store.Store()
    assert again.read(NAME) is None
    assert mode(again.folder) == 0o700
    assert os.listdir(again.folder) == []
    again.write(NAME, DATA)
    assert store.Store().read(NAME) == DATA


def test_files_that_others_could_write_to_are_deleted(base):
    kept = store.Store()
    for given in (0o666, 0o620, 0o602):
        kept.write(NAME, DATA)
        (kept.folder / NAME).chmod(given)
        assert kept.read(NAME) is None
        assert os.listdir(kept.folder) == []


def test_files_of_another_user_are_not_read(base, monkeypatch):
    kept = store.Store()
    kept.write(NAME, DATA)
    with monkeypatch.context() as patch:
        patch.setattr(store, "is_ours", lambda status: stat.S_ISDIR(status.st_mode))
        assert kept.read(NAME) is None


@pytest.mark.parametrize("kind", ["file", "link", "foreign"])
def test_a_place_that_is_no_folder_of_the_user_is_not_used(base, tmp_path, monkeypatch, caplog, kind):
    base.mkdir()
    own = base / f"kernels-{os.getuid()}"
    if kind == "file":
        own.write_bytes(b"")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        own.symlink_to(tmp_path / "elsewhere")
    else:
        own.mkdir()
        monkeypatch.setattr(store, "is_ours", lambda status: False)
    without = store.Store()
    without.write(NAME, DATA)
    assert without.folder is None
    assert without.read(NAME) is None
    assert len(caplog.records) == 1
    assert not own.is_dir() or os.listdir(own) == []


def test_without_a_home_there_is_no_folder_and_one_warning(monkeypatch, caplog):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.setattr(store.Path, "home", homeless)
    monkeypatch.setenv("PPI_ROBOTICS_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    with caplog.at_level(logging.WARNING, "ppi_robotics"):
        assert store.Store().folder is None
    assert len(caplog.records) == 1


def test_a_full_disk_is_noted_once_and_leaves_nothing(base, caplog):
    resource = pytest.importorskip("resource")
    kept = store.Store()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))  # files cannot grow beyond it, as on a full disk
    try:
        for name in (NAME, "second.nbc"):
            kept.write(name, DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(kept.folder) == []
    assert len(caplog.records) == 1
    assert "PPI_ROBOTICS_CACHE" in caplog.text


def test_every_damage_is_noticed_and_the_file_deleted(base):
    kept = store.Store()
    kept.write(NAME, DATA)
    path = kept.folder / NAME
    sound = path.read_bytes()
    flipped = (sound[:i] + bytes([sound[i] ^ 1]) + sound[i + 1 :] for i in range(0, len(sound), 97))
    for content in (b"", b"\xff\xfe\x00", sound[:-1], sound + b"\0", *flipped):
        path.write_bytes(content)
        path.chmod(0o600)
        assert kept.read(NAME) is None
        assert not path.exists()


# -- functions ---------------------------------------------------------------------------------------------------------


def test_functions_are_compiled_once_and_damaged_ones_anew(base, monkeypatch):
    assert run(*compiled(base), monkeypatch) == (0, 1)
    assert run(*compiled(base), monkeypatch) == (1, 0)
    (path,) = (base / f"kernels-{os.getuid()}").iterdir()
    path.write_bytes(b"\xff\xfe\x00")
    assert run(*compiled(base), monkeypatch) == (0, 1)
    assert run(*compiled(base), monkeypatch) == (1, 0)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x04N."])  # the last one is None
def test_a_sound_file_of_something_else_is_compiled_anew(base, monkeypatch, content):
    run(*compiled(base), monkeypatch)
    (path,) = (base / f"kernels-{os.getuid()}").iterdir()
    store.Store().write(path.name, content)
    assert run(*compiled(base), monkeypatch) == (0, 1)
    assert run(*compiled(base), monkeypatch) == (1, 0)


def test_without_a_folder_functions_are_compiled_in_every_process(base, monkeypatch, caplog):
    base.write_bytes(b"")
    for _ in range(2):
        assert run(*compiled(base), monkeypatch) == (0, 1)
    assert len(caplog.records) == 2  # one a process


def test_what_differs_in_its_code_has_a_file_of_its_own(base, monkeypatch):
    fresh = store.Store()
    monkeypatch.setattr(jit, "store", lambda: fresh)
    assert jit.njit(double)(2.0) == jit.njit(double)(2) == 4
    assert len(os.listdir(fresh.folder)) == 2  # floats and whole numbers
    monkeypatch.setattr(jit, "stamp_of", lambda module: "changed")
    jit.njit(double)(2.0)
    assert len(os.listdir(fresh.folder)) == 3


def test_the_stamp_of_a_module_changes_with_what_it_imports(tmp_path, monkeypatch):
    for path in (PACKAGE / "kernels").glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(jit, "FOLDER", tmp_path)

    def stamps():
        jit.stamp_of.cache_clear()
        return {name: jit.stamp_of(f"ppi_robotics.kernels.{name}") for name in ("cluster_variation", "bellman")}

    before = stamps()
    with open(tmp_path / "belief_propagation.py", "a") as file:  # which cluster_variation imports, and bellman does not
        file.write("# changed\n")
    after = stamps()
    jit.stamp_of.cache_clear()
    assert before["cluster_variation"] != after["cluster_variation"]
    assert before["bellman"] == after["bellman"]


def test_kernels_of_other_packages_have_the_stamps_of_their_texts(tmp_path, monkeypatch):
    """Also where what changes is imported by a module in between, or from this package."""
    head = "from ppi_robotics.kernels.outside import njit\n"
    texts = {"top": head + "from other.middle import two\n", "middle": head + "from other.low import one\n"}
    texts |= {"low": head, "apart": head}
    texts["top"] += "\n\n@njit\ndef twice(x):\n    return 2 * x\n"
    texts["middle"] += "two = 2 * one\n"
    texts["low"] += "one = 1\n"
    (tmp_path / "other").mkdir()
    for name, text in {"__init__": "", **texts}.items():
        (tmp_path / "other" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    twice = importlib.import_module("other.top").twice
    importlib.import_module("other.apart")

    def stamps():
        outside.stamp_of.cache_clear()
        return outside.stamp_of("other.top"), outside.stamp_of("other.apart")

    before = stamps()
    assert twice._cache.module == f"{before[0]}.top"
    (tmp_path / "other" / "low.py").write_text(texts["low"] + "# changed\n")
    after = stamps()
    assert before[0] != after[0]
    assert before[1] == after[1]
    monkeypatch.setattr(jit, "stamp_of", lambda module: "changed")
    assert stamps()[1] != after[1]  # it imports `outside`, which stands in for all kernels of this package
    for name in ("", *(f".{name}" for name in texts)):
        sys.modules.pop(f"other{name}", None)


# -- processes ---------------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from ppi_robotics import manifold
from ppi_robotics.kernels import manifold as kernels
from ppi_robotics.kernels.compiler import build
text = "@njit\\ndef twice(x, y):\\n    for i in range(x.shape[0]):\\n        y[i] = 2.0 * x[i] + tail(x)\\n"
text += "\\n\\n@inlined\\ndef tail(x):\\n    return x[-1]\\n"
module, x, y = build("twice", 1, {}, (text,), ()), np.ones(3), np.zeros(3)
module.twice(x, y)
assert (y == 3.0).all()
assert manifold.difference(np.eye(4)[0], np.eye(4)[0], (0,)).shape == (3,)
counted = [module.twice, kernels.subtract_rows]
print("compiled", sum(sum(f.stats.cache_misses.values()) for f in counted))
"""


def process(cache, package=PACKAGE.parent, **environment):
    """Output of a process that uses a generated kernel and one of the package."""
    given = os.environ | {"PPI_ROBOTICS_CACHE": str(cache), "PYTHONPATH": str(package)} | environment
    given["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.strip()


def test_a_second_process_compiles_nothing_from_a_package_that_cannot_be_written(tmp_path):
    """All kernels go through the private folder; nothing is written beside the source or in the home."""
    package, home = tmp_path / "package", tmp_path / "home"
    shutil.copytree(PACKAGE, package / "ppi_robotics", ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    before = sorted(package.rglob("*"))
    for path in (*before, package, home):
        path.chmod(mode(path) & 0o555)
    out, errors = process(tmp_path / "cache", package, HOME=str(home))
    assert out == "compiled 2"
    assert errors == "compiling twice; this happens once on a machine and takes some seconds"
    assert process(tmp_path / "cache", package, HOME=str(home)) == ("compiled 0", "")
    assert sorted(package.rglob("*")) == before
    assert list(home.iterdir()) == []


def test_checked_and_unchecked_code_are_kept_apart(tmp_path):
    assert process(tmp_path / "cache", NUMBA_BOUNDSCHECK="0")[0] == "compiled 2"  # whatever this process does
    assert process(tmp_path / "cache", NUMBA_BOUNDSCHECK="1")[0] == "compiled 2"
    assert process(tmp_path / "cache", NUMBA_BOUNDSCHECK="0")[0] == "compiled 0"


FILLED = """
import numpy as np
from ppi_robotics.kernels.jit import njit
from ppi_robotics.kernels.tiles import new_vector

@njit
def fresh(out):
    scratch, array, whole, like = new_vector(3), np.empty(4), np.empty((2, 2), np.int64), np.empty_like(out)
    return np.isnan(scratch[2]) and np.isnan(array).all() and (whole == -1).all() and np.isnan(like).all()

assert fresh(np.zeros(5)) and np.isnan(np.empty((2, 3))).all() and np.isnan(np.empty_like(np.zeros(2))).all()
assert (np.empty(3, int) == -1).all() and np.zeros(2).sum() == 0.0
"""


def test_new_memory_is_filled_on_request(tmp_path):
    given = {"PPI_ROBOTICS_CACHE": str(tmp_path), "PPI_ROBOTICS_FILL_MEMORY": "1", "PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", FILLED], env=os.environ | given, check=True)


def test_every_kernel_is_kept_here():
    """What numba kept itself would lie beside the source, unchecked."""
    for path in (PACKAGE / "kernels").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "cache=True" not in text, path.name
        assert '"cache"' not in text, path.name
