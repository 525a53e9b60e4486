"""The keys that the beats of one schedule share, behind the application's own `global_keyprefix`.

tidegate:beat:1:<name>:lease     string  who leads: JSON with its token; expires three seconds after its last word
tidegate:beat:1:<name>:cursors   hash    entry → the last due time that was decided on, µs since the epoch
tidegate:beat:1:<name>:last      hash    entry → `<outcome>|<ms when decided>|<why>`
tidegate:beat:1:<name>:counts    hash    `<outcome>|<entry>` → how often
tidegate:beat:1:<name>:orders    hash    entry → JSON: what an operator has ordered until it is reset
tidegate:beat:1:<name>:asks      hash    entry → JSON: a run that an operator asked for, until it is sent
tidegate:beat:1:<name>:edition   string  counts the changes of `orders` and `asks`
tidegate:beat:1:<name>:seen      string  the `edition` that the leading beat goes by
tidegate:beat:1:<name>:paced     hash    entry → JSON: the present interval of an entry that follows the workers, and why
"""

BEAT = "tidegate:beat:1:"


def key_of(prefix: str, name: str, what: str) -> str:
    """The key with that name of that schedule."""
    return f"{prefix}{BEAT}{name}:{what}"
