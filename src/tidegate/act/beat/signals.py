"""What an application can connect to, to hear what became of the due times of its schedule."""

from celery.utils.dispatch import Signal

#: Sent by the beat that decided, in its thread, for every outcome: the sender is the scheduler; `entry` is the name,
#: `outcome` a `tidegate.facts.beat.BeatOutcome`, `due` the (last) due time as a datetime in UTC, `many` how many due
#: times it is of, `why` a text. What a receiver raises is logged and ignored.
beat_decided = Signal(name="beat_decided", providing_args=["entry", "outcome", "due", "many", "why"])
