"""A private folder of the user for compiled kernels, and the files in it.

Loading a kernel runs code, so that nothing is read that somebody else may have written: the folder lies inside the one
that PPI_ROBOTICS_CACHE names, or the user's own cache, belongs to the user and nobody else may enter it; every file
carries a hash of what was written. Without such a folder, or without room in it, kernels are compiled in every process.
"""

import functools
import hashlib
import logging
import os
import secrets
import stat
from pathlib import Path

MARK = b"ppi_robotics kernel 1\n"
HASH = 32  # bytes
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
ADVICE = "set PPI_ROBOTICS_CACHE to a folder of your own"
logger = logging.getLogger("ppi_robotics")


class Store:
    """Files of one folder by name.

    Attributes:
      folder: path, or None where there is no folder that can be used.
      writable: whether files are written; no longer once writing has failed.
    """

    def __init__(self):
        self.folder = self.writable = None
        base = None
        try:
            base = base_directory()
            self.folder, self.writable = private_directory(base), True
        except (OSError, RuntimeError) as error:  # RuntimeError: of a user without a home
            self._go_on_without(base, error)

    def read(self, name):
        """Bytes of a file, or None if it is not there; what is damaged or may come from others is deleted."""
        if self.folder is None:
            return None
        try:
            with open(self.folder / name, "rb") as file:
                status, content = os.fstat(file.fileno()), file.read()
        except OSError:
            return None
        digest, data = content[len(MARK) : len(MARK) + HASH], content[len(MARK) + HASH :]
        sound = content.startswith(MARK) and hashlib.sha256(data).digest() == digest
        if sound and stat.S_ISREG(status.st_mode) and is_ours(status) and not status.st_mode & OTHERS_WRITE:
            return data
        self.discard(name)
        return None

    def write(self, name, data):
        """Write a file, whole or not at all; the first time that this fails is the last time that it is tried."""
        if not self.writable:
            return
        partial = self.folder / f"{secrets.token_hex(8)}.part"
        try:
            try:
                with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(MARK + hashlib.sha256(data).digest() + data)
                os.replace(partial, self.folder / name)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._go_on_without(self.folder, error)

    def discard(self, name):
        """Delete a file if that is possible."""
        try:
            (self.folder / name).unlink()
        except OSError:
            self.writable = False

    def _go_on_without(self, folder, error):
        self.writable = False
        reason = getattr(error, "strerror", None) or error
        logger.warning("kernels cannot be kept in '%s' (%s) and compile in every process; %s", folder, reason, ADVICE)


@functools.cache
def store():
    """The store of this process."""
    return Store()


def base_directory():
    """The folder that the private one lies in."""
    given = os.environ.get("PPI_ROBOTICS_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ppi_robotics"


def private_directory(base):
    """The user's own folder within another one, which keeps its mode; made if it is not there.

    If others could write to it, what it holds is deleted, as it may be theirs.

    Raises:
      OSError: if it cannot be made, or belongs to somebody else.
    """
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = base.absolute() / (f"kernels-{os.getuid()}" if hasattr(os, "getuid") else "kernels")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or not is_ours(status):
            raise PermissionError(0, "it is no folder of yours") from None
        if status.st_mode & OTHERS_WRITE and hasattr(os, "getuid"):
            folder.chmod(0o700)
            for entry in os.scandir(folder):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry)
    return folder


def is_ours(status):
    """Whether a file belongs to this user."""
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()
