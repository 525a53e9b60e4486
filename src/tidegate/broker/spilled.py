"""The keys of the spill keeper, behind the prefix. In order of age: the list, its front, the disk, its side list.

tidegate:gate:1:front:<list>   list    what came back from the disk and enters next
tidegate:gate:1:kept:<list>    hash    store (id), where, taken, fed (numbers; on disk is what is between), full, forget
tidegate:gate:1:keeper         string  JSON of the keeper that lives; expires 5 s after its last word
"""

from tidegate.broker.keys import GATE, SPILL

FRONT, KEPT, KEEPER = f"{GATE}front:", f"{GATE}kept:", f"{GATE}keeper"


def beside(prefix: str, kind: str, list_key: str) -> str:
    """The key of that kind (`SPILL`, `FRONT`, `KEPT`) beside a list."""
    return f"{prefix}{kind}{list_key[len(prefix) :]}"


def side_list(prefix: str, list_key: str) -> str:
    """Where what is over the bound waits first."""
    return beside(prefix, SPILL, list_key)
