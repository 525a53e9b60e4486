"""Where a broker is: any Celery broker URL plus transport options, parsed once; passwords masked wherever it is shown."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tidegate.broker.keys import Layout
from tidegate.errors import BadBrokerUrl, UsageError

DEFAULT_URL = "redis://localhost:6379/0"
MASK = "***"
_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "redis+socket", "unix", "socket", "sentinel", "sentinels")
_NETWORK = tuple(scheme for scheme in _SCHEMES if "socket" not in scheme and scheme != "unix")
_OTHER_BROKERS = ("amqp", "amqps", "pyamqp", "sqs", "gcpubsub", "kafka", "memory", "filesystem", "mongodb")
_SENTINEL_PORT = 26379
_QUOTE = "host and port can't be read (in a password, write / # ? @ as %2F %23 %3F %40)"
_PORT = "host and port can't be read (a port is a number up to 65535)"
#: More than any server has databases; Python refuses to read numbers of thousands of digits.
_MOST_DIGITS = 9
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One broker. `hosts` holds more than one for sentinels and fail-over lists; `path` is a unix socket.

    `tls` holds the ssl_* options where TLS is on, else None. `shown` is the URL without its password.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = None
    sentinel_master: str | None = None
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    layout: Layout = field(default_factory=Layout)
    visibility_timeout_s: float = 3600.0
    shown: str = ""

    @property
    def place(self) -> str:
        """`host:port` or the socket's path, for sentences."""
        return self.path or ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse_address(url: str, options: Mapping[str, Any] | None = None) -> Address:
    """The address that a Celery broker URL and transport options name; raises BadBrokerUrl with what to write instead."""
    alternatives = [_with_scheme(part, url) for part in _parts(url) if part]
    parsed = [_parse_one(part) for part in alternatives]
    if not parsed:
        raise BadBrokerUrl(f"expected a broker URL such as {DEFAULT_URL}, got an empty one")
    first = replace(parsed[0], hosts=tuple(host for one in parsed for host in one.hosts))
    first = replace(first, shown=";".join(one.shown for one in parsed))
    return with_options(first, options or {})


def with_options(address: Address, options: Mapping[str, Any]) -> Address:
    """The address with Kombu's transport options applied: prefix, separator, key names, master, visibility timeout.

    Raises UsageError for a value that is not of the kind it should be.
    """
    layout = Layout(
        prefix=_text(options, "global_keyprefix") or address.layout.prefix,
        sep=_text(options, "sep") or address.layout.sep,
        unacked=_text(options, "unacked_key") or address.layout.unacked,
        unacked_index=_text(options, "unacked_index_key") or address.layout.unacked_index,
    )
    return replace(
        address,
        layout=layout,
        sentinel_master=_text(options, "master_name") or address.sentinel_master,
        sentinel_options=_mapping(options, "sentinel_kwargs") or address.sentinel_options,
        visibility_timeout_s=_seconds(options, "visibility_timeout") or address.visibility_timeout_s,
    )


def _text(options: Mapping[str, Any], name: str) -> str:
    text = str(options.get(name) or "")
    try:
        # As it will be sent; what came as bytes of no encoding goes back as it came.
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"the transport option {name!r} is no text that can be sent: {text!r}") from None
    return text


def _mapping(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = options.get(name) or {}
    if not isinstance(value, Mapping):
        raise UsageError(f"the transport option {name!r} holds named values, as in {{{name!r}: {{…}}}}, not {value!r}")
    return value


def _seconds(options: Mapping[str, Any], name: str) -> float:
    value = options.get(name) or 0
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(f"the transport option {name!r} is a number of seconds, not {value!r}")
    return seconds


def with_tls(address: Address, use_ssl: object) -> Address:
    """The address with Celery's `broker_use_ssl` (true, or a mapping of ssl_* options) applied."""
    if not use_ssl:
        return address
    return replace(address, tls={**(address.tls or {}), **(use_ssl if isinstance(use_ssl, Mapping) else {})})


def masked(url: str) -> str:
    """The URL with every password replaced, also where the rest of it can't be parsed."""
    return ";".join(_masked_one(part) for part in _parts(url))


def _parts(url: str) -> list[str]:
    """The servers of a fail-over list; a ';' in a password does not end one."""
    parts: list[str] = []
    for part in url.split(";"):
        if parts and "@" in part and "://" not in part and "@" not in parts[-1]:
            parts[-1] += f";{part}"
        else:
            parts.append(part)
    return parts


def _masked_one(url: str) -> str:
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    # A password may hold '/', '#' or '?' unquoted by mistake: everything up to the last '@' is taken for it.
    credentials, at, where = rest.rpartition("@")
    if at:
        user = credentials.split(":", 1)[0]
        rest = f"{user}:{MASK}@{where}" if ":" in credentials else f"{MASK}@{where}"
    return f"{scheme}{mark}{_mask_query(rest)}"


def _mask_query(rest: str) -> str:
    before, mark, query = rest.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")]
    hidden = "&".join(f"{key}={MASK}" if "password" in key.lower() else f"{key}{eq}{value}" for key, eq, value in pairs)
    return f"{before}{mark}{hidden}"


def _with_scheme(part: str, whole: str) -> str:
    """Fail-over lists may leave the scheme out after the first: `sentinel://a:1;b:2`."""
    return part if "://" in part or "://" not in whole else f"{whole.split('://', 1)[0]}://{part}"


def _parse_one(url: str) -> Address:
    scheme = _scheme_of(url)
    try:
        parts = urlsplit("//" + url.split("://", 1)[1], scheme="http")
        port = parts.port
    except ValueError:
        # The text of the error may quote a piece of the password.
        raise _bad(url, _QUOTE if "@" in url else _PORT) from None
    if ("@" in parts.path + parts.fragment and scheme in _NETWORK) or "@" in parts.query.partition("=")[0]:
        raise _bad(url, _QUOTE)
    query = dict(parse_qsl(parts.query))
    if scheme in ("redis+socket", "unix", "socket"):
        return _socket_address(url, parts, query)
    return _network_address(url, scheme, parts, port, query)


def _scheme_of(url: str) -> str:
    scheme, mark, _ = url.partition("://")
    if not mark:
        raise _bad(url, "it has no scheme")
    if scheme in _OTHER_BROKERS:
        raise BadBrokerUrl(f"Tidegate reads Redis and Valkey; {scheme}:// names another kind of broker")
    if scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme, _SCHEMES, 1, 0.5)
        raise _bad(url, f"{scheme!r} is no scheme" + (f": did you mean {near[0]}://?" if near else ""))
    return scheme


def _socket_address(url: str, parts: SplitResult, query: Mapping[str, str]) -> Address:
    path = unquote(parts.netloc.rpartition("@")[2] + parts.path)
    if not path.startswith("/"):
        raise _bad(url, "a socket URL needs an absolute path, as in redis+socket:///run/redis.sock")
    if not path.isprintable():
        raise _bad(url, "the path holds what is no text")
    return Address(
        path=path,
        db=_db_number(query.get("virtual_host") or query.get("db") or "0", url),
        username=unquote(parts.username) if parts.username else None,
        password=query.get("password") or _unquoted(parts.password),
        shown=_masked_one(url),
    )


def _network_address(url: str, scheme: str, parts: SplitResult, port: int | None, query: Mapping[str, str]) -> Address:
    sentinel = scheme.startswith("sentinel")
    tls = scheme in ("rediss", "valkeys", "sentinels")
    ssl_options = {key: value for key, value in query.items() if key.startswith("ssl_")}
    return Address(
        hosts=((_host(parts, url), port or (_SENTINEL_PORT if sentinel else 6379)),),
        db=_db_number(unquote(parts.path) or query.get("db", "0"), url),
        username=_unquoted(parts.username),
        password=_unquoted(parts.password),
        tls=ssl_options if tls or ssl_options else None,
        sentinel_master=query.get("master_name", "mymaster") if sentinel else None,
        layout=Layout(prefix=query.get("global_keyprefix", "")),
        shown=_masked_one(url),
    )


def _host(parts: SplitResult, url: str) -> str:
    host = unquote(parts.hostname or "") or "localhost"
    try:
        host.encode("idna")
    except UnicodeError:
        raise _bad(url, "the host name can't be one: a part of it between dots is empty or too long") from None
    if not host.isprintable() or " " in host:
        raise _bad(url, "the host name holds what no name does")
    return host


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _db_number(text: str, url: str) -> int:
    number = text.strip("/") or "0"
    if not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
        raise _bad(url, f"the database is a number, not {number[:40]!r}")
    return int(number)


def _bad(url: str, why: str) -> BadBrokerUrl:
    shown = masked(url)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
    return BadBrokerUrl(f"can't read the broker URL {shown!r}: {why}. Expected something like {DEFAULT_URL}")
