"""Files: what a path may be, links that stay, and nothing but regular files read or written."""

import ast
import os
import socket
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ppi_robotics as ppi
from ppi_robotics import files, rendering
from ppi_robotics.plotting.canvas import write_gif

PACKAGE = Path(ppi.__file__).parent
POLICY = ppi.LinearGaussianPolicy(np.ones((2, 1)), np.zeros((2, 1)), np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), 0.1)


class Refusing:
    """A path object that fails."""

    def __fspath__(self):
        raise RuntimeError("no path today")

    def __repr__(self):
        return "refusing"  # a name of a test, the same in every process


def doors():
    """Everything that takes the path of a file."""
    image = Image.new("P", (2, 2))
    return {
        "write_whole": lambda path: files.write_whole(path, b"data"),
        "policy.save": POLICY.save,
        "policy.load": ppi.LinearGaussianPolicy.load,
        "write_gif": lambda path: write_gif(path, [image], 1, 100),
        "rendering.check_path": rendering.check_path,
        "read_text": lambda path: files.read_text(path, "--file"),
    }


@pytest.mark.parametrize("door", doors())
@pytest.mark.parametrize("path", [None, 3, 1.5, True, b"x", "a\0b", "\ud800", "", [], Refusing()], ids=repr)
def test_what_is_no_path_is_refused(door, path):
    with pytest.raises(ppi.ProblemError, match="expected the path of a file") as caught:
        doors()[door](path)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()  # can be printed


def test_a_number_is_no_open_file():
    """Python's own open takes it for a descriptor, and closes that."""
    reader, writer = os.pipe()
    for number in (reader, writer):
        with pytest.raises(ppi.ProblemError):
            ppi.LinearGaussianPolicy.load(number)
        os.close(number)  # is still open


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("target", ["there", "absent"])
def test_links_stay_and_what_they_name_is_written(tmp_path, depth, target):
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "file"
    if target == "there":
        file.write_bytes(b"old")
    named = "folder/file"
    for i in range(depth):
        (tmp_path / f"link{i}").symlink_to(named)
        named = f"link{i}"
    files.write_whole(tmp_path / named, b"data")
    assert file.read_bytes() == b"data"
    assert not file.is_symlink()
    assert all((tmp_path / f"link{i}").is_symlink() for i in range(depth))
    assert os.listdir(tmp_path / "folder") == ["file"]


def special_files(folder):
    """A file of every kind that is no regular one, and links to them."""
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket"))  # absolute paths may be too long for sockets
    kinds = ["fifo", "folder", "socket"]
    for name in kinds:
        (folder / f"link to {name}").symlink_to(name)
    return [folder / name for name in (*kinds, *(f"link to {name}" for name in kinds), "loop")]


@pytest.mark.parametrize("door", ["write_whole", "policy.save", "policy.load", "write_gif", "read_text"])
def test_special_files_are_neither_read_nor_replaced(tmp_path, monkeypatch, door):
    """Opening a pipe would wait for ever; replacing a device would take it from all programs."""
    monkeypatch.chdir(tmp_path)
    special = special_files(tmp_path)
    before = [stat.S_IFMT(path.lstat().st_mode) for path in special]
    for path in special:
        with pytest.raises(ppi.ProblemError, match="cannot (write|read)|cannot be read"):
            doors()[door](path)
    assert [stat.S_IFMT(path.lstat().st_mode) for path in special] == before
    assert len(os.listdir(tmp_path)) == len(special)


def test_devices_are_not_read():
    with pytest.raises(ppi.ProblemError, match="not a regular file"):
        files.read_text("/dev/zero", "--map")
    with pytest.raises(ppi.ProblemError, match="not a regular file"):
        ppi.LinearGaussianPolicy.load("/dev/zero")


def test_texts_are_read_up_to_a_length(tmp_path, monkeypatch):
    path = tmp_path / "text"
    path.write_text("θ" * 10, encoding="utf-8")
    assert files.read_text(path, "--map") == "θ" * 10
    monkeypatch.setattr(files, "MOST_TEXT", 19)
    with pytest.raises(ppi.ProblemError, match="more than 19 bytes"):
        files.read_text(path, "--map")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ppi.ProblemError, match="not a text file"):
        files.read_text(path, "--map")


def test_messages_stay_short_with_long_paths(tmp_path):
    long = tmp_path / "a" / ("b" * 200) / ("c" * 200)
    for door in ("write_whole", "policy.load", "read_text"):
        with pytest.raises(ppi.ProblemError) as caught:
            doors()[door](long)
        assert len(str(caught.value)) <= 300


def test_files_are_opened_in_one_place():
    """Elsewhere only the package's own sources, folders of its own and the system's memory are read directly."""
    direct = {"read_text", "read_bytes", "write_text", "write_bytes", "savetxt"}
    for path in PACKAGE.rglob("*.py"):
        if path.name in (
            "files.py",
            "compiler.py",
            "jit.py",
            "store.py",
            "video.py",
            "checks.py",
            "options.py",
            "outside.py",
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                opens = isinstance(node.func, ast.Name) and node.func.id == "open"
                assert not opens, f"{path.name} opens a file"
                assert getattr(node.func, "attr", None) not in direct, f"{path.name} calls {node.func.attr}"
