"""Messages as a fluid: the cost depends on the number of tasks and queues, not on how many hosts and messages there are."""
