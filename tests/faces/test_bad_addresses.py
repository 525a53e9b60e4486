"""What can be wrong in a URL or an option, before any server is asked: one line, and never the password."""

import pytest

from faces.shell import COMMANDS, assert_one_line, call, run, words
from tidegate.broker.address import masked, parse_address
from tidegate.broker.keys import Layout
from tidegate.errors import BadBrokerUrl

AT_ONCE_S = 2.0
SECRET = "hunter-two-and-a-half"

#: The URL, and what the line says of it.
BAD_URLS = {
    f"reids://:{SECRET}@localhost:6379/0": "did you mean redis://?",
    f"reddis://:{SECRET}@localhost:6379/0": "did you mean redis://?",
    f"REDIS//:{SECRET}@localhost:6379/0": "it has no scheme",
    f"user:{SECRET}@localhost:6379/0": "it has no scheme",
    f"redis:/user:{SECRET}@localhost:6379/0": "it has no scheme",
    "localhost:6379": "it has no scheme",
    f"amqp://guest:{SECRET}@localhost//": "names another kind of broker",
    f"sqs://key:{SECRET}@": "names another kind of broker",
    f"redis://:{SECRET}@localhost:port/0": "host and port can't be read",
    f"redis://:{SECRET}@localhost:65536/0": "host and port can't be read",
    "redis://localhost:port/0": "a port is a number up to 65535",
    f"redis://:{SECRET}@[::1/0": "host and port can't be read",
    f"redis://:{SECRET}@localhost:6379/zero": "the database is a number, not 'zero'",
    f"redis://:{SECRET}@localhost:6379/-1": "the database is a number",
    f"redis://:{SECRET}@localhost:6379/" + "9" * 5000: "the database is a number",
    f"redis://:{SECRET}@localhost:6379/²": "the database is a number",
    f"redis://:12/{SECRET}@localhost:6379/0": "in a password, write / # ? @ as",
    f"redis://:12#{SECRET}@localhost:6379/0": "in a password, write / # ? @ as",
    f"redis://:12?{SECRET}@localhost:6379/0": "in a password, write / # ? @ as",
    f"redis://:a/{SECRET}@localhost:6379/0": "in a password, write / # ? @ as",
    f"redis://:{SECRET}@a..b/0": "the host name can't be one",
    f"redis://:{SECRET}@{'a' * 64}.example/0": "the host name can't be one",
    f"redis://:{SECRET}@a%00b/0": "the host name",
    f"redis://:{SECRET}@a%1bb/0": "the host name",
    f"unix://:{SECRET}@relative/path": "needs an absolute path",
    f"redis+socket:///a%00b?password={SECRET}": "the path holds what is no text",
    f"rediss://:{SECRET}@localhost/0?ssl_cacerts=x": "did you mean ssl_ca_certs?",
    f"rediss://:{SECRET}@localhost/0?ssl_cert_reqs=maybe": "none, optional or required, not 'maybe'",
    f"rediss://:{SECRET}@localhost/0?ssl_min_version=9": "TLSv1_2 or TLSv1_3, not '9'",
    f"rediss://:{SECRET}@localhost/0?ssl_ca_certs=/no/such/file": "'/no/such/file' can't be read",
    f"rediss://:{SECRET}@localhost/0?ssl_ca_certs=/etc/passwd": "'/etc/passwd' can't be read",
    f"rediss://:{SECRET}@localhost/0?ssl_certfile=/no/such/file": "'/no/such/file' can't be used",
    f"rediss://:{SECRET}@localhost/0?ssl_keyfile=/no/such/file": "'/no/such/file' can't be used",
    "redis://\x1b]0;mine\x07\x9b31m/0": "a port is a number up to 65535",
    "redis://\x1bmine\x07\x9b31m\u202e/0": "the host name",
    "\x1b[2J\n\r": "it has no scheme",
    ";": "got an empty one",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_one_line_that_says_what_is_wrong(url: str) -> None:
    for command in COMMANDS[::2]:
        ran = call(*words(command, url))
        assert_one_line(ran, longest_s=AT_ONCE_S, secret=SECRET)
        assert BAD_URLS[url] in ran.said, ran.said


@pytest.mark.parametrize("url", BAD_URLS)
def test_the_url_from_the_environment_is_treated_alike(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\0" not in url:
        monkeypatch.setenv("TIDEGATE_BROKER_URL", url)
        assert_one_line(call("queues"), longest_s=AT_ONCE_S, secret=SECRET)


def test_bytes_that_are_no_text_are_no_url() -> None:
    assert_one_line(run("doctor", b"redis://\xff\xfe\x1b[2J/0"), longest_s=10)


def test_a_traceback_is_there_on_request_and_as_harmless() -> None:
    ran = call("doctor", f"reids://:{SECRET}@localhost\x1b[2J", "-v")
    assert ran.code == 3
    assert ran.out == b""
    assert "BadBrokerUrl" in ran.said
    assert ran.said.splitlines()[-1].startswith("tidegate: could not look: ")
    assert "\x1b" not in ran.said
    assert SECRET not in ran.said


@pytest.mark.parametrize("look", ["peek", "census"])
def test_a_url_in_the_place_of_the_queue_is_wrong_usage(look: str) -> None:
    for order in ([f"redis://:{SECRET}@localhost/0"], [f"redis://:{SECRET}@localhost/0", "celery"]):
        ran = call(look, *order)
        assert ran.code == 2
        assert "QUEUE stands before the broker URL" in ran.said
        assert SECRET not in ran.said


BAD_OPTIONS = (
    ("--timeout", "0"),
    ("--timeout", "-1"),
    ("--timeout", "nan"),
    ("--timeout", "inf"),
    ("--timeout", "1e300"),
    ("--timeout", "soon"),
    ("--transport-options", "{"),
    ("--transport-options", "[]"),
    ("--transport-options", "[" * 100_000),
    ("--transport-options", '{"visibility_timeout": "long"}'),
    ("--transport-options", '{"visibility_timeout": [1]}'),
    ("--transport-options", '{"visibility_timeout": -1}'),
    ("--transport-options", '{"visibility_timeout": 1e999}'),
    ("--transport-options", '{"global_keyprefix": "\\ud800"}'),
    ("--transport-options", '{"sentinel_kwargs": 5}'),
)


@pytest.mark.parametrize("option", BAD_OPTIONS, ids=lambda option: " ".join(option)[:60])
def test_an_option_that_can_not_be_is_wrong_usage(option: tuple[str, str]) -> None:
    for command in COMMANDS[::2]:
        ran = call(*words(command, "redis://localhost:1/0"), *option)
        assert ran.code == 2, ran.said
        assert ran.out == b""
        assert "Traceback" not in ran.said


def test_a_sentinel_option_that_is_none_is_wrong_usage() -> None:
    ran = call("queues", "sentinel://localhost:1/0", "--transport-options", '{"sentinel_kwargs": {"pasword": 1}}')
    assert ran.code == 2
    assert "sentinel_kwargs can't be used" in ran.said


@pytest.mark.parametrize("window", ["nan", "inf", "-1", "soon"])
def test_a_window_that_can_not_be_is_wrong_usage(window: str) -> None:
    assert call("doctor", "redis://localhost:1/0", "--window", window).code == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("redis://user:s3cret@host/0", "redis://user:***@host/0"),
        ("redis://s3cret@host/0", "redis://***@host/0"),
        ("redis://:s3;cret@host/0", "redis://:***@host/0"),
        ("redis://:s3@cr@et@host/0", "redis://:***@host/0"),
        ("user:s3cret@host", "user:***@host"),
        ("sentinel://:s3cret@a:1;b:2;c:3/0", "sentinel://:***@a:1;b:2;c:3/0"),
        ("sentinel://:s3cret@a:1;sentinel://:s3cret@b:2", "sentinel://:***@a:1;sentinel://:***@b:2"),
        ("redis+socket:///s?virtual_host=1&password=s3cret", "redis+socket:///s?virtual_host=1&password=***"),
    ],
)
def test_a_password_is_masked_wherever_it_stands(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_a_semicolon_belongs_to_the_password_and_parts_servers_elsewhere() -> None:
    assert parse_address("redis://:a;b@host/1").password == "a;b"
    assert parse_address("redis://one:1/2;redis://two:3").hosts == (("one", 1), ("two", 3))
    with pytest.raises(BadBrokerUrl, match="no scheme"):
        parse_address("one:1;two:3")


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ("celery\x06\x16\x06\x16celery", ("celery", "celery")),
        ("a\x06\x16#\x06\x16b", ("a", "b")),
        ("key::::queue", ("key", "queue")),
        ("k.e-y||queue", ("k.e-y", "queue")),
        ("::queue", ("", "queue")),
        ("key", None),
        ("key:queue", None),
        ("", None),
        ("!" * 200_000, None),
        ("!" * 200_000 + "?queue", None),
        ("!a" * 100_000, None),
    ],
)
def test_a_binding_is_read_in_time_that_grows_with_its_length_only(member: str, found: tuple[str, str] | None) -> None:
    assert Layout().queue_of_member(member) == found
