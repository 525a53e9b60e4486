"""A message that goes to another queue: the address inside is another, and no other byte."""

import json

import pytest
from relief_desk import OLD, message

from tidegate.act.relief.addressing import addressed

INFO = b'"delivery_info": {"exchange": "", "routing_key": "celery"}'
NEW = b'"delivery_info": {"exchange": "", "routing_key": "other"}'


def test_only_the_address_changes():
    one = message(OLD, 1)
    assert addressed(one, "other") == one.replace(INFO, NEW)


def test_what_else_stands_in_the_address_stays():
    one = message(OLD, 1).replace(
        INFO, b'"delivery_info": {"redelivered": true, "exchange": "x", "routing_key": "celery"}'
    )
    assert json.loads(addressed(one, "other"))["properties"]["delivery_info"] == {
        "redelivered": True,
        "exchange": "",
        "routing_key": "other",
    }


@pytest.mark.parametrize("where", ["note", "delivery_info"])
def test_the_same_words_elsewhere_in_the_message_stay(where):
    one = message(OLD, 1, **{where: {"exchange": "", "routing_key": "celery"}})
    found = json.loads(addressed(one, "other"))
    assert found["headers"][where]["routing_key"] == "celery"
    assert found["properties"]["delivery_info"]["routing_key"] == "other"
    assert {**found, "properties": 0} == {**json.loads(one), "properties": 0}


@pytest.mark.parametrize(
    "one", [b"", b"\xff", b"[]", b'{"properties": {}}', b'{"properties": {"delivery_info": 3}}', b"[" * 100_000]
)
def test_what_is_no_message_stays_as_it_is(one):
    assert addressed(one, "other") == one
