"""Work by threads side by side, its results in order (compiled kernels and MuJoCo release the GIL)."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress

from ppi_robotics.interruption import Held

WORKER = "ppi_robotics worker"  # name of the threads


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def in_threads(function: Callable, items: Iterable, threads: int | None = None) -> Iterator:
    """Results of a function over items in their order, computed by threads (the kernels release the GIL)."""
    items = list(items)
    # what runs in one of the threads must not wait for the others: a criterion of success may ask for rollouts itself
    if len(items) == 1 or threading.current_thread().name.startswith(WORKER):
        yield from map(function, items)
        return
    futures = [Future() for _ in items]
    waiting = deque(zip(futures, items, strict=True))
    try:
        WORKERS.submit(_work, function, waiting, times=min(threads or processors(), len(items)))
        for future in futures:
            yield future.result()
    finally:
        begun = len(items)
        while waiting:
            with suppress(IndexError):
                waiting.pop()
                begun -= 1
        wait(futures[:begun])


def _work(function, waiting):
    """The next of the waiting items; work of others may have its turn before the one after it.

    Not a closure that submits itself: such a cycle would keep the function, and arrays it writes to, until the garbage
    collector comes by, and every round would begin with pages of memory that are not mapped.
    """
    try:
        future, item = waiting.popleft()
    except IndexError:
        return
    try:
        future.set_result(function(item))
    except BaseException as error:
        future.set_exception(error)
    if waiting:
        WORKERS.submit(_work, function, waiting)


def finished(
    function: Callable, items: Iterable, least: int = 1, follow: Callable[[int], object] | None = None
) -> tuple[list, bool]:
    """Results of a function over items, by threads, as far as they are there when Ctrl-C comes, and whether it came.

    Args:
      function, items: as for `in_threads`.
      least: number of results that are waited for in any case.
      follow: function of how many there are, called after each.
    """
    done = []
    with Held() as hold, closing(in_threads(function, items)) as results:
        for result in results:
            done.append(result)
            if follow is not None:
                follow(len(done))
            if hold.pressed and len(done) >= least:
                break
    return done, hold.pressed


class Workers:
    """Threads that stay, as many as were ever to run side by side: starting some takes as long as many rollouts."""

    def __init__(self):
        self.lock, self.pool, self.size = threading.Lock(), None, 0

    def submit(self, function, *arguments, times=1):
        """Have a function called with arguments, several times side by side."""
        with self.lock:
            if times > self.size:
                if self.pool is not None:
                    self.pool.shutdown(wait=False)
                self.pool, self.size = ThreadPoolExecutor(times, thread_name_prefix=WORKER), times
            for _ in range(times):
                self.pool.submit(function, *arguments)


WORKERS = Workers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WORKERS.__init__)  # threads do not survive a fork
