"""The keys of relief, behind the application's own `global_keyprefix`.

tidegate:relief:1:acts            zset    id of an act → when it began (ms by the server's clock); the newest 1,000
tidegate:relief:1:act:<id>        hash    one act: what is wanted, how far it is; expires 90 days after its end
tidegate:relief:1:queue:<queue>   string  the id of the act that has the queue at present
tidegate:relief:1:aside:<list>    list    what was in the list when the act began and is not decided on
tidegate:relief:1:later:<list>    list    what was published since, in its order
tidegate:relief:1:back:<list>     list    what is about to be put back, in its order
"""

from tidegate.broker.keys import PRIORITY_STEPS, Layout

RELIEF = "tidegate:relief:1:"
"""What stands before the names of the keys, behind the prefix; the number is the version of their format."""
ASIDE, LATER, BACK = "aside", "later", "back"
HIDDEN = (ASIDE, LATER, BACK)


def key_of(prefix: str, name: str) -> str:
    """The key with that name."""
    return f"{prefix}{RELIEF}{name}"


def hidden_list(prefix: str, kind: str, list_key: str) -> str:
    """The list of that kind (`HIDDEN`) beside a list of a queue."""
    return f"{prefix}{RELIEF}{kind}:{list_key[len(prefix) :]}"


def hidden_lists(layout: Layout, queue: str) -> list[str]:
    """Every list in which messages of the queue can stand while an act has it."""
    lists = [layout.list_of(queue, step) for step in PRIORITY_STEPS]
    return [hidden_list(layout.prefix, kind, key) for kind in HIDDEN for key in lists]
