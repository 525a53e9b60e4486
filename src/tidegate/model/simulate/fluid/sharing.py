"""Who serves what: pools divide what they can do among the queues that have work, and leave nothing idle that is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Offers that were not taken are made again to the other queues, so many times.
_ROUNDS = 12
_NOTHING = 1e-12


@dataclass(slots=True)
class Offer:
    """What a pool can still do in this step, in seconds of undisturbed work, for queues in this order."""

    queues: Sequence[str]
    left_s: float
    in_order: bool = False


def share(offers: Sequence[Offer], wanted_s: Mapping[str, float], each_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds of work done for every queue; the offers are reduced by it.

    A pool takes messages of its queues in turn, so its time is divided by the mean work of a message of each (`each_s`);
    with `in_order` the first queue gets all it wants. What a queue does not want goes to the others of the pool.
    """
    done = dict.fromkeys(wanted_s, 0.0)
    open_s = {queue: seconds for queue, seconds in wanted_s.items() if seconds > _NOTHING}
    for _ in range(_ROUNDS):
        bids = [_bid(offer, open_s, each_s) for offer in offers]
        if not any(bids):
            break
        offered: dict[str, float] = {}
        for bid in bids:
            for queue, seconds in bid.items():
                offered[queue] = offered.get(queue, 0.0) + seconds
        taken = {queue: min(1.0, open_s[queue] / seconds) for queue, seconds in offered.items()}
        for offer, bid in zip(offers, bids, strict=True):
            for queue, seconds in bid.items():
                offer.left_s -= seconds * taken[queue]
                done[queue] += seconds * taken[queue]
                open_s[queue] -= seconds * taken[queue]
        open_s = {queue: seconds for queue, seconds in open_s.items() if seconds > _NOTHING * max(1.0, wanted_s[queue])}
    return done


def _bid(offer: Offer, open_s: Mapping[str, float], each_s: Mapping[str, float]) -> dict[str, float]:
    queues = [queue for queue in offer.queues if queue in open_s]
    if not queues or offer.left_s <= _NOTHING:
        return {}
    if offer.in_order:
        return {queues[0]: offer.left_s}
    together = sum(each_s[queue] for queue in queues)
    return {queue: offer.left_s * each_s[queue] / together for queue in queues}
