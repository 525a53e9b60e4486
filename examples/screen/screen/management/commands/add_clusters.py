"""`manage.py add_clusters 20`: something to look after."""

from django.conf import settings
from django.core.management.base import BaseCommand

from screen.models import Cluster

FIRST_ID = 1061
REGIONS = ("north", "east", "south", "west")
PURPOSES = ("search", "ledger", "media", "mail", "metrics")


class Command(BaseCommand):
    """Adds clusters until there are as many as asked for."""

    help = "Add clusters until there are COUNT of them (default: SCREEN_CLUSTERS)."

    def add_arguments(self, parser):
        parser.add_argument("count", nargs="?", type=int, default=settings.SCREEN_CLUSTERS)

    def handle(self, *, count, **_options):
        wanted = [_cluster(number) for number in range(count)]
        Cluster.objects.bulk_create(wanted, ignore_conflicts=True)
        self.stdout.write(f"{Cluster.objects.count()} clusters")


def _cluster(number):
    purpose, region = PURPOSES[number % 5], REGIONS[number // 5 % 4]
    name = f"{purpose}-{region}-{number // 20 + 1}"
    return Cluster(id=FIRST_ID + number, name=name, region=region, nodes=3 + number * 7 % 10)
