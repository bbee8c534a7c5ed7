"""The web application whose instrumentations are compared: Flask, two routes, under gunicorn."""

from __future__ import annotations

import json

from flask import Flask  # type: ignore[import-not-found]

app = Flask(__name__)


@app.get("/items/<int:number>")  # type: ignore[untyped-decorator]
def item(number: int) -> tuple[str, int, dict[str, str]]:
    body = {"number": number, "names": [f"item {each}" for each in range(20)]}
    return json.dumps(body), 200, {"Content-Type": "application/json"}
