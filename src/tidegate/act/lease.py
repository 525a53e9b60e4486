"""The lease: of all beats that share a schedule, the one whose token it holds leads.

The protocol, in short (docs/explain/how-beats-share-a-schedule.md has all of it):

- The lease is one key that expires three seconds after its last word. Its holder renews it twice a second from the loop
  in which it decides, so it stands for progress; whoever finds it free takes it, with a token that nobody had before.
- Nobody acts on a memory of having led. Every decision carries the token, and the server compares it, and the entry's
  cursor, in the same script that pushes the message (broker/lua/fence.lua). A beat that was stopped in between finds its
  token gone, or the cursor moved, and nothing is sent.
- A holder that ends gives the lease up. One that died on this machine is known by its process, and taken over from at
  once; any other one when the lease has expired.
"""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from tidegate.act import journal
from tidegate.act.claim import Terms
from tidegate.broker.beat import key_of
from tidegate.broker.client import Refusal, as_text
from tidegate.broker.scripts import LEASE, UNLEASE
from tidegate.facts.journal import JournalEntry
from tidegate.observe.probe.link import Link
from tidegate.observe.process import process_in, this_process

EXPIRES_MS = 3000
#: A holder stops acting so long before its lease may be another's; its claims are compared all the same.
MARGIN_S = 0.3
#: A number with more digits may be more than the server can count on from.
_LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer: `new` where the lease was free. `server_s` is the server's clock when it answered, and `at_s` the
    monotonic one of this process; `edition` is that of the orders.
    """

    leads: bool
    new: bool
    server_s: float
    at_s: float
    edition: int


class Lease:
    """The lease of one schedule, as one beat asks for it; not for two threads at a time."""

    def __init__(self, link: Link, prefix: str, name: str, node: str) -> None:
        self._link, self._prefix, self._name, self._node = link, prefix, name, node
        self._me = this_process()
        self._token = secrets.token_hex(8)
        self._since_s = 0.0
        self._until_s = float("-inf")

    @property
    def terms(self) -> Terms:
        """What a claim carries."""
        return Terms(self._prefix, self._name, self._token)

    def holds(self) -> bool:
        """Whether it is still this beat's, as far as this side can tell."""
        return time.monotonic() < self._until_s

    def ask(self) -> Turn:
        """Renews it, or takes it where it is free or its holder is dead: one round trip, two where it was somebody's who
        died here. Raises Away.
        """
        answer, asked_s = self._asked("")
        if not answer[0] and (dead := self._dead_in(answer[4])):
            answer, asked_s = self._asked(dead)
        return self._turn(answer, asked_s)

    def drop(self) -> None:
        """Nothing is this beat's any more; whenever it leads again, it has another token."""
        self._until_s = float("-inf")
        self._token = secrets.token_hex(8)
        self._since_s = 0.0

    def give_up(self) -> None:
        """Another beat may take it at once. Raises Away."""
        if self.holds():
            run(self._link, UNLEASE, [self._base, self._token])
        self.drop()

    @property
    def _base(self) -> str:
        return key_of(self._prefix, self._name, "")

    def _asked(self, dead: str) -> tuple[list[Any], float]:
        asked_s = time.monotonic()
        if not self.holds():
            self._token = secrets.token_hex(8)
        said = json.dumps(
            {
                "token": self._token,
                "node": self._node,
                "machine": self._me.machine,
                "pid": self._me.pid,
                "started": self._me.started,
                "who": f"{self._node} ({self._me.pid})",
                "since": round(self._since_s or time.time(), 3),
            }
        )
        return run(self._link, LEASE, [self._base, self._token, said, EXPIRES_MS, dead]), asked_s

    def _turn(self, answer: list[Any], asked_s: float) -> Turn:
        now_s = time.monotonic()
        leads, new = answer[0] > 0, answer[0] == 1
        server_s = int(answer[1]) + int(answer[2]) / 1e6 + (now_s - asked_s) / 2
        if not leads:
            self._until_s = float("-inf")
        else:
            self._until_s = asked_s + EXPIRES_MS / 1000 - MARGIN_S
            if new:
                self._since_s = server_s
                self._note(server_s)
        return Turn(leads, new, server_s, now_s, _number(as_text(answer[3])))

    def _note(self, at_s: float) -> None:
        who = f"{self._node} ({self._me.pid})"
        entry = JournalEntry(at_s=at_s, act="beat", what="leads", key=self._name, who=who)
        self._link.ask(journal.adding(self._prefix, entry))

    def _dead_in(self, held: bytes) -> str:
        """The token of a holder that surely lives no more."""
        process = process_in(held)
        return str(json.loads(held).get("token", "")) if process is not None and process.is_gone() else ""


def _number(text: str) -> int:
    """What the server can count on from; 0 for anything else."""
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_NUMBER else 0


class Refused(Exception):
    """The server does not run our scripts, and says why; `for_good`: it will not tomorrow either."""

    def __init__(self, why: str, *, for_good: bool) -> None:
        super().__init__(why)
        self.for_good = for_good


def run(link: Link, script: Any, arguments: list[Any]) -> Any:
    """The script's answer: one round trip, two where the server does not know it yet. Raises Away, and Refused."""
    return run_all(link, script, [arguments])[0]


def run_all(link: Link, script: Any, calls: list[list[Any]]) -> list[Any]:
    """The answers to many calls of one script, in one round trip; raises as `run` where one of them is refused."""
    answers = link.run(script, [], *calls)
    for answer in answers:
        if isinstance(answer, Refusal):
            raise Refused(answer.why, for_good=answer.denied or "unknown command" in answer.why.lower())
    return answers
