"""Look and judge in one call: what `tidegate doctor` does, for programs."""

from collections.abc import Mapping
from typing import Any

from tidegate import __version__
from tidegate.broker.address import Address, parse_address
from tidegate.broker.client import connect
from tidegate.facts.diagnosis import Diagnosis
from tidegate.model.judgement import judge
from tidegate.observe.look import Options, Progress, take_look


def diagnose(
    url: str,
    *,
    window_s: float = 10.0,
    timeout_s: float = 5.0,
    transport_options: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """The diagnosis of the broker at that URL, watched for `window_s` seconds; writes nothing.

    Raises CannotLook where the broker can't be seen. Costs some hundred commands and a few per poll, ten polls a second.
    """
    return diagnose_at(parse_address(url, transport_options), Options(window_s=window_s), timeout_s=timeout_s)


def diagnose_at(
    address: Address, options: Options, *, timeout_s: float = 5.0, progress: Progress | None = None
) -> Diagnosis:
    """The same for an address already parsed, with every option of a look."""
    with connect(address, timeout_s) as broker:
        return judge(take_look(broker, options, progress), __version__)
