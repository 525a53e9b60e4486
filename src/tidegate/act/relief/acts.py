"""The journal of acts in Redis: an act begins, says how far it is, is taken over from whoever died, and ends.

An act that has a queue keeps every other act away from it. Its token is compared in every script, so that of two
processes that believe to have it only the later one does anything.
"""

import json
import math
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from tidegate.act import journal
from tidegate.act.beat.ordering import who_acts
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.reads import batched, lengths, refused, server_time
from tidegate.broker.relief import hidden_lists, key_of
from tidegate.broker.scripts import RELIEF_BEGIN, RELIEF_CLAIM, RELIEF_NOTE, Argument, Script, run_by
from tidegate.errors import AccessDenied, CannotLook, NothingFound, Refused
from tidegate.facts.journal import JournalEntry
from tidegate.facts.relief import Act, Relief, State
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.aside import is_interrupted
from tidegate.observe.process import Process, process_in, this_process

MOST_ACTS = 1000
_Word = TypeVar("_Word", bound=StrEnum)
_RUNNING = (State.RUNNING, State.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Acting:
    """An act in the hand of this process."""

    broker: Broker
    id: str
    token: str

    def run(self, script: Script, *arguments: Argument) -> list[Any]:
        """The answer of a script of this act, one round trip. Raises Refused where the act is another's by now, or gone."""
        [answer] = run_by(self.broker.ask, script, [], [self.broker.layout.prefix, self.id, self.token, *arguments])
        return self.checked(answer)

    def checked(self, answer: Any) -> list[Any]:
        """The answer, its first word as text; raises as `run`."""
        if isinstance(answer, Refusal):
            raise _explained(self.broker, answer)
        word, *rest = answer
        said = as_text(word)
        if said == "gone":
            raise Refused(
                f"the act {self.id} is not in Redis any more: was the server emptied? Look: tidegate relief list"
            )
        if said == "fenced":
            raise Refused(f"the act {self.id} was taken over by {_shown(process_in(rest[0]))}: this process stops")
        return [said, *rest]

    def note(self, **fields: Argument) -> None:
        """Writes fields of the act, and that its process lives."""
        self.run(RELIEF_NOTE, "", *_pairs(fields))

    def end(self, state: State, **fields: Argument) -> None:
        """Ends the act: the queue is free again, and the journal has a line."""
        self.run(RELIEF_NOTE, "1", *_pairs({"state": state.value, **fields}))
        row = row_of(self.broker, self.id)
        said = f"{row.removed} removed, {row.kept} kept" if row.removed or row.kept else ""
        _journaled(self.broker, row.act, state.value, row.queue, self.id, said)

    def field(self, name: str) -> str:
        """What one field of the act says, empty where it says nothing."""
        answer = self.broker.one("HGET", key_of(self.broker.layout.prefix, f"act:{self.id}"), name)
        return as_text(answer) if isinstance(answer, bytes) else ""

    def number(self, name: str) -> int:
        """The same as a number, 0 where it is none."""
        text = self.field(name)
        return int(text) if text.lstrip("-").isdecimal() else 0


def new_id(act: Act) -> str:
    """A name that no other act has."""
    return f"{act.value}-{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def begin(broker: Broker, act: Act, queue: str, **fields: Argument) -> Acting:
    """A new act that has the queue (none where it is empty); raises Refused where another act has it. Two round trips."""
    return begin_named(broker, act, queue, new_id(act), RELIEF_BEGIN, fields)


def begin_named(
    broker: Broker, act: Act, queue: str, id_: str, script: Script, fields: Mapping[str, Argument]
) -> Acting:
    """The same with an id that was chosen before, and by another script where the server is full."""
    token = secrets.token_hex(8)
    said = {"act": act.value, "state": State.RUNNING.value, **owner_fields(token), **fields}
    call = [broker.layout.prefix, id_, queue, MOST_ACTS, *_pairs(said)]
    [answer] = run_by(broker.ask, script, [], call)
    if isinstance(answer, Refusal):
        raise _explained(broker, answer)
    if as_text(answer[0]) == "busy":
        raise busy(queue, as_text(answer[1]))
    _journaled(broker, act, "begun", queue, id_, str(fields.get("wanted", "")))
    return Acting(broker, id_, token)


def claim(broker: Broker, id_: str) -> Acting:
    """The act, taken over from a process that is gone; raises Refused where it may still be at work, or the act is over.

    Three round trips.
    """
    said, row = _hash(broker, id_), row_of(broker, id_)
    if row.state not in _RUNNING:
        raise Refused(f"the act {id_} is over ({row.state.value.replace('_', ' ')}): there is nothing to go on with")
    if row.act is Act.RESCUE:
        raise Refused(f"the messages of {id_} are in {row.backup}: go on with {_remedy(id_, said)}")
    if row.state is State.RUNNING and process_in(said.get("process", "")) != this_process():
        raise Refused(f"the act {id_} runs: {row.process} is at work on it. End that process first, or wait for it")
    token = secrets.token_hex(8)
    call = [broker.layout.prefix, id_, said.get("token", ""), token, *_pairs(owner_fields(token))]
    [answer] = run_by(broker.ask, RELIEF_CLAIM, [], call)
    if isinstance(answer, Refusal):
        raise _explained(broker, answer)
    if as_text(answer[0]) == "busy":
        raise busy(row.queue, as_text(answer[1]))
    acting = Acting(broker, id_, token)
    acting.checked(answer)
    return acting


def rows_of(broker: Broker, most: int = 100) -> list[Relief]:
    """The newest acts, the latest first; one command each, and thirty LLEN for one that is not over."""
    answer = broker.one("ZREVRANGE", key_of(broker.layout.prefix, "acts"), 0, most - 1)
    if isinstance(answer, Refusal):
        raise _explained(broker, answer)
    found = batched(broker, [("HGETALL", key_of(broker.layout.prefix, f"act:{as_text(id_)}")) for id_ in answer])
    now_s = server_time(broker)
    hashes = [(as_text(id_), _fields(said)) for id_, said in zip(answer, found, strict=True)]
    return [_row(broker, id_, said, now_s) for id_, said in hashes if said]


def row_of(broker: Broker, id_: str) -> Relief:
    """One act; raises NothingFound with the ids there are."""
    return _row(broker, id_, _hash(broker, id_), server_time(broker))


def fields_of(broker: Broker, id_: str) -> dict[str, str]:
    """Everything an act says of itself; raises NothingFound as `row_of`."""
    return _hash(broker, id_)


def holder_of(broker: Broker, queue: str) -> str:
    """The id of the act that has the queue, empty where none has it."""
    answer = broker.one("GET", key_of(broker.layout.prefix, f"queue:{queue}"))
    return as_text(answer) if isinstance(answer, bytes) else ""


def _hash(broker: Broker, id_: str) -> dict[str, str]:
    answer = broker.one("HGETALL", key_of(broker.layout.prefix, f"act:{id_}"))
    if isinstance(answer, Refusal):
        raise _explained(broker, answer)
    if not answer:
        ids = [row.id for row in rows_of(broker, 5)]
        there = f"the latest are {', '.join(ids)}" if ids else "there are none"
        raise NothingFound(f"no act {id_!r} in {broker.address.shown}: {there}")
    return _fields(answer)


def _fields(answer: Any) -> dict[str, str]:
    if isinstance(answer, Refusal):
        return {}
    texts = [as_text(part) for part in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _row(broker: Broker, id_: str, said: Mapping[str, str], now_s: float) -> Relief:
    state, process = _state(said, now_s), process_in(said.get("process", ""))
    over = state not in _RUNNING
    return Relief(
        id=id_,
        act=_act(said.get("act", "")),
        queue=said.get("queue", ""),
        to=said.get("to", ""),
        state=state,
        started_at=_number(said, "started_ms") / 1000,
        ended_at=_number(said, "ended_ms") / 1000 if over else None,
        scanned=int(_number(said, "removed")) + kept_in(said),
        removed=int(_number(said, "removed")),
        kept=kept_in(said),
        who=said.get("who", ""),
        process=_shown(process),
        backup=said.get("backup") or None,
        wanted=said.get("wanted", ""),
        aside=0 if over else _aside(broker, said.get("queue", "")),
        remedy=_remedy(id_, said) if state is State.INTERRUPTED else "",
    )


def _remedy(id_: str, said: Mapping[str, str]) -> str:
    if said.get("act") == Act.RESCUE.value:
        return f"tidegate rescue --dir {shlex.quote(said.get('backup', ''))} --yes, on the machine with that directory"
    return f"tidegate relief resume {id_}, or tidegate relief rollback {id_}"


def kept_in(said: Mapping[str, str]) -> int:
    """How many messages stayed, of all lists."""
    return sum(int(_number(said, name)) for name in said if name.startswith("kept:"))


def _state(said: Mapping[str, str], now_s: float) -> State:
    state = _word(State, said.get("state", ""), State.DONE)
    if state is not State.RUNNING:
        return state
    gone = is_interrupted(state.value, said.get("process", ""), _number(said, "alive_ms") / 1000, now_s)
    return State.INTERRUPTED if known(gone) and gone else State.RUNNING


def _act(text: str) -> Act:
    return _word(Act, text, Act.PURGE)


def _word(kind: type[_Word], text: str, otherwise: _Word) -> _Word:
    try:
        return kind(text)
    except ValueError:
        return otherwise


def _number(said: Mapping[str, str], name: str) -> float:
    try:
        number = float(said.get(name, "0"))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _aside(broker: Broker, queue: str) -> Maybe[int]:
    if not queue:
        return 0
    depths = lengths(broker, hidden_lists(broker.layout, queue))
    unknown = next((depth for depth in depths if not known(depth)), None)
    return unknown if isinstance(unknown, Unknown) else sum(depth for depth in depths if known(depth))


def owner_fields(token: str) -> dict[str, Argument]:
    """The fields that say who has an act: this process, by that token."""
    me = this_process()
    process = json.dumps({"machine": me.machine, "pid": me.pid, "started": me.started})
    return {"token": token, "process": process, "who": who_acts(), "state": State.RUNNING.value}


def _shown(process: Process | None) -> str:
    return (
        f"process {process.pid} on {process.machine.partition('|')[0]}" if process is not None else "an unknown process"
    )


def _pairs(fields: Mapping[str, Argument]) -> Sequence[Argument]:
    return [part for pair in fields.items() for part in pair]


def _journaled(broker: Broker, act: Act, what: str, queue: str, id_: str, why: str) -> None:
    entry = JournalEntry(
        at_s=server_time(broker), act="relief", what=f"{act.value} {what}", queue=queue, id=id_, why=why, who=who_acts()
    )
    broker.ask(journal.adding(broker.layout.prefix, entry))


def busy(queue: str, other: str) -> Refused:
    """The refusal of an act on a queue that another has."""
    return Refused(
        f"{queue} is in the hand of another act, {other}: wait for it, or if it was interrupted, "
        f"tidegate relief resume {other}, or rollback"
    )


def _explained(broker: Broker, refusal: Refusal) -> CannotLook | Refused:
    if "OOM" in refusal.why or "'maxmemory'" in refusal.why:
        return Refused("the server is at its memory limit and takes no write: tidegate rescue makes room")
    why = refused(broker, "EVALSHA", refusal).why
    return AccessDenied(why) if refusal.denied else CannotLook(why)
