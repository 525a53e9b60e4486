"""The page: every cluster's cached status and how old it is."""

import time

from django.conf import settings
from django.core.cache import cache
from django.shortcuts import render

from screen.models import Cluster
from screen.status import key, line


def clusters(request):
    """Read all statuses in one go and show them; no cluster is asked here."""
    known = list(Cluster.objects.all())
    cached = cache.get_many([key(cluster.pk) for cluster in known])
    now = time.time()
    lines = [line(each, cached.get(key(each.pk)), now, settings.SCREEN_INTERVAL_S) for each in known]
    ages = [each.age_s for each in lines if each.age_s is not None]
    about = {
        "lines": lines,
        "measured": len(ages),
        "oldest_s": max(ages, default=None),
        "youngest_s": min(ages, default=None),
        "interval_s": settings.SCREEN_INTERVAL_S,
    }
    return render(request, "screen/clusters.html", about)
