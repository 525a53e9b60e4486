"""Celery's schedule file, such that no state of it keeps beat from starting: what can't be read is put aside, not deleted."""

import errno
import shelve
from pathlib import Path
from typing import Any

from tidegate.act.beat.outcomes import log, rarely

CORRUPT = ".corrupt"
#: Another beat has it open, or it can't be written there: no reason to put it aside.
_NOT_OURS = (errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class KeptFile:
    """Stands before `celery.beat.PersistentScheduler`."""

    schedule_filename: str
    known_suffixes: tuple[str, ...]
    _store: Any

    def _open_schedule(self) -> Any:
        """Celery's; in memory alone where the file is another one's."""
        try:
            return super()._open_schedule()  # type: ignore[misc]
        except Exception as error:
            if getattr(error, "errno", None) not in _NOT_OURS:
                raise
            log.warning("%s can't be used (%s): the last runs are kept in memory", self.schedule_filename, error)
            return shelve.Shelf({}, writeback=True)

    def _destroy_open_corrupted_schedule(self, error: Exception) -> Any:
        """Puts the file aside under the name `<file>.corrupt`, and begins a new one from `beat_schedule`."""
        store, self._store = self._store, None
        if store is not None:
            _let_go(store)
        for suffix in self.known_suffixes:
            file = Path(f"{self.schedule_filename}{suffix}")
            if file.is_file():
                file.replace(f"{self.schedule_filename}{CORRUPT}{suffix}")
        log.error(
            "%s can't be read (%s: %s): it is kept as %s, and beat begins with what beat_schedule says",
            *(self.schedule_filename, type(error).__name__, error, f"{self.schedule_filename}{CORRUPT}"),
        )
        return self._open_schedule()

    def _create_schedule(self) -> None:
        """Celery's, after every record was read: it goes on with a file of which some can't be."""
        try:
            for name in list(self._store):
                self._store[name]
            if not isinstance(self._store.get("entries", {}), dict):
                raise TypeError("its entries are no dict")
        except Exception as error:  # noqa: BLE001  whatever a damaged record raises
            self._store = self._destroy_open_corrupted_schedule(error)
        super()._create_schedule()  # type: ignore[misc]

    def sync(self) -> None:
        """Celery's; beat goes on where it can't be written."""
        try:
            super().sync()  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001  a full disk, an argument that has no written form
            rarely.say("sync", "the last runs can't be written (%s: %s)", type(error).__name__, error)


def _let_go(store: Any) -> None:
    """Closes it without writing anything into it."""
    try:
        store.cache.clear()
        store.dict.close()
    except Exception as error:  # noqa: BLE001  of a file that is damaged
        log.debug("closing a damaged schedule file: %s", error)
    store.dict = {}
