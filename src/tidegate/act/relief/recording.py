"""The backup of an act, written by a thread of its own: while the disk works, the next messages are read."""

from concurrent.futures import Future, ThreadPoolExecutor

from tidegate.backup.batch import Batch
from tidegate.backup.writer import BackupWriter


class Recorder:
    """At most one batch is on its way; without a file nothing is kept. `wait` returns when it is on disk."""

    def __init__(self, writer: BackupWriter | None) -> None:
        self.writer = writer
        self._thread = ThreadPoolExecutor(1, "tidegate-backup")
        self._ahead: Future[None] | None = None

    def append(self, batch: Batch) -> None:
        """Starts to write a batch; an empty one costs nothing."""
        if self.writer is not None and batch.elements:
            self._ahead = self._thread.submit(self.writer.append, batch)

    def wait(self) -> None:
        """What was appended is on disk; raises what the writer raised."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.result()

    def seal(self, **summary: object) -> None:
        """The file is complete."""
        self.wait()
        if self.writer is not None:
            self.writer.seal(**summary)

    def close(self) -> None:
        """Ends the thread and closes the file, whatever state it is in."""
        self._thread.shutdown(wait=True)
        if self.writer is not None:
            self.writer.close()
