"""Whether a run that is due should be held back: where more than a firing of work waits in front of it."""

from collections.abc import Iterable, Mapping

from tidegate.model.pacing.aims import Aim


def why_held(entry: str, aims: Mapping[str, Aim], depths: Mapping[str, int], let_go: Iterable[str]) -> str:
    """The reason, with its numbers; empty where the run may go, or nothing is known of it.

    `depths` are messages that wait by queue, at the last look; `let_go` the entries whose runs went since then. Entries
    that share queues may have one firing each in front of it, so that with what it sends none ever has more than two.
    """
    aim = aims.get(entry)
    own_s = sum(aim.work.values()) if aim is not None else 0.0
    if aim is None or own_s <= 0:
        return ""
    sharing_s = sum(sum(other.work.values()) for other in aims.values() if set(other.work) & set(aim.work))
    waiting_s = sum(depths.get(queue, 0) * aim.per_message.get(queue, 0.0) for queue in aim.work)
    waiting_s += sum(aims[name].work.get(queue, 0.0) for name in let_go if name in aims for queue in aim.work)
    if waiting_s <= sharing_s * (1 + 1e-9):
        return ""
    messages = sum(depths.get(queue, 0) for queue in aim.work)
    return f"{messages} messages, {waiting_s:.3g} s of work, wait in front of it; a firing takes {own_s:.3g} s"
