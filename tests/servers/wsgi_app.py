"""The common answers as a WSGI application."""

import time
from urllib.parse import parse_qs

ANSWERS = {"/ok": "200 OK", "/slow": "200 OK", "/error": "500 Internal Server Error"}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = b"ok\n"
    if path.startswith("/users/"):
        status = "200 OK"
    elif path == "/upload" and environ["REQUEST_METHOD"] == "POST":
        status = "201 Created"
        body = str(len(environ["wsgi.input"].read())).encode()
    else:
        status = ANSWERS.get(path, "404 Not Found")
    if path == "/slow":
        time.sleep(int(parse_qs(environ["QUERY_STRING"]).get("ms", ["100"])[0]) / 1000)
    start_response(status, [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]
