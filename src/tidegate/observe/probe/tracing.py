"""Around every run of a worker: a function in front of the one with which Celery runs the task.

Not signals: to send `task_prerun` and `task_postrun` to handlers that do nothing costs 4 % of the throughput of no-op
tasks in threads (measured with benchmarks/workers.py), as Celery sends them only where somebody listens. Celery keeps
the function in `task.__trace__`, makes it when a pool process, or a consumer, starts, and calls it for every message
and never for eager calls.
"""

from collections.abc import Callable, Mapping
from typing import Any

from celery.exceptions import Reject

from tidegate.observe.probe.recorder import Recorder
from tidegate.observe.probe.run import FAILURE, IGNORED, LOST, OUTCOME_OF_STATE, REJECTED, SUCCESS

#: What Celery gives back: (result, what went wrong, runtime, result as text).
Traced = tuple[Any, Any, float | None, Any]
Trace = Callable[..., Traced]


def watch(tasks: Mapping[str, Any], recorder: Recorder) -> int:
    """From now on the recorder hears of every run of these tasks in this process; how many there are to watch."""
    watched = 0
    for task in tasks.values():
        trace = getattr(task, "__trace__", None)
        if trace is not None:
            task.__trace__ = _recording(getattr(trace, "tidegate", trace), task.name, recorder)
            watched += 1
    return watched


def _outcome(traced: Traced) -> int:
    _, wrong, runtime, _ = traced
    if wrong is None:
        # Without a runtime it was not run: it had succeeded before, and came again.
        return SUCCESS if runtime is not None else IGNORED
    return OUTCOME_OF_STATE.get(wrong.state, FAILURE)


def _recording(trace: Trace, name: str, recorder: Recorder) -> Trace:
    begin, end = recorder.begin, recorder.end

    def recorded(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Traced:
        begun = begin(name, request or {})
        try:
            traced = trace(uuid, args, kwargs, request)
        except BaseException as error:
            # The process is about to go (SystemExit, MemoryError), or the message goes back.
            end(begun, REJECTED if isinstance(error, Reject) else LOST)
            raise
        end(begun, _outcome(traced))
        return traced

    recorded.tidegate = trace  # type: ignore[attr-defined]
    return recorded
