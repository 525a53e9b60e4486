"""TLS on one side only, certificates that nobody vouches for, and the way it works."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from faces.faults import HOST, FaultyServer, Proxy, closes, drips, pass_on, silent
from faces.shell import COMMANDS, WINDOW_S, assert_harmless, assert_one_line, call, words
from tidegate.demo.broker import PrivateBroker

TIMEOUT_S = 0.4
LONGEST_S = TIMEOUT_S + WINDOW_S + 2.0
IN_TIME = ("--timeout", str(TIMEOUT_S))
SECRET = "hunter-two-and-a-half"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """An authority of our own, and the file that holds its certificate."""
    ca, file = trustme.CA(), tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return ca, file


def _context(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def tls_port(valkey: PrivateBroker, broker_url: str, authority: tuple[trustme.CA, Path]) -> Iterator[int]:
    """The private server behind TLS, with one message in the queue `celery`."""
    valkey.ask("LPUSH", "celery", "{}")
    with Proxy(valkey.port, pass_on, tls=_context(authority[0], HOST)) as proxy:
        yield proxy.port


def assert_commands_say(url: str, *said: str) -> None:
    """Of every command the connection is the same, so two will do."""
    for command in (COMMANDS[0], COMMANDS[5]):
        ran = call(*words(command, url, *IN_TIME))
        assert_one_line(ran, longest_s=LONGEST_S, secret=SECRET)
        assert any(part in ran.said for part in said), ran.said


def test_an_authority_that_is_named_is_trusted(tls_port: int, authority: tuple[trustme.CA, Path]) -> None:
    for command in COMMANDS:
        url = f"rediss://{HOST}:{tls_port}/0?ssl_ca_certs={authority[1]}"
        named = ["-Q", "celery"] if command[0] in ("doctor", "queues", "gate") else []
        ran = call(*words(command, url, "--timeout", "5"), *named)
        assert_harmless(ran)


@pytest.mark.parametrize("how", ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE"])
def test_trust_can_be_waived(tls_port: int, how: str) -> None:
    assert_harmless(call("peek", "celery", f"rediss://{HOST}:{tls_port}/0?{how}"))


@pytest.mark.quiet
def test_a_certificate_nobody_vouches_for_is_named(tls_port: int) -> None:
    assert_commands_say(f"rediss://:{SECRET}@{HOST}:{tls_port}/0", "is not trusted here: name its authority")


def test_a_certificate_for_another_name_is_named(valkey: PrivateBroker, authority: tuple[trustme.CA, Path]) -> None:
    with Proxy(valkey.port, pass_on, tls=_context(authority[0], "redis.example")) as proxy:
        url = proxy.url("rediss", f":{SECRET}@", f"/0?ssl_ca_certs={authority[1]}")
        assert_commands_say(url, "is for another name")


def test_a_server_that_wants_a_certificate_of_ours_says_so(
    valkey: PrivateBroker, authority: tuple[trustme.CA, Path]
) -> None:
    context = _context(authority[0], HOST)
    context.verify_mode = ssl.CERT_REQUIRED
    authority[0].configure_trust(context)
    with Proxy(valkey.port, pass_on, tls=context) as proxy:
        url = proxy.url("rediss", f":{SECRET}@", f"/0?ssl_ca_certs={authority[1]}")
        assert_commands_say(url, "wants a certificate of ours")


def test_a_plain_client_of_a_tls_server_is_told_of_rediss(tls_port: int) -> None:
    assert_commands_say(f"redis://:{SECRET}@{HOST}:{tls_port}/0", "rediss://")


def test_a_tls_client_of_a_plain_server_is_told_of_redis(valkey: PrivateBroker) -> None:
    url = f"rediss://:{SECRET}@{valkey.host}:{valkey.port}/0"
    assert_commands_say(url, "does not speak TLS as the URL says: try redis://", "or speaks no TLS")


@pytest.mark.parametrize("behave", [silent, closes, drips(b"\x16\x03\x03\x40\x00\x02"), drips(b"HTTP/1.1 400 Bad\r\n")])
def test_a_handshake_that_never_ends_is_given_up_in_time(behave: object) -> None:
    with FaultyServer(behave) as server:  # type: ignore[arg-type]
        assert_commands_say(server.url("rediss", f":{SECRET}@"), "does not speak TLS", "did not answer within")
