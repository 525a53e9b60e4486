"""What an application can connect to, to hear what the gate did to a message."""

from celery.utils.dispatch import Signal

#: Sent where the message was published, in that thread, for every outcome but `admitted`: the sender is the task's
#: name; `outcome` a `tidegate.facts.gate.Outcome`, `queue`, `task`, `id`, `key` and `why` are texts. Not sent by a
#: worker of another process for what it drops of somebody else's. What a receiver raises is logged and ignored.
gate_decided = Signal(name="gate_decided", providing_args=["outcome", "queue", "task", "id", "key", "why"])
