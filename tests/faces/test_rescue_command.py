"""`tidegate rescue` says what it would do, does it, and is ended with Ctrl-C with a word on how to go on."""

import signal
import sys

from act.full_server import FullServer
from faces.shell import call
from tidegate.demo.processes import Guarded, python_environment


def test_it_says_what_it_would_do_and_ctrl_c_says_how_to_go_on(private_broker, tmp_path):
    server = FullServer(private_broker(maxmemory="8mb", maxmemory_policy="noeviction"))
    server.fill()
    place = tmp_path / "dir"

    dry = call("rescue", server.broker.url, "--dir", str(place), "--json")
    command = [sys.executable, "-m", "tidegate", "rescue", server.broker.url, "--dir", str(place), "--yes"]
    with Guarded(command, tmp_path / "log", environment=python_environment(tmp_path)) as process:
        process.wait_for_line("^Room made after", 20)
        process.signal(signal.SIGINT)
        code = process.wait(10)
        last = process.last_words()

    assert dry.parsed["dry_run"] is True and "Nothing was done. To do it: tidegate rescue" in dry.said
    assert code == 130
    assert last.endswith(f"Go on with: tidegate rescue {server.broker.url} --dir {place} --yes")
