"""A small shop, the application of the demonstration. It knows nothing of otelauto.

GET /  /products  /products/N  /orders/N  /search  and POST /cart/items  /checkout
"""

from __future__ import annotations

import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ORDERS = 500


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        section, _, name = path.strip("/").partition("/")
        if section == "search":
            time.sleep(random.uniform(0.02, 0.08))
            self.answer(200, {"found": 3})
        elif section == "orders" and name.isdigit() and int(name) > ORDERS:
            self.answer(404, {"error": "no such order"})
        elif section in {"", "products", "orders"}:
            time.sleep(random.uniform(0.001, 0.006))
            self.answer(200, {"section": section, "name": name})
        else:
            self.answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/checkout":
            time.sleep(random.uniform(0.05, 0.2))
            failed = random.random() < 0.1
            self.answer(503 if failed else 201, {"failed": failed})
        else:
            self.answer(201, {})

    def answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: the table is what one should see."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
