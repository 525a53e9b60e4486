"""Errors of a publish that callers of Celery catch as they always did: with `kombu.exceptions.OperationalError`.

Celery itself counts on that, too: of all errors when a run hands on to callbacks or a chain, only that one fails the run.
"""

from kombu.exceptions import OperationalError

from tidegate import errors


class BrokerFull(errors.BrokerFull, OperationalError):
    """The server refuses every write, because its memory is used up."""


class BrokerSilent(errors.BrokerSilent, OperationalError):
    """The server did not answer within the gate's deadline; whether the message arrived is unknown."""
