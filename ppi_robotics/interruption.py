"""Ctrl-C that waits for a safe place, so that a long computation can end with what it has.

Python raises KeyboardInterrupt between any two of its steps, where an answer may be half made. Within `Held` the first
Ctrl-C is only noted: loops look at `pressed` and end early, and code deep below calls `check`, which raises at a place
where nothing is lost. The second Ctrl-C is raised at once, as ever.
"""

import _signal as signal  # what `signal` wraps in enumerations, which take a warm solve some percent of its time
import threading
from contextlib import suppress


class Handler:
    """Handler of SIGINT that lets the first Ctrl-C wait, and takes itself away at the second.

    Attributes:
      presses: how often Ctrl-C was pressed.
    """

    def __init__(self):
        self.presses = 0

    def __call__(self, number, frame):
        self.presses += 1
        if self.presses > 1:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.default_int_handler(number, frame)


class Held:
    """Context in which the first Ctrl-C is noted and the second raised; one within another is the same.

    It takes the place of Python's own handler alone, and in the main thread, where signals are handled. Elsewhere, and
    where a caller has a handler of its own, nothing is held back, and KeyboardInterrupt may come from anywhere.
    """

    def __enter__(self):
        self._handler, self._own = Handler(), False
        if threading.current_thread() is threading.main_thread():
            present = signal.getsignal(signal.SIGINT)
            if isinstance(present, Handler):
                self._handler = present
            elif present is signal.default_int_handler:
                with suppress(ValueError):  # in an interpreter within a program, which handles no signals
                    signal.signal(signal.SIGINT, self._handler)
                    self._own = True
        return self

    def __exit__(self, *_):
        if self._own and signal.getsignal(signal.SIGINT) is self._handler:  # the body may have put in another
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def pressed(self):
        """Whether Ctrl-C was pressed, also after the context has ended."""
        return self._handler.presses > 0

    @property
    def insisted(self):
        """Whether it was pressed again, so that KeyboardInterrupt is to be passed on and no answer made."""
        return self._handler.presses > 1


def check():
    """Raise KeyboardInterrupt if Ctrl-C waits; for long loops whose own result may be dropped."""
    if threading.current_thread() is threading.main_thread():
        present = signal.getsignal(signal.SIGINT)
        if isinstance(present, Handler) and present.presses:
            raise KeyboardInterrupt
