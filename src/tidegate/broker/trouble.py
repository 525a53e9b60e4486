"""What went wrong with a connection, in one line: what was expected, what came, and what to do."""

import re

from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    MaxConnectionsError,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidegate.broker.address import Address
from tidegate.errors import (
    AccessDenied,
    CannotLook,
    NoServer,
    NotRedis,
    StoppedAnswering,
    TidegateError,
    TlsMismatch,
    WrongDatabase,
)

_NO_NAME = re.compile(r"name or service|nodename|getaddrinfo|name resolution|Errno -[235]\b", re.IGNORECASE)
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|self.signed", re.IGNORECASE)
_TLS = re.compile(r"SSL|TLS|WRONG_VERSION|record layer|UNEXPECTED_EOF", re.IGNORECASE)


def explain(error: Exception, address: Address, timeout_s: float) -> TidegateError:
    """The error of ours that says what an error of redis-py or the socket means here."""
    if isinstance(error, TidegateError):
        return error
    text = str(error)
    if isinstance(error, (AuthenticationError, NoPermissionError)) or "NOAUTH" in text or "WRONGPASS" in text:
        return _denied(address, text)
    if isinstance(error, ResponseError) or "invalid DB index" in text or "DB index is out of range" in text:
        return _refused_at_start(address, text)
    if isinstance(error, MaxConnectionsError):
        return CannotLook(f"the server at {address.place} accepts no more clients: raise its maxclients ({text})")
    return _connection_trouble(error, address, text, timeout_s)


def _denied(address: Address, text: str) -> TidegateError:
    if address.password is None:
        what = f"the server at {address.place} wants a password: write it into the URL, as in redis://:PASSWORD@host/0"
    else:
        who = f"user {address.username!r}" if address.username else "the default user"
        what = (
            f"the server at {address.place} refused the password of {who}: check the user and the password in the URL"
        )
    return AccessDenied(f"{what} (it said: {_short(text)})")


def _refused_at_start(address: Address, text: str) -> TidegateError:
    if "DB index" in text:
        message = (
            f"the server at {address.place} has no database {address.db}: most have 0 to 15; "
            "check the number at the end of the URL"
        )
        return WrongDatabase(message)
    if "max number of clients" in text:
        return CannotLook(f"the server at {address.place} accepts no more clients: raise its maxclients, or end some")
    if "LOADING" in text:
        return CannotLook(f"the server at {address.place} is still loading its data: try again in a moment")
    return CannotLook(f"the server at {address.place} refused: {_short(text)}")


def _connection_trouble(error: Exception, address: Address, text: str, timeout_s: float) -> TidegateError:
    if _CERTIFICATE.search(text):
        message = (
            f"the certificate of {address.place} is not trusted here: name its authority with ?ssl_ca_certs=FILE, "
            f"or add ?ssl_cert_reqs=none to the URL if you know the server ({_short(text)})"
        )
        return TlsMismatch(message)
    if address.tls is not None and (_TLS.search(text) or "closed" in text.lower() or "reset" in text.lower()):
        scheme = address.shown.partition("://")[0].removesuffix("s")
        message = f"{address.place} does not speak TLS as the URL says: try {scheme}:// ({_short(text)})"
        return TlsMismatch(message)
    if isinstance(error, (TimeoutError, RedisTimeoutError)) or "timed out" in text.lower() or "timeout" in text.lower():
        return stopped_answering(address, timeout_s)
    if isinstance(error, InvalidResponse) or "Protocol" in text or "protocol" in text:
        return _another_protocol(address, text)
    return _unreachable(address, text)


def stopped_answering(address: Address, timeout_s: float) -> TidegateError:
    """The error for a server that went silent."""
    message = (
        f"the server at {address.place} did not answer within {timeout_s:g} s: it is frozen, overloaded or no Redis; "
        "try again, or allow more time with --timeout"
    )
    return StoppedAnswering(message)


def _another_protocol(address: Address, text: str) -> TidegateError:
    if "\\x15\\x03" in text or "\x15\x03" in text:
        return TlsMismatch(f"{address.place} speaks TLS: use rediss:// in the URL")
    message = f"{address.place} answers, but not as Redis or Valkey would: check the port ({_short(text)})"
    return NotRedis(message)


def _unreachable(address: Address, text: str) -> TidegateError:
    if _NO_NAME.search(text):
        return NoServer(f"the host name in {address.shown} does not resolve: check its spelling ({_short(text)})")
    if "refused" in text or "No such file" in text or "Errno 2" in text or "Errno 111" in text:
        message = f"nothing listens at {address.place}: is the server running, and is this its address?"
        return NoServer(message)
    if "closed" in text.lower() or "reset" in text.lower() or "Errno 104" in text or "Broken pipe" in text:
        message = (
            f"the server at {address.place} closed the connection: it went away, it is no Redis, "
            "or it wants TLS (rediss://)"
        )
        return StoppedAnswering(message)
    return NoServer(f"can't reach {address.place}: {_short(text)}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "…"
