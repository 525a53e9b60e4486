"""A producer process: `python bounded_producer.py URL NAME SECONDS BOUND OVERFLOW` publishes as fast as it can.

It prints what each outcome happened how often, as JSON.
"""

import json
import sys
import time
from collections import Counter

from gatehouse import gated
from tidegate.errors import QueueFull
from tidegate.facts.gate import Bound, Overflow


def main(url: str, name: str, seconds: str, bound: str, overflow: str) -> None:
    said: Counter[str] = Counter()
    with gated(
        url, q=Bound(max_length=int(bound), overflow=Overflow(overflow), block_s=0.3, dead_letter="dead")
    ) as gate:
        until, number = time.monotonic() + float(seconds), 0
        while time.monotonic() < until:
            number += 1
            try:
                said[gate.publish(f"{name}-{number}", priority=(0, 9)[number % 2]).outcome.value] += 1
            except QueueFull:
                said["refused"] += 1
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
