"""How the channel tells the publisher of a message that it was not published, because another one stands in for it."""


class Skipped(Exception):
    """Nothing was published: the run with the id `pending` stands in for it. Never leaves `app.send_task`."""

    def __init__(self, pending: str) -> None:
        super().__init__(f"{pending} is pending")
        self.pending = pending


class Fenced(Exception):
    """Nothing was published: the due time that it was for is another beat's, or was decided on meanwhile."""
