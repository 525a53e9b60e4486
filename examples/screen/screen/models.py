"""What the screen knows for good; the statuses themselves live in the cache."""

from django.db import models


class Cluster(models.Model):
    """One cluster that is looked after."""

    name = models.CharField(max_length=100, unique=True)
    region = models.CharField(max_length=50)
    nodes = models.PositiveIntegerField(default=3)

    class Meta:
        ordering = ("id",)

    def __str__(self):
        return self.name
