"""The owner of a private broker, as a process of its own: says where the broker is, then waits to be ended.

`owner.py` waits for its stdin to close; `owner.py fork` leaves a child behind that ends with sys.exit first;
`owner.py hold` keeps a forked child alive that holds every pipe of the owner open.
"""

import json
import os
import sys

from tidegate.demo.broker import PrivateBroker


def main(how: str) -> None:
    with PrivateBroker() as broker:
        child = os.fork() if how else 0
        if how == "fork" and child == 0:
            broker.stop()
            sys.exit(0)
        if how == "fork":
            os.waitpid(child, 0)
        if how == "hold" and child == 0:
            sys.stdin.read()
            os._exit(0)
        about = {"pid": broker.pid, "directory": str(broker.directory), "pong": broker.ask("PING")}
        sys.stdout.write(json.dumps(about) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:] or [""])
