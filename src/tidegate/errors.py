"""Every error that Tidegate raises: what was expected, what came, and what to do, in one line.

    TidegateError
    ├── UsageError             exit 2   the command or setting was wrong
    │   └── BadApp                      `-A` names no Celery application
    ├── CannotLook             exit 3   the broker could not be seen
    │   ├── BadBrokerUrl                a broker URL that can't be read, or names another kind of broker
    │   ├── NoServer                    nothing listens there, or the name does not resolve
    │   ├── NotRedis                    something listens there, and it speaks another protocol
    │   ├── TlsMismatch                 TLS on one side only, or a certificate that is not trusted
    │   ├── AccessDenied                wrong password, or a user who may not do this
    │   ├── WrongDatabase               a database number the server does not have
    │   ├── StoppedAnswering            the server went silent or away in the middle
    │   ├── NothingFound                no queue there
    │   ├── NotAQueue                   the key exists and is no list
    │   └── NoBinary                    no Valkey or Redis server program to start
    ├── NotABackup             exit 3   the file is none of ours, or of a newer version
    ├── Damaged                exit 3   a backup that was altered or cut
    ├── BadStore               exit 3   the file with spilled messages is damaged, in use, or no such file
    ├── StoreFull              exit 3   the file with spilled messages may not, or can't, grow
    ├── Refused                exit 4   allowed only when asked for explicitly
    └── NotPublished                    the gate could not let a message in, or the broker could not take it
        ├── QueueFull                   the queue is at its bound, or the server at its memory ceiling
        ├── BrokerFull                  the server refuses every write: its memory is used up
        └── BrokerSilent                the server did not answer within the gate's deadline

This module imports nothing.
"""

EXIT_FINE = 0
EXIT_FINDING = 1
EXIT_USAGE = 2
EXIT_CANNOT_LOOK = 3
EXIT_REFUSED = 4
EXIT_INTERRUPTED = 130


class TidegateError(Exception):
    """The root of the tree; `exit_code` is what the command line ends with."""

    exit_code = EXIT_CANNOT_LOOK


class UsageError(TidegateError):
    """The command, an option or a setting was wrong."""

    exit_code = EXIT_USAGE


class BadApp(UsageError):
    """`-A` names no Celery application that can be imported, or one whose settings can't be used."""


class CannotLook(TidegateError):
    """The broker could not be seen, so nothing may be said about it."""


class BadBrokerUrl(CannotLook):
    """The broker URL can't be read, or names a broker that is neither Redis nor Valkey."""


class NoServer(CannotLook):
    """Nothing listens at the address, or its name does not resolve."""


class NotRedis(CannotLook):
    """Something listens at the address, and it does not speak the Redis protocol."""


class TlsMismatch(CannotLook):
    """One side speaks TLS and the other does not, or the certificate is not trusted."""


class AccessDenied(CannotLook):
    """The server wants another password or user, or the user may not do what was asked."""


class WrongDatabase(CannotLook):
    """The server has no database of that number."""


class StoppedAnswering(CannotLook):
    """The server did not answer within the timeout, or closed the connection in the middle."""


class NothingFound(CannotLook):
    """No queue was found where one was expected."""


class NotAQueue(CannotLook):
    """The key exists and is not a list, so it can't be a queue."""


class BadStore(TidegateError):
    """The file with spilled messages can't be used: damaged, in use, another program's, or of a newer version."""


class StoreFull(TidegateError):
    """The file with spilled messages holds as much as it may, or the disk is full; nothing was added."""


class Refused(TidegateError):
    """An act that is only done when asked for explicitly."""

    exit_code = EXIT_REFUSED


class NoBinary(CannotLook):
    """No Valkey or Redis server program was found to start a private broker with."""


class NotABackup(TidegateError):
    """The file is no backup of Tidegate, or one of a version that this one can't read."""


class Damaged(TidegateError):
    """A backup was altered or cut.

    `file`, `offset` (in bytes) and `batch` (its number, from 1; 0 is the header, None unknown) say where.
    """

    def __init__(self, message: str, *, file: str = "", offset: int = 0, batch: int | None = None) -> None:
        super().__init__(message)
        self.file, self.offset, self.batch = file, offset, batch


class NotPublished(TidegateError):
    """A message did not get into its queue. None of Celery's or Kombu's retries takes it up: the caller decides."""


class QueueFull(NotPublished):
    """The queue is at its bound, or the server at its memory ceiling.

    `queue`, `depth`, `bound` (of the kind that `limit` names: `max_length`, `max_length_bytes`, `memory`) and
    `dead_letter` (the queue that keeps the message, or empty) say what was found.
    """

    def __init__(
        self, message: str, *, queue: str = "", depth: int = 0, bound: int = 0, limit: str = "", dead_letter: str = ""
    ) -> None:
        super().__init__(message)
        self.queue, self.depth, self.bound, self.limit, self.dead_letter = queue, depth, bound, limit, dead_letter


class BrokerFull(NotPublished):
    """The server refuses every write, because its memory is used up."""


class BrokerSilent(NotPublished):
    """The server did not answer within the gate's deadline; whether the message arrived is unknown."""
