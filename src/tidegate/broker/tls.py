"""TLS options as Celery users write them, checked here and now: what is wrong in them is no fault of the server's."""

import difflib
import inspect
import ssl
from collections.abc import Mapping
from typing import Any

from redis.connection import SSLConnection

from tidegate.errors import BadBrokerUrl

_KNOWN = tuple(name for name in inspect.signature(SSLConnection.__init__).parameters if name.startswith("ssl_"))
_WANTED = {"0": "none", "1": "optional", "2": "required"}


def tls_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of redis-py's SSLConnection; raises BadBrokerUrl for an option or a file that can't be used.

    Kombu's spellings of ssl_cert_reqs (CERT_NONE, an ssl constant) are understood.
    """
    for name in given:
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 1)
            raise BadBrokerUrl(f"there is no TLS option {name[:60]!r}" + (f": did you mean {near[0]}?" if near else ""))
    options = {name: _typed(name, value) for name, value in given.items()}
    options["ssl_cert_reqs"] = _cert_reqs(options.get("ssl_cert_reqs", "required"))
    # redis-py 5 does not look at the name by itself, redis-py 6 and later do.
    options.setdefault("ssl_check_hostname", options["ssl_cert_reqs"] == "required")
    _try_files(options)
    return options


def _typed(name: str, value: Any) -> Any:
    if name.startswith(("ssl_check", "ssl_validate")):
        return str(value).lower() not in ("false", "0", "no", "none")
    if name == "ssl_min_version" and isinstance(value, str):
        return _version(value)
    return value


def _cert_reqs(value: object) -> str:
    wanted = str(value).rpartition("CERT_")[2].lower()
    wanted = _WANTED.get(wanted, wanted)
    if wanted not in _WANTED.values():
        raise BadBrokerUrl(f"ssl_cert_reqs is none, optional or required, not {wanted[:60]!r}")
    return wanted


def _version(text: str) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion[text.upper().replace("TLSV", "TLSv").replace(".", "_")]
    except KeyError:
        raise BadBrokerUrl(f"ssl_min_version is TLSv1_2 or TLSv1_3, not {text[:60]!r}") from None


def _try_files(options: Mapping[str, Any]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authorities = [options.get(name) for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data")]
    try:
        if any(authority is not None for authority in authorities):
            context.load_verify_locations(*authorities)
    except (OSError, TypeError, ValueError) as error:
        raise BadBrokerUrl(f"the authorities in {_named(authorities)} can't be read: {error}") from error
    try:
        if options.get("ssl_certfile") or options.get("ssl_keyfile"):
            # Without a password OpenSSL would ask for one on the terminal, and wait.
            password = options.get("ssl_password") or ""
            context.load_cert_chain(options.get("ssl_certfile") or "", options.get("ssl_keyfile"), password)
    except (OSError, TypeError, ValueError) as error:
        files = [options.get("ssl_certfile"), options.get("ssl_keyfile")]
        raise BadBrokerUrl(f"our certificate in {_named(files)} can't be used: {error}") from error


def _named(files: list[Any]) -> str:
    return " and ".join(repr(str(file)[:200]) for file in files if file is not None)
