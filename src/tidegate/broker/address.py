"""Where a broker is: any Celery broker URL plus transport options, parsed once; passwords masked wherever it is shown."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tidegate.broker.keys import SEP, Layout
from tidegate.errors import BadBrokerUrl

DEFAULT_URL = "redis://localhost:6379/0"
MASK = "***"
_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "redis+socket", "unix", "socket", "sentinel", "sentinels")
_OTHER_BROKERS = ("amqp", "amqps", "pyamqp", "sqs", "gcpubsub", "kafka", "memory", "filesystem", "mongodb")
_SENTINEL_PORT = 26379


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
    alternatives = [_with_scheme(part, url) for part in url.split(";") if part]
    parsed = [_parse_one(part) for part in alternatives]
    if not parsed:
        raise BadBrokerUrl(f"expected a broker URL such as {DEFAULT_URL}, got an empty one")
    first = replace(parsed[0], hosts=tuple(host for one in parsed for host in one.hosts))
    first = replace(first, shown=";".join(one.shown for one in parsed))
    return with_options(first, options or {})


def with_options(address: Address, options: Mapping[str, Any]) -> Address:
    """The address with Kombu's transport options applied: prefix, separator, key names, master, visibility timeout."""
    layout = Layout(
        prefix=str(options.get("global_keyprefix") or address.layout.prefix),
        sep=str(options.get("sep") or SEP),
        unacked=str(options.get("unacked_key") or "unacked"),
        unacked_index=str(options.get("unacked_index_key") or "unacked_index"),
    )
    return replace(
        address,
        layout=layout,
        sentinel_master=options.get("master_name") or address.sentinel_master,
        sentinel_options=options.get("sentinel_kwargs") or address.sentinel_options,
        visibility_timeout_s=float(options.get("visibility_timeout") or address.visibility_timeout_s),
    )


def with_tls(address: Address, use_ssl: object) -> Address:
    """The address with Celery's `broker_use_ssl` (true, or a mapping of ssl_* options) applied."""
    if not use_ssl:
        return address
    return replace(address, tls={**(address.tls or {}), **(use_ssl if isinstance(use_ssl, Mapping) else {})})


def masked(url: str) -> str:
    """The URL with every password replaced, also where the rest of it can't be parsed."""
    return ";".join(_masked_one(part) for part in url.split(";"))


def _masked_one(url: str) -> str:
    scheme, mark, rest = url.partition("://")
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
        raise _bad(url, "host and port can't be read (in a password, write / # ? @ as %2F %23 %3F %40)") from None
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
        hosts=((unquote(parts.hostname or "") or "localhost", port or (_SENTINEL_PORT if sentinel else 6379)),),
        db=_db_number(unquote(parts.path) or query.get("db", "0"), url),
        username=_unquoted(parts.username),
        password=_unquoted(parts.password),
        tls=ssl_options if tls or ssl_options else None,
        sentinel_master=query.get("master_name", "mymaster") if sentinel else None,
        layout=Layout(prefix=query.get("global_keyprefix", "")),
        shown=_masked_one(url),
    )


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _db_number(text: str, url: str) -> int:
    number = text.strip("/") or "0"
    if not number.isascii() or not number.isdigit():
        raise _bad(url, f"the database is a number, not {number!r}")
    return int(number)


def _bad(url: str, why: str) -> BadBrokerUrl:
    return BadBrokerUrl(f"can't read the broker URL {masked(url)!r}: {why}. Expected something like {DEFAULT_URL}")
