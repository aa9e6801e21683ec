"""Who works: this process, joblib's loky processes, or a cluster behind the same call.

::

    tasks, in order ─► each(work, tasks, crew) ─► results, in the same order
                          ├─ workers 1: here · loky: processes · ray: machines
                          └─ dask: machines, by its own client, since behind joblib's call a
                             task whose worker is killed never ends

Results come in the order of the tasks, whoever finishes first, so that what is written of them
is the same whatever the engine. Randomness is named by seed and purpose (``seeds``), so no
worker has a state that a result could depend on.
"""

import importlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from shoal_protocol.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")
ENGINES: Final = ("loky", "dask", "ray")
KILLED: Final = "A worker was killed, as when memory runs out; fewer workers need less of it."
LOOKS_S: Final = 5  # how often it is looked whether anybody works
WITHOUT_WORKERS_S: Final = 60  # before a cluster that has no worker is given up
_BATCH: Final = 4  # tasks of a worker whose results come together


@dataclass(frozen=True, slots=True)
class Crew:
    """How many work, and where.

    Args:
        workers: processes; 0 is one for each core. With ``dask`` and ``ray`` the cluster decides.
        engine: one of ``ENGINES``.
        scheduler: a Dask scheduler's address as ``tcp://host:8786``; empty starts one here.
    """

    workers: int = 1
    engine: str = "loky"
    scheduler: str = ""


ALONE: Final = Crew()
EVERYBODY: Final = Crew(0)


def each(
    work: Callable[[Task], Result], tasks: Sequence[Task], crew: Crew = ALONE
) -> Iterator[Result]:
    """Yield ``work(task)`` of each task, in order; closing the iterator stops the work.

    Args:
        work: a function of a module, so that another process finds it.

    Raises:
        UserError: there is no such engine, it isn't installed or can't be reached, a worker was
            killed, or what ``work`` raised.
    """
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if crew.engine not in ENGINES:
        raise UserError(f"There is no engine {crew.engine}; there are {', '.join(ENGINES)}.")
    if crew.scheduler and crew.engine != "dask":
        raise UserError(f"A scheduler is Dask's, and the engine is {crew.engine}.")

    workers = min(crew.workers or joblib.cpu_count(), max(1, len(tasks)))
    if crew.engine == "loky" and workers == 1:
        for task in tasks:
            yield work(task)
        return
    if crew.engine == "dask":
        yield from _by_dask(work, tasks, crew)
        return
    calls = [joblib.delayed(_quietly)(work, task, os.getpid()) for task in tasks]
    with _ray() if crew.engine == "ray" else nullcontext():
        if crew.engine == "ray":  # whose backend gives all results of a call at once
            size = _BATCH * joblib.effective_n_jobs(-1)
            for first in range(0, len(calls), size):
                yield from joblib.Parallel(n_jobs=-1)(calls[first : first + size])
            return
        parallel = joblib.Parallel(n_jobs=workers, return_as="generator")
        found = parallel(calls)
        try:
            yield from found
        except BrokenProcessPool:
            raise UserError(KILLED) from None
        finally:
            found.close()


def _quietly(work: Callable[[Task], Result], task: Task, leader: int) -> Result:
    """Do one task; Ctrl-C is the leading process's to hear, which ends its workers."""
    if os.getpid() != leader and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return work(task)


def _by_dask(work: Callable[[Task], Result], tasks: Sequence[Task], crew: Crew) -> Iterator[Result]:
    with _cluster(crew) as client:
        left = deque(client.submit(_quietly, work, task, os.getpid(), pure=False) for task in tasks)
        try:
            while left:
                yield _result(client, left[0])
                left.popleft()
        finally:
            client.cancel(list(left))


def _result(client: Any, future: Any) -> Any:
    """Wait for what becomes of a task. Raises UserError: nobody will do it any more."""
    from distributed import CancelledError, KilledWorker

    gone = 0
    while gone < WITHOUT_WORKERS_S:
        try:
            return future.result(timeout=LOOKS_S)
        except KilledWorker:
            raise UserError(KILLED) from None
        except CancelledError:
            break
        except TimeoutError:
            if future.done():  # the work's own
                raise
            gone = 0 if _has_workers(client) else gone + LOOKS_S
    raise UserError(
        f"Dask's cluster has had no worker for {WITHOUT_WORKERS_S} s, or its scheduler ended; "
        "what is finished is kept, and `shoal sim resume` goes on."
    )


def _has_workers(client: Any) -> bool:
    try:
        return bool(client.ncores())
    except (OSError, TimeoutError):  # no scheduler
        return False


@contextmanager
def _cluster(crew: Crew) -> Iterator[Any]:
    import joblib

    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "Dask is not installed; install it with: pip install 'shoal[sim,sim-cluster]'."
        ) from None
    settings = (
        {"address": crew.scheduler}
        if crew.scheduler
        else {
            "n_workers": crew.workers or joblib.cpu_count(),
            "threads_per_worker": 1,
            "dashboard_address": "127.0.0.1:0",  # any port: another run may have the usual one
        }
    )
    begin: Any = Client
    try:
        client = begin(**settings)
    except (OSError, ValueError) as error:
        where = f" at {crew.scheduler}" if crew.scheduler else ""
        raise UserError(f"Dask's scheduler{where} can't be reached: {error}.") from None
    with client:
        if crew.scheduler:
            _alike(client)
        yield client


def _alike(client: Any) -> None:
    """Raise UserError if a worker of a cluster would compute with other code than this process."""
    from shoal_sim import runs

    own, found = runs.versions(), client.run(runs.versions, on_error="return")
    if others := sorted(address for address, versions in found.items() if versions != own):
        raise UserError(
            f"The worker at {others[0]} has another version of Shoal, Python or its libraries "
            "than this machine, or none, so that results would not be of one piece."
        )


@contextmanager
def _ray() -> Iterator[None]:
    import joblib

    try:
        ray: Any = importlib.import_module("ray")
        backend: Any = importlib.import_module("ray.util.joblib")
    except ImportError:
        raise UserError("Ray is not installed; install it with: pip install ray.") from None
    if not ray.is_initialized():
        ray.init()
    backend.register_ray()
    with joblib.parallel_config(backend="ray"):
        yield
