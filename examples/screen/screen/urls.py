"""One page."""

from django.urls import path

from screen.views import clusters

urlpatterns = [path("", clusters)]
