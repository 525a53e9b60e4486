"""The refresh: one quick parent, and one child per cluster. The children are what piles up."""

import random
import time

from celery import shared_task
from django.conf import settings
from django.core.cache import cache

from screen.models import Cluster
from screen.status import key, measured


@shared_task
def refresh_all_clusters():
    """Sent by beat at every interval; publishes one refresh per cluster and is done in milliseconds."""
    for cluster_id in Cluster.objects.values_list("pk", flat=True):
        flush_cluster_status.delay(cluster_id)


@shared_task
def flush_cluster_status(cluster_id):
    """Measure one cluster and put the status, with its time, where the page reads it."""
    cluster = Cluster.objects.get(pk=cluster_id)
    # Stands for asking the cluster's own API over the network: the worker waits, it does not compute. The
    # time is scaled down, and as it is a wait it hardly depends on how fast this machine is.
    time.sleep(settings.SCREEN_TASK_S)
    busy = random.betavariate(2, 3)
    cache.set(key(cluster_id), measured(cluster.nodes, busy, time.time()), timeout=None)
