"""The gate: decides for every producer, in the round trip that publishes, whether a message may enter its queue."""
