"""Text that is safe on a terminal, whatever stood in a message."""

import json
import unicodedata
from typing import Any

#: Control, format (bidirectional overrides), surrogate, private, unassigned; line and paragraph separators.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str, at_most: int = 2000) -> str:
    """The text with everything that could steer a terminal written out as \\x1b, \\u202e, …; long text is cut."""
    cut = text if len(text) <= at_most else text[: at_most - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in cut)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_json(value: Any) -> str:
    """JSON in ASCII: no control character can reach the terminal in it."""
    # DEL is the one control character in ASCII that JSON leaves as it is.
    return json.dumps(value, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f")
