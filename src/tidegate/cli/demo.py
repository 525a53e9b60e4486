"""`tidegate demo`: the story, on this machine, with real workers."""

import click

from tidegate.cli.options import ends_well
from tidegate.cli.progress import watching
from tidegate.cli.render import console, show_diagnosis
from tidegate.facts.diagnosis import Diagnosis
from tidegate.facts.planned import Plan

#: How long the doctor, and the status of the gate, watch in the demo: heartbeats come every two seconds.
_WINDOW_S, _GATE_WINDOW_S = 10.0, 2.5


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, and print the page's address.")
@click.option("--port", type=click.IntRange(0, 65535), help="The page's port on 127.0.0.1; a free one where not given.")
@click.option("-v", "--verbose", is_flag=True, help="Healthy checks too; a traceback where something fails.")
@ends_well
def demo(keep: bool, port: int | None, verbose: bool) -> None:
    """Play the story: a Django project refreshes its screens every second, the workers are a little too slow, the queue
    grows; the doctor explains it, the plan says which interval is safe, and that one ends it; then the old interval again,
    behind the gate, where the workers set the pace; an interval that follows a lost host; and a full server, rescued.
    Takes two to three minutes and leaves nothing behind.

    Needs no Redis: a private one is started. Needs the extra: pip install 'tidegate[demo]'
    """
    from tidegate.demo.story import run_demo

    def diagnosed(url: str) -> Diagnosis:
        return _diagnosed(url, verbose=verbose)

    raise SystemExit(run_demo(diagnosed, _planned, _guarded, keep=keep, port=port))


def _diagnosed(url: str, *, verbose: bool) -> Diagnosis:
    from tidegate.broker.address import parse_address
    from tidegate.diagnose import diagnose_at
    from tidegate.observe.look import Options

    out = console()
    out.print(f"\n$ tidegate doctor {url}", style="bold")
    with watching(f"Watching for {_WINDOW_S:g} s") as progress:
        diagnosis = diagnose_at(parse_address(url), Options(window_s=_WINDOW_S), progress=progress)
    show_diagnosis(diagnosis, out, verbose=verbose)
    out.print()
    return diagnosis


def _planned(url: str) -> Plan:
    from tidegate.cli.plan import show_answer
    from tidegate.cli.plan_chart import chart_of
    from tidegate.planning import plan

    out = console()
    out.print(f"\n$ tidegate plan {url}", style="bold")
    planned = plan(url)
    show_answer(planned, chart_of(planned))
    out.print()
    return planned


def _guarded(url: str) -> None:
    from tidegate.broker.address import parse_address
    from tidegate.cli.gate_tables import show_status
    from tidegate.facts.gated import GateSettings
    from tidegate.gating import status_at
    from tidegate.observe.look import Options

    out = console()
    out.print(f"\n$ tidegate gate status {url}", style="bold")
    # The project guards an entry and bounds no queue.
    settings = GateSettings(on=True, bound_of=lambda queue: None)
    options = Options(window_s=_GATE_WINDOW_S, censuses=False, gate=settings)
    with watching(f"Watching for {_GATE_WINDOW_S:g} s") as progress:
        status = status_at(parse_address(url), options, progress=progress)
    show_status(status, out, verbose=False)
    out.print()
