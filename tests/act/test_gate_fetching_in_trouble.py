"""Whatever breaks while messages are taken, none is lost; and where the script can't be right, stock Kombu takes them."""

import json
import time
from queue import Empty

import kombu
import pytest
import redis
from taking import GATE, STOCK, consuming, drain, step, until
from test_gate_fetching import TAG, raw
from test_gate_sleeping import BELL, calls, fall_asleep

from tidegate.act.gate import fetching
from tidegate.act.gate.openings import openings


def held(client):
    return {tag.decode() for tag in client.hkeys("unacked")}


def fly(connection, client):
    """Have a fetch executed whose answer nobody reads."""
    channel = connection.default_channel
    client.script_load(fetching.FETCH.text)
    connection.transport.cycle.on_poll_start()
    assert channel._in_poll
    until(lambda: held(client))
    return channel


def test_an_answer_that_never_came_is_put_back_when_the_connection_is_there_again(broker_url, redis_client):
    redis_client.lpush("q", raw(1), raw(2))
    with consuming(GATE, broker_url, "q") as connection:
        channel = fly(connection, redis_client)
        channel.client.connection._sock.close()
        with pytest.raises(connection.connection_errors):
            channel._brpop_read()

    with consuming(GATE, broker_url, "q") as again:
        came = drain(again, 2)
        assert {message.delivery_tag for message in came} == {TAG.format(1), TAG.format(2)}
        assert [message.headers.get("redelivered") for message in came if message.delivery_tag == TAG.format(1)] == [
            True
        ]
        assert held(redis_client) == {TAG.format(1), TAG.format(2)}


def test_a_connection_dropped_by_the_health_check_loses_no_answer(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    with consuming(GATE, broker_url, "q") as connection:
        channel = fly(connection, redis_client)
        channel.client.connection.disconnect()
        assert not channel._in_poll

        assert [message.delivery_tag for message in drain(connection, 1)] == [TAG.format(1)]


def test_a_message_in_flight_is_put_back_when_the_channel_closes(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    with consuming(GATE, broker_url, "q") as connection:
        fly(connection, redis_client)

    assert held(redis_client) == set()
    assert redis_client.llen("q") == 1


def test_a_message_in_flight_for_a_queue_that_was_given_up_is_put_back(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    with consuming(GATE, broker_url, "q", "other") as connection:
        channel = fly(connection, redis_client)
        tag = next(tag for tag, queue in channel._tag_to_queue.items() if queue == "q")
        channel.basic_cancel(tag)
        step(connection, 1.0)

        assert connection.taken == []
        assert held(redis_client) == set()
        assert redis_client.llen("q") == 1


def test_a_consumer_that_does_not_acknowledge_is_served_by_stock(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    redis_client.config_resetstat()
    with consuming(GATE, broker_url, "q", no_ack=True) as connection:
        drain(connection, 1)

        assert held(redis_client) == set()
        assert calls(redis_client, "evalsha", "eval", "blpop") == 0


def test_a_message_of_a_queue_that_acknowledges_no_more_is_not_kept(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    with consuming(GATE, broker_url, "q") as connection:
        channel = fly(connection, redis_client)
        queue = kombu.Queue("q", routing_key="q")
        connection.Consumer([queue], on_message=connection.taken.append, no_ack=True, channel=channel).consume()
        drain(connection, 1)

        assert held(redis_client) == set()


def test_without_acknowledgements_stock_takes_the_messages(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    redis_client.config_resetstat()
    with consuming(GATE, broker_url, "q", ack_emulation=False) as connection:
        drain(connection, 1)

        assert held(redis_client) == set()
        assert calls(redis_client, "evalsha", "eval") == 0
        connection.default_channel.qos._delivered.clear()


def test_a_user_who_may_not_run_scripts_gets_his_messages_as_with_stock(private_broker):
    server = private_broker()
    server.ask("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-evalsha", "-eval")
    url = server.url.replace("redis://", "redis://plain:secret@")
    with redis.Redis.from_url(server.url) as client, consuming(GATE, url, "q") as connection:
        client.lpush("q", raw(1), raw(2))
        openings.take()
        drain(connection, 2)
        assert openings.take() == {"fetch": 1}

        server.ask("ACL", "SETUSER", "plain", "+@all")
        connection.default_channel._stock_until = 0.0
        client.config_resetstat()
        client.lpush("q", raw(3))
        drain(connection, 3)
        until(lambda: step(connection, 0.05) or calls(client, "blpop"))
        assert held(client) == {TAG.format(number) for number in (1, 2, 3)}


def test_after_every_failure_the_script_is_left_alone_for_longer_and_then_tried_again(broker_url, redis_client):
    redis_client.set("unacked", "no hash")
    redis_client.lpush("q", raw(1))
    with consuming(GATE, broker_url, "q") as connection:
        channel = connection.default_channel
        for wait_s in (30.0, 60.0):
            channel._stock_until = 0.0
            assert not step(connection, 1.0)
            assert channel._stock_until == pytest.approx(time.monotonic() + wait_s, abs=1.0)
            assert redis_client.lrange("q", 0, -1) == [raw(1)]  # it went back where it was
            assert redis_client.exists("unacked_index") == 0

        redis_client.delete("unacked")
        channel._stock_until = 0.0
        drain(connection, 1)
        assert channel._stand_back_s == fetching.STAND_BACK_S


def test_a_list_of_the_wrong_type_is_an_error_as_with_stock(broker_url, redis_client):
    said = []
    for transport in (STOCK, GATE):
        redis_client.delete("q")
        with consuming(transport, broker_url, "q") as connection, pytest.raises(redis.ResponseError) as error:
            redis_client.set("q", "no list")
            drain(connection, 1)
        said.append(str(error.value))

    assert said[0] == said[1]


def test_a_full_server_is_still_emptied(private_broker):
    """Stock can take no message then: it writes in a command of its own, which the server refuses."""
    server = private_broker()
    with redis.Redis.from_url(server.url) as client, consuming(GATE, server.url, "q") as connection:
        client.lpush("q", *(raw(number) for number in range(50)))
        client.config_set("maxmemory", 1)

        for came in drain(connection, 50):
            came.ack()
        assert client.llen("q") == client.hlen("unacked") == 0


def test_a_server_that_forgot_the_script_is_told_it_again(broker_url, redis_client):
    with consuming(GATE, broker_url, "q") as connection:
        for number in range(3):
            redis_client.script_flush()
            redis_client.lpush("q", raw(number))
            drain(connection, number + 1)
        assert connection.default_channel._stand_back_s == fetching.STAND_BACK_S


def test_a_sleeper_whose_server_turns_into_a_replica_is_only_woken(broker_url, redis_client):
    with consuming(GATE, broker_url, "q") as connection:
        fall_asleep(connection, redis_client)
        client_id = next(c["id"] for c in redis_client.client_list() if c["cmd"] == "blpop")
        redis_client.client_unblock(client_id, error=True)

        with pytest.raises(Empty):
            until(lambda: connection.default_channel._brpop_read())
        assert connection.default_channel._may_fetch()


def test_a_bell_of_the_wrong_type_does_not_keep_the_worker_from_its_messages(broker_url, redis_client):
    with consuming(GATE, broker_url, "q", polling_interval=0.1) as connection:
        step(connection, 1.0)
        redis_client.set(BELL, "no list")
        step(connection, 1.0)
        redis_client.lpush("q", raw(1))

        drain(connection, 1)


def test_what_stock_put_back_is_taken_and_what_was_taken_here_is_put_back_by_stock(broker_url, redis_client):
    redis_client.lpush("q", raw(1))
    with consuming(GATE, broker_url, "q") as gate:
        drain(gate, 1)
        with consuming(STOCK, broker_url, "q") as stock:
            stock.default_channel.qos.restore_by_tag(TAG.format(1))
            element = json.loads(redis_client.lindex("q", 0))
            assert element["headers"].pop("redelivered")
            assert element["properties"]["delivery_info"].pop("redelivered")
            assert element == json.loads(raw(1))
        gate.default_channel.qos._delivered.clear()
        assert drain(gate, 2)[1].delivery_tag == TAG.format(1)
