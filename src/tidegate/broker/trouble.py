"""What went wrong with a connection, in one line: what was expected, what came, and what to do."""

import re

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidegate.broker.address import MASK, Address
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

_NO_NAME = re.compile(r"name or service|nodename|getaddrinfo|name resolution|no address assoc|Errno -", re.IGNORECASE)
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|self.signed", re.IGNORECASE)
_OTHER_NAME = re.compile(r"hostname mismatch|IP address mismatch|doesn't match|not valid for", re.IGNORECASE)
_WANTS_CERTIFICATE = re.compile(r"certificate.required|handshake.failure", re.IGNORECASE)
#: What redis-py says once the handshake is behind it. In TLS 1.3 the server refuses our certificate only then.
_SHOOK_HANDS = re.compile(r"while (writing|reading)|closed by server", re.IGNORECASE)
_TLS = re.compile(r"SSL|TLS|WRONG_VERSION|record layer|UNEXPECTED_EOF", re.IGNORECASE)
_CUT = re.compile(r"closed|reset|Errno 104|Broken pipe|aborted", re.IGNORECASE)
_SILENT = re.compile(r"timed out|timeout", re.IGNORECASE)


def explain(error: Exception, address: Address, timeout_s: float, *, connected: bool = False) -> TidegateError:
    """The error of ours that says what an error of redis-py or the socket means here.

    `connected`: it came after the server had answered at least once, so it does speak as the URL says.
    """
    if isinstance(error, TidegateError):
        return error
    text = _without_password(str(error), address)
    if isinstance(error, NoPermissionError):
        return _not_permitted(address, text)
    if isinstance(error, AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return _denied(address, text)
    # redis-py 5 has no class for a lost master outside of clusters, nor one that minds a MOVED to nowhere.
    if isinstance(error, (BusyLoadingError, MasterDownError)) or text.startswith("MASTERDOWN"):
        return CannotLook(f"the server at {address.place} is not ready yet: try again in a moment ({_short(text)})")
    if text.strip() == "MOVED":
        return _another_protocol(address, text)
    if "max number of clients" in text:
        return CannotLook(f"the server at {address.place} accepts no more clients: raise its maxclients, or end some")
    if isinstance(error, ResponseError) or "DB index" in text:
        return _refused_at_start(address, text)
    return _tls_trouble(address, text, connected) or _connection_trouble(error, address, text, timeout_s)


def _without_password(text: str, address: Address) -> str:
    """A server may quote what it was sent."""
    return text.replace(address.password, MASK) if address.password else text


def _denied(address: Address, text: str) -> TidegateError:
    if address.password is None:
        what = f"the server at {address.place} wants a password: write it into the URL, as in redis://:PASSWORD@host/0"
    else:
        who = f"user {address.username!r}" if address.username else "the default user"
        what = (
            f"the server at {address.place} refused the password of {who}: check the user and the password in the URL"
        )
    return AccessDenied(f"{what} (it said: {_short(text)})")


def _not_permitted(address: Address, text: str) -> TidegateError:
    user = address.username or "default"
    message = f"the user {user!r} may not look into database {address.db} of {address.place}: grant +select +@read ~*"
    return AccessDenied(f"{message} (it said: {_short(text)})")


def _refused_at_start(address: Address, text: str) -> TidegateError:
    if "DB index" in text:
        message = (
            f"the server at {address.place} has no database {address.db}: most have 0 to 15; "
            "check the number at the end of the URL"
        )
        return WrongDatabase(message)
    return CannotLook(f"the server at {address.place} refused: {_short(text)}")


def _tls_trouble(address: Address, text: str, connected: bool) -> TidegateError | None:
    """What the sides disagree on about TLS; None where it is something else."""
    if _CERTIFICATE.search(text):
        return TlsMismatch(_untrusted(address, text))
    if address.tls is None:
        return None
    if _WANTS_CERTIFICATE.search(text) or (not connected and _SHOOK_HANDS.search(text)):
        what = "refused us in the TLS handshake or right behind it: it wants a certificate of ours"
        message = f"{address.place} {what}, as in ?ssl_certfile=FILE&ssl_keyfile=FILE, or is no Redis"
        return TlsMismatch(f"{message} ({_short(text)})")
    if not connected and (_TLS.search(text) or _CUT.search(text)):
        scheme = address.shown.partition("://")[0].removesuffix("s")
        return TlsMismatch(f"{address.place} does not speak TLS as the URL says: try {scheme}:// ({_short(text)})")
    return None


def _untrusted(address: Address, text: str) -> str:
    if _OTHER_NAME.search(text):
        return (
            f"the certificate of {address.place} is for another name: write that name into the URL, "
            f"or add ?ssl_check_hostname=false if you know the server ({_short(text)})"
        )
    return (
        f"the certificate of {address.place} is not trusted here: name its authority with ?ssl_ca_certs=FILE, "
        f"or add ?ssl_cert_reqs=none to the URL if you know the server ({_short(text)})"
    )


def _connection_trouble(error: Exception, address: Address, text: str, timeout_s: float) -> TidegateError:
    if isinstance(error, (TimeoutError, RedisTimeoutError)) or _SILENT.search(text):
        return stopped_answering(address, timeout_s)
    if isinstance(error, (InvalidResponse, ValueError)) or "protocol" in text.lower():
        return _another_protocol(address, text)
    return _unreachable(address, text)


def stopped_answering(address: Address, timeout_s: float) -> TidegateError:
    """The error for a server that went silent."""
    other = ", no Redis, or speaks no TLS" if address.tls is not None else " or no Redis"
    message = (
        f"the server at {address.place} did not answer within {timeout_s:g} s: it is frozen, overloaded{other}; "
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
    if _CUT.search(text):
        message = (
            f"the server at {address.place} closed the connection: it went away, it is no Redis, "
            "or it wants TLS (rediss://)"
        )
        return StoppedAnswering(message)
    return NoServer(f"can't reach {address.place}: {_short(text)}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "…"
