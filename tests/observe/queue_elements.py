"""Elements of every kind that a queue may hold, drawn by Hypothesis."""

import base64
import json
from typing import Any

from hypothesis import strategies as st

TASKS = st.sampled_from(["a", "b.c", "screen.tasks.refresh", "ünï", "", "(not a task)"])
#: A moment that is past, one that is to come, and things that are no moment at all.
EXPIRIES: Any = st.sampled_from(
    [
        None,
        "2020-01-01T00:00:00+00:00",
        "2020-01-01T00:00:00",
        "2999-01-01T00:00:00Z",
        1.5e9,
        9.9e9,
        "soon",
        "",
        3,
        "1e9",
    ]
)
ODD_VALUES: Any = st.sampled_from([[], {}, True, 7, "text", None])


def packed(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


BODIES = st.integers(0, 3).map(lambda number: packed([[number], {}, {}]))


def element(headers: object, body: object, **more: object) -> bytes:
    properties = {"delivery_tag": "x", "body_encoding": "base64"}
    kinds = {"content-type": "application/json", "content-encoding": "utf-8"}
    return json.dumps({"body": body, "headers": headers, "properties": properties, **kinds, **more}).encode()


plain = st.builds(lambda task, body, at: element({"task": task, "expires": at}, body), TASKS, BODIES, EXPIRIES)
protocol_1 = st.builds(
    lambda task, number, at: element({}, packed({"task": task, "args": [number], "expires": at})),
    TASKS, st.integers(0, 2), EXPIRIES,
)  # fmt: skip
no_task = st.builds(lambda body: element({}, body), BODIES)
odd_expiry = st.builds(lambda at, body: element({"task": "a", "expires": at}, body), ODD_VALUES, BODIES)
odd_task = st.builds(lambda name, body: element({"task": name}, body), ODD_VALUES, BODIES)
odd_headers = st.builds(element, ODD_VALUES, BODIES)
odd_body = st.builds(lambda body: element({"task": "a"}, body), ODD_VALUES)
no_message = ODD_VALUES.map(lambda value: json.dumps(value).encode())
noise = st.binary(max_size=20)
elements: Any = st.one_of(
    plain, plain, plain, protocol_1, no_task, odd_expiry, odd_task, odd_headers, odd_body, no_message, noise
)
