"""What a task message carries beside its call: the group it belongs to, and the chord and the chain that go on after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.broker.bodies import ODD, Wrapping, open_body, parse_json
from tidegate.facts.unknown import Maybe, Unknown, known


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """As the publisher wrote it, signatures as plain objects; None or empty where the message carries none."""

    task: str
    id: str
    args: Sequence[object] = ()
    kwargs: Mapping[str, object]
    group: str | None = None
    group_index: int | None = None
    chord: Mapping[str, object] | None = None
    chain: Sequence[Mapping[str, object]] = ()
    ignores_result: bool = False


def embedded_in(element: bytes) -> Maybe[Embedded]:
    """What the message carries, or why it can't be read; never raises, and nothing is unpickled."""
    try:
        message = parse_json(element)
    except ODD as error:
        return Unknown(f"not JSON: {type(error).__name__}")
    if not isinstance(message, dict) or not isinstance(message.get("body"), str):
        return Unknown("no message of Kombu")
    headers, body = _object(message.get("headers")), open_body(message["body"], _wrapping(message))
    if not known(body):
        return body
    said = headers if "task" in headers else _object(body)
    task, id_ = said.get("task"), said.get("id")
    if not isinstance(task, str) or not isinstance(id_, str):
        return Unknown("no task message")
    return _embedded(task, id_, said, body)


def _embedded(task: str, id_: str, said: Mapping[str, object], body: object) -> Maybe[Embedded]:
    """Protocol 2 has `[args, kwargs, embed]` in its body, protocol 1 everything by name."""
    parts = body if isinstance(body, list) else [_object(body).get("args"), _object(body).get("kwargs"), body]
    if len(parts) < 3 or not isinstance(parts[0], list) or not isinstance(parts[1], dict):
        return Unknown("the body is not [args, kwargs, embed]")
    embed = _object(parts[2])
    chain, index, group = embed.get("chain"), said.get("group_index"), said.get("group") or said.get("taskset")
    return Embedded(
        task=task,
        id=id_,
        args=parts[0],
        kwargs=parts[1],
        group=group if isinstance(group, str) else None,
        group_index=index if isinstance(index, int) else None,
        chord=_object(embed.get("chord")) or None,
        chain=[step for step in chain if isinstance(step, dict)] if isinstance(chain, list) else (),
        ignores_result=said.get("ignore_result") is True,
    )


def _wrapping(message: Mapping[str, object]) -> Wrapping:
    said = [message.get("content-type"), message.get("content-encoding")]
    said += [
        _object(message.get("headers")).get("compression"),
        _object(message.get("properties")).get("body_encoding"),
    ]
    return Wrapping(*[text if isinstance(text, str) else None for text in said])


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
