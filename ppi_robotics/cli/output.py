"""What the program prints: tables and JSON on standard output, remarks and progress on standard error."""

import json
import logging
import math
import sys
import threading
import time
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.table import Table

EVERY = 5.0  # seconds between lines of progress where there is no terminal
OUTPUT = Console(markup=False, highlight=False)
ERRORS = Console(stderr=True, markup=False, highlight=False)


def remark(message: str) -> None:
    """Print one line on standard error."""
    ERRORS.print(message, soft_wrap=True)


def show_json(facts: dict) -> None:
    """Print one JSON object; numbers that JSON does not know are null."""
    sys.stdout.write(json.dumps(plain(facts), allow_nan=False) + "\n")


def plain(value):
    """The value in types that JSON knows."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def print_rows(rows: list[list[str]]) -> None:
    """Print a table of texts, headings first; where there is no terminal, at the width that it needs."""
    table = Table(*rows[0])
    for column in table.columns:
        column.overflow = "fold"  # on a narrow terminal; nothing is cut off
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows[1:]:
        table.add_row(*row)
    print_table(table)


def print_table(table: Table) -> None:
    """Print a table; where there is no terminal, at the width that it needs."""
    console = OUTPUT if OUTPUT.is_terminal else Console(markup=False, highlight=False, width=1000)
    console.print(table)


# -- progress ----------------------------------------------------------------------------------------------------------


@contextmanager
def progress(text: str):
    """A bar on a terminal, elsewhere a line every few seconds.

    Yields:
      Function of a text and, where that is known, of how much is done of how much; it changes what is shown.
    """
    shown = (Bar if ERRORS.is_terminal else Lines)(text)
    try:
        yield shown.say
    finally:
        shown.stop()


class Pace:
    """How much is done of how much, since when."""

    def __init__(self):
        self.began, self.counted, self.done, self.total = time.monotonic(), time.monotonic(), None, None

    def count(self, done, total):
        """Note what is done; another total is another count."""
        if total != self.total or (self.done or 0) > (done or 0):
            self.counted = time.monotonic()
        self.done, self.total = done, total

    def __str__(self):
        passed, counted = time.monotonic() - self.began, time.monotonic() - self.counted
        if not self.done or not self.total or counted <= 0.0:
            return f"{passed:.0f} s"
        rate = self.done / counted
        left = (self.total - self.done) / rate
        return f"{passed:.0f} s, {rate:.3g} a second, {left:.0f} s left"


class Bar:
    """A live bar with rate and time left."""

    def __init__(self, text):
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        self.pace, self.bar = Pace(), Progress(*columns, console=ERRORS, transient=True)
        self.task = self.bar.add_task(text, total=None, pace="")
        self.bar.start()

    def say(self, text, done=None, total=None):
        """Show this from now on."""
        self.pace.count(done, total)
        self.bar.update(self.task, description=text, completed=done or 0, total=total, pace=str(self.pace))

    def stop(self):
        """Take the bar away."""
        self.bar.stop()


class Lines:
    """Says from a thread, every few seconds, what is being done and for how long, also where that is silent.

    It writes past the console of `rich`, whose lock a copy of the process would take over as the thread left it.
    """

    def __init__(self, text):
        self.text, self.pace, self.over = text, Pace(), threading.Event()
        self.thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self.thread.start()

    def say(self, text, done=None, total=None):
        """Say this from now on."""
        self.pace.count(done, total)
        self.text = text

    def stop(self):
        """Say nothing more."""
        self.over.set()
        self.thread.join()

    def _tell(self):
        while not self.over.wait(EVERY):
            with suppress(OSError, ValueError):  # nobody reads it any more
                sys.stderr.write(f"{self.text} ({self.pace})\n")
                sys.stderr.flush()


class CompileNotice(logging.Handler):
    """Shows each message of the library once, and all those about compiling as a single line.

    Attributes:
      subject: what is being compiled, a plant's name.
    """

    def __init__(self, subject=""):
        super().__init__()
        self.subject, self.shown = subject, set()

    def emit(self, record):
        """Print a message unless it was shown."""
        message = record.getMessage()
        if message.startswith("compiling"):
            subject = f" for {self.subject}" if self.subject else ""
            message = f"compiling kernels{subject} (first run only, up to a minute) ..."
        if message not in self.shown:
            self.shown.add(message)
            remark(message)
