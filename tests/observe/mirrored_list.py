"""The model list done to a real one as well, so that what a server shows can be held against the truth."""

import redis
from list_model import ListModel


class Mirrored(ListModel):
    """The model list, done to a real one as well."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        super().__init__()
        self.client, self.key = client, key

    def push(self, number: int) -> None:
        super().push(number)
        for element in reversed(self.elements[:number]):
            self.client.lpush(self.key, element)

    def pop(self, number: int) -> None:
        super().pop(number)
        self.client.rpop(self.key, number)

    def restore(self, number: int) -> None:
        before = len(self.elements)
        super().restore(number)
        for element in self.elements[before:]:
            self.client.rpush(self.key, element)

    def delete(self, _: int = 0) -> None:
        super().delete()
        self.client.delete(self.key)
