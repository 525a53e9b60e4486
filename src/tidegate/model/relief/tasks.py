"""Names of tasks against globs; pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

#: Names whose answer is remembered; no application has so many tasks.
_MOST_REMEMBERED = 10_000


class TaskGlobs:
    """Whether a task's name fits any of the globs, remembered by name; upper and lower case differ."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = tuple(globs)
        self._remembered: dict[str, bool] = {}

    def fit(self, task: str | None) -> bool:
        """True where a glob fits; a message without a task fits none."""
        if task is None:
            return False
        known = self._remembered.get(task)
        return self._tried(task) if known is None else known

    def _tried(self, task: str) -> bool:
        fits = any(fnmatchcase(task, glob) for glob in self._globs)
        if len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[task] = fits
        return fits
