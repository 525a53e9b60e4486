"""What happens when a run comes due while an earlier one is pending or running: Temporal's words."""

from enum import StrEnum


class Overlap(StrEnum):
    """What happens when a message comes due while an earlier one is pending or running."""

    ALLOW_ALL = "allow_all"  # it is published, whatever else is there
    SKIP = "skip"  # it is not published while one is pending or running
    BUFFER_ONE = "buffer_one"  # it is not published while one is pending: at most one waits, beside what runs


class Payload(StrEnum):
    """What `buffer_one` does with what came due while another one is pending."""

    KEEP = "keep"  # the pending one stays as it is
    REPLACE = "replace"  # the pending one gets the newer payload, in place


class Scope(StrEnum):
    """What counts as pending or running: the message, or anything of its firing."""

    MESSAGE = "message"
    FIRING = "firing"
