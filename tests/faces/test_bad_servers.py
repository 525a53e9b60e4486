"""No server, the wrong server, or one that turns away: every command ends in time with one line that says what to do."""

from collections.abc import Callable

import pytest

from faces.faults import (
    Behaviour,
    FaultyServer,
    answers,
    closes,
    drips,
    each_command,
    echoes,
    quotes_arguments,
    says,
    silent,
)
from faces.shell import COMMANDS, ON_ONE_QUEUE, WINDOW_S, assert_one_line, call, run, words
from tidegate.demo.broker import PrivateBroker, free_port

TIMEOUT_S = 0.2
SLACK_S = 2.0
STARTS_S = 10.0
SECRET = "hunter-two-and-a-half"
LONGEST_S = TIMEOUT_S + WINDOW_S + SLACK_S
IN_TIME = ("--timeout", str(TIMEOUT_S))


def assert_every_command_says(url: str, *said: str, secret: str = "") -> None:
    """All commands in this process, and one of them in a process of its own."""
    for command in COMMANDS:
        ran = call(*words(command, url, *IN_TIME))
        assert_one_line(ran, longest_s=LONGEST_S, secret=secret)
        assert all(part in ran.said for part in said), ran.said


def assert_the_program_says(url: str, *said: str, command: int = 0, secret: str = "") -> None:
    ran = run(*words(COMMANDS[command], url, *IN_TIME))
    assert_one_line(ran, longest_s=LONGEST_S + STARTS_S, secret=secret)
    assert all(part in ran.said for part in said), ran.said


# --- Something else listens there

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
FOREIGN: dict[str, tuple[Behaviour, str]] = {
    "says nothing": (silent, "did not answer within 0.2 s"),
    "closes at once": (closes, "closed the connection"),
    "speaks HTTP": (answers(HTTP), "not as Redis or Valkey would: check the port"),
    "speaks HTTP and hangs up": (answers(HTTP, stays=False), "not as Redis or Valkey would: check the port"),
    "speaks SSH": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), "not as Redis or Valkey would: check the port"),
    "speaks SMTP": (says(b"220 mail.example ESMTP\r\n"), "not as Redis or Valkey would: check the port"),
    "speaks MySQL": (says(b"J\x00\x00\x00\n8.0.36\x00"), "not as Redis or Valkey would: check the port"),
    "steers terminals": (says(b"\x1b]0;mine\x07\x1b[2J\x9b31m"), "not as Redis or Valkey would: check the port"),
    "steers terminals in errors": (each_command(b"-ERR \x1b[2J\x9b31m \xe2\x80\xae \xff\r\n"), "refused"),
    "drips a banner": (drips(b"+" + b"SSH-2.0 " * 100), "did not answer within 0.2 s"),
    "drips an array": (drips(b"*1000000\r\n$1000000\r\n" + b"x" * 100), "did not answer within 0.2 s"),
    "echoes": (echoes, "not as Redis or Valkey would: check the port"),
    "quotes what it was sent": (quotes_arguments, "refused"),
    "agrees to everything": (each_command(b"+OK\r\n"), "not as Redis or Valkey would: check the port"),
    "has one for everything": (each_command(b":1\r\n"), "not as Redis or Valkey would: check the port"),
    "has nothing for everything": (each_command(b"$-1\r\n"), "not as Redis or Valkey would: check the port"),
    "has an empty list for everything": (each_command(b"*0\r\n"), "not as Redis or Valkey would: check the port"),
    "has lists in lists": (
        each_command(b"*2\r\n*1\r\n$1\r\nx\r\n*0\r\n"),
        "not as Redis or Valkey would: check the port",
    ),
    "is loading": (each_command(b"-LOADING Redis is loading the dataset in memory\r\n"), "not ready yet: try again"),
    "lost its master": (each_command(b"-MASTERDOWN Link with MASTER is down\r\n"), "not ready yet: try again"),
    "is full": (answers(b"-ERR max number of clients reached\r\n", stays=False), "accepts no more clients"),
    "sends us elsewhere": (each_command(b"-MOVED 866 127.0.0.1:7001\r\n"), "refused"),
    "sends us nowhere": (each_command(b"-MOVED\r\n"), "not as Redis or Valkey would: check the port"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_server_is_named_in_one_line(kind: str) -> None:
    behave, said = FOREIGN[kind]
    with FaultyServer(behave) as server:
        assert_every_command_says(server.url(), said)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_server_that_is_given_a_password_does_not_get_it_shown(kind: str) -> None:
    behave, _ = FOREIGN[kind]
    with FaultyServer(behave) as server:
        for credentials in (f":{SECRET}@", f"looker:{SECRET}@"):
            ran = call("doctor", server.url(credentials=credentials, tail="/3"), *IN_TIME)
            assert_one_line(ran, longest_s=LONGEST_S, secret=SECRET)


def test_the_program_itself_is_as_brief() -> None:
    for command, (behave, said) in enumerate(list(FOREIGN.values())[:8:3]):
        with FaultyServer(behave) as server:
            assert_the_program_says(server.url(), said, command=command)


# --- Nothing listens there

ABSENT = {
    "redis://127.0.0.1:{port}/0": "nothing listens at 127.0.0.1:{port}",
    "redis://[::1]:{port}/0": "::1",
    "redis://no-such-host.invalid/0": "does not resolve: check its spelling",
    "redis+socket:///no/such/socket": "nothing listens at /no/such/socket",
    "redis+socket:///etc/passwd": "nothing listens at /etc/passwd",
    "redis+socket:///" + "x" * 200: "",
    "sentinel://127.0.0.1:{port}/0": "no sentinel at 127.0.0.1:{port} answered",
    "redis://127.0.0.1:{port}/0;redis://127.0.0.1:{port}/0": "nothing listens at 127.0.0.1:{port}, 127.0.0.1:{port}",
}


@pytest.mark.parametrize("template", ABSENT)
def test_where_nothing_listens_the_address_is_named(template: str) -> None:
    port = free_port()
    assert_every_command_says(template.replace("{port}", str(port)), ABSENT[template].replace("{port}", str(port)))


BEHIND_SENTINEL: tuple[Behaviour, ...] = (
    silent,
    closes,
    echoes,
    drips(b"*10\r\n"),
    each_command(b"+OK\r\n"),
    answers(HTTP),
)


@pytest.mark.parametrize("behave", BEHIND_SENTINEL)
def test_a_sentinel_that_is_none_is_named(behave: Behaviour) -> None:
    with FaultyServer(behave) as server:
        for command in (COMMANDS[0], COMMANDS[4]):
            ran = call(*words(command, server.url("sentinel", f":{SECRET}@"), *IN_TIME))
            assert_one_line(ran, longest_s=LONGEST_S, secret=SECRET)
            assert "no sentinel at" in ran.said
            assert "master_name" in ran.said


def test_a_broker_that_is_no_sentinel_is_named(valkey: PrivateBroker) -> None:
    assert_every_command_says(valkey.url.replace("redis://", "sentinel://"), "no sentinel at", "master_name")


# --- The server wants something else


def test_a_missing_and_a_wrong_password_are_told_apart(private_broker: Callable[..., PrivateBroker]) -> None:
    broker = private_broker(requirepass=SECRET)
    place = f"{broker.host}:{broker.port}"
    assert_every_command_says(f"redis://{place}/0", "wants a password", "redis://:PASSWORD@host/0")
    assert_every_command_says(f"redis://:wrong{SECRET[:8]}@{place}/0", "refused the password", secret=SECRET[:8])
    assert_every_command_says(f"redis://nobody:{SECRET}@{place}/0", "user 'nobody'", secret=SECRET)
    assert_the_program_says(f"redis://nobody:{SECRET}@{place}/0", "user 'nobody'", secret=SECRET)


def test_a_database_out_of_range_is_named(broker_url: str) -> None:
    assert_every_command_says(broker_url.replace("/0", "/4711"), "has no database 4711", "number at the end of the URL")


def test_a_user_who_may_not_select_is_told_what_to_grant(valkey: PrivateBroker, broker_url: str) -> None:
    valkey.ask("ACL", "SETUSER", "stayer", "on", f">{SECRET}", "~*", "&*", "+@read")
    url = f"redis://stayer:{SECRET}@{valkey.host}:{valkey.port}/1"
    assert_every_command_says(url, "'stayer' may not", "+select", secret=SECRET)


def test_an_empty_database_names_the_one_that_holds_keys(valkey: PrivateBroker, broker_url: str) -> None:
    valkey.ask("LPUSH", "celery", "{}", db=3)
    for command in COMMANDS[:4]:
        ran = call(*words(command, broker_url))
        assert_one_line(ran, longest_s=LONGEST_S)
        assert "no Celery queue in database 0" in ran.said
        assert "look into database 3 (1 keys)" in ran.said
    for command in ON_ONE_QUEUE:
        ran = call(*words(command, broker_url))
        assert_one_line(ran, longest_s=LONGEST_S)
        assert "no queue 'celery' in database 0" in ran.said


def test_a_name_typed_wrong_brings_the_right_one(valkey: PrivateBroker, broker_url: str) -> None:
    valkey.ask("SADD", "_kombu.binding.celery", "celery\x06\x16\x06\x16celery")
    for look in ("peek", "census"):
        ran = call(look, "celry", broker_url)
        assert_one_line(ran, longest_s=LONGEST_S)
        assert "did you mean 'celery'?" in ran.said
