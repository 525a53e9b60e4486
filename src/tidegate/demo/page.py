"""Serves the project's page on a port of its own choosing: `python -m tidegate.demo.page [PORT]`.

`manage.py runserver` says its address before it has the port, so one could look at somebody else's page.
"""

import os
import sys
from collections.abc import Sequence
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.wsgi import get_wsgi_application

HOST = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page asks every second."""


def main(arguments: Sequence[str]) -> None:
    """Bind first, then say the address; port 0, the default, takes a free one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "screen.settings")
    port = int(arguments[0]) if arguments else 0
    with make_server(HOST, port, get_wsgi_application(), _Server, _Quiet) as server:
        sys.stdout.write(f"the page is at http://{HOST}:{server.server_port}/\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
