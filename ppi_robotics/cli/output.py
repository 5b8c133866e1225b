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


class Lines:
    """Says from a thread, every few seconds, what is being done and for how long, also where that is silent.

    It writes past the console of `rich`, whose lock a copy of the process would take over as the thread left it.

    Attributes:
      text: what is being done.
      done, total: how much of how much, None where that is not known.
    """

    def __init__(self, text):
        self.text, self.done, self.total = text, None, None
        self.began = self.counted = time.monotonic()  # the work, and the count of what is done
        self.start()

    def say(self, text, done=None, total=None):
        """Say this from now on; another total is another count."""
        if total != self.total or (self.done or 0) > (done or 0):
            self.counted = time.monotonic()
        self.text, self.done, self.total = text, done, total

    def pace(self):
        """Seconds, and, where it is known how much there is to do, rate and time left."""
        passed, counted = time.monotonic() - self.began, time.monotonic() - self.counted
        if not self.done or not self.total or counted <= 0.0:
            return f"{passed:.0f} s"
        rate = self.done / counted
        return f"{passed:.0f} s, {rate:.3g} a second, {(self.total - self.done) / rate:.0f} s left"

    def start(self):
        """Begin to say it."""
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self.thread.start()

    def stop(self):
        """Say nothing more."""
        self.over.set()
        self.thread.join()

    def _tell(self):
        while not self.over.wait(EVERY):
            with suppress(OSError, ValueError):  # nobody reads it any more
                sys.stderr.write(f"{self.text} ({self.pace()})\n")
                sys.stderr.flush()


class Bar(Lines):
    """A live bar with rate and time left."""

    def start(self):
        """Show the bar."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        text, pace = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[pace]"))
        self.bar = Progress(SpinnerColumn(), text, BarColumn(), pace, console=ERRORS, transient=True)
        self.task = self.bar.add_task(self.text, total=None, pace="")
        self.bar.start()

    def say(self, text, done=None, total=None):
        """Show this from now on."""
        super().say(text, done, total)
        self.bar.update(self.task, description=text, completed=done or 0, total=total, pace=self.pace())

    def stop(self):
        """Take the bar away."""
        self.bar.stop()


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
