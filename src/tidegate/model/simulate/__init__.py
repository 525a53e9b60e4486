"""Replaying arrivals and run times through hosts, queues and policies: event by event, or as a fluid."""
