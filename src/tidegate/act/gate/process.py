"""Which process this is: see `observe.process`, which a look needs as well."""

from tidegate.observe.process import Process, is_alive, machine, process_in, this_process

__all__ = ["Process", "is_alive", "machine", "process_in", "this_process"]
