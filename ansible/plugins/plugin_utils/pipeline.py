# SPDX-License-Identifier: Apache-2.0
"""The collector's pipeline, from what an inventory says to the data that ``river.build`` writes.

Receiver, optional memory limiter, batch; then metrics to any number of remote-write endpoints and
traces to any number of OTLP endpoints; optional connectors, scrapes and further blocks. Names of
the blocks are those of the original example (receiver and batch are "default").
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from .river.build import marked
from .river.syntax import is_identifier
from .shapes import SECRETS, SHAPES

if TYPE_CHECKING:
    from .shapes import Shape

__all__ = ["PipelineError", "pipeline_blocks"]

Blocks = list[dict[str, Any]]

_KEYS = (
    "logging",
    "receiver",
    "memory_limiter",
    "batch",
    "prometheus_exporter",
    "metrics",
    "traces",
    "spanmetrics",
    "servicegraph",
    "scrape",
    "extra",
)
_METRICS_AUTH = ("basic_auth", "authorization", "oauth2", "sigv4", "azuread", "bearer_token")
#: Headers whose values are secrets.
_SECRET_HEADER = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)
_CREDENTIALS_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)


class PipelineError(ValueError):
    """The pipeline cannot be built; the message names the key and never shows a secret."""


def pipeline_blocks(pipeline: Any, flavor: str = "alloy", version: str = "") -> Blocks:
    """The blocks of the collector's file, as data for ``river.build``.

    Args:
        pipeline: the merged variable ``grafana_agent_pipeline``; see the role's README.
        flavor: ``agent`` or ``alloy``.
        version: the pinned version, empty for the newest; some spellings depend on it.

    Raises:
        PipelineError: an unknown key, a secret in clear text, nothing to send anywhere.
    """
    if not isinstance(pipeline, dict):
        raise PipelineError(f"the pipeline is a mapping, not a {type(pipeline).__name__}")
    _known_keys(pipeline, _KEYS, "the pipeline")
    return _Pipeline(pipeline, flavor, version).blocks()


class _Pipeline:
    def __init__(self, pipeline: dict[str, Any], flavor: str, version: str) -> None:
        self.given = pipeline
        self.new_auth = flavor == "alloy" and _at_least(version, (1, 13))
        self.metrics = self.targets("metrics")
        self.traces = self.targets("traces")
        self.scrapes = self.targets("scrape")

    def targets(self, key: str) -> dict[str, dict[str, Any]]:
        """Named things, of which a ``null`` one is not there."""
        found = self.given.get(key) or {}
        if not isinstance(found, dict):
            raise PipelineError(f"{key} is a mapping of names, not a {type(found).__name__}")
        for name, settings in found.items():
            if not isinstance(name, str) or not is_identifier(name):
                raise PipelineError(
                    f"{key}: {name!r} is not a label; letters, digits and underscores make one"
                )
            if settings is not None and not isinstance(settings, dict):
                raise PipelineError(f"{key}.{name} is not a mapping")
        return {name: settings for name, settings in found.items() if settings is not None}

    def blocks(self) -> Blocks:
        found: Blocks = []
        listeners = self.section("receiver")
        receives = any(listeners.get(name) is not None for name in ("grpc", "http"))
        if not self.metrics and not self.traces:
            raise PipelineError(
                "neither metrics nor traces has an endpoint: nothing would be sent"
            )
        if not receives and not self.scrapes:
            raise PipelineError("the receiver listens on nothing, and nothing is scraped")
        if self.given.get("logging") is not None:
            found.append({"logging": body(self.section("logging"), "logging")})
        if receives:
            found += self.receiving(listeners)
        if self.metrics:
            found += self.metric_exporters(receives=receives)
        if receives:
            found += self.connectors()
        found += self.trace_exporters()
        found += self.scraping()
        return found + self.extra()

    def section(self, key: str) -> dict[str, Any]:
        found = self.given.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise PipelineError(f"{key} is not a mapping")
        return found

    # Receiver, limiter, batch.

    def receiving(self, listeners: dict[str, Any]) -> Blocks:
        limited = self.given.get("memory_limiter") is not None
        first = "memory_limiter" if limited else "batch"
        receiver = body(listeners, "receiver")
        receiver["output"] = {"$block": self.passed_to(f"otelcol.processor.{first}.default")}
        found: Blocks = [{"otelcol.receiver.otlp default": receiver}]
        if limited:
            limiter = body(self.section("memory_limiter"), "memory_limiter")
            if not {"limit", "limit_percentage"} & set(limiter):
                raise PipelineError("memory_limiter needs limit or limit_percentage")
            limiter.setdefault("check_interval", "1s")
            limiter["output"] = {"$block": self.passed_to("otelcol.processor.batch.default")}
            found.append({"otelcol.processor.memory_limiter default": limiter})
        batch = body(self.section("batch"), "batch")
        batch["output"] = {"$block": self.batch_output()}
        found.append({"otelcol.processor.batch default": batch})
        return found

    def passed_to(self, component: str) -> dict[str, Any]:
        target = [{"$ref": f"{component}.input"}]
        wants_traces = self.traces or self.connector_names()
        found: dict[str, Any] = {"metrics": target} if self.metrics else {}
        return {**found, "traces": target} if wants_traces else found

    def batch_output(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.metrics:
            found["metrics"] = [{"$ref": "otelcol.exporter.prometheus.default.input"}]
        traces = [
            {"$ref": f"otelcol.exporter.{trace_component(settings, name)}.{name}.input"}
            for name, settings in self.traces.items()
        ]
        traces += [
            {"$ref": f"otelcol.connector.{name}.default.input"} for name in self.connector_names()
        ]
        return {**found, "traces": traces} if traces else found

    # Metrics.

    def metric_exporters(self, *, receives: bool) -> Blocks:
        found: Blocks = []
        if receives:
            exporter: dict[str, Any] = {"forward_to": self.receivers()}
            exporter.update(body(self.section("prometheus_exporter"), "prometheus_exporter"))
            found.append({"otelcol.exporter.prometheus default": exporter})
        for name, settings in self.metrics.items():
            found.append({f"prometheus.remote_write {name}": remote_write(name, settings)})
        return found

    def receivers(self) -> list[Any]:
        return [{"$ref": f"prometheus.remote_write.{name}.receiver"} for name in self.metrics]

    def connector_names(self) -> list[str]:
        names = ("spanmetrics", "servicegraph")
        return [name for name in names if self.given.get(name) is not None]

    def connectors(self) -> Blocks:
        found: Blocks = []
        for name in self.connector_names():
            if not self.metrics:
                raise PipelineError(f"{name} makes metrics, but metrics has no endpoint")
            connector = body(self.section(name), name)
            if name == "spanmetrics":
                histogram: dict[str, Any] = {"$block": {"explicit": {"$block": {}}}}
                connector.setdefault("histogram", histogram)
            to = [{"$ref": "otelcol.exporter.prometheus.default.input"}]
            connector["output"] = {"$block": {"metrics": to}}
            found.append({f"otelcol.connector.{name} default": connector})
        return found

    def scraping(self) -> Blocks:
        found: Blocks = []
        for name, settings in self.scrapes.items():
            if not self.metrics:
                raise PipelineError("scrape makes metrics, but metrics has no endpoint")
            given = dict(settings)
            addresses = given.pop("addresses", ["127.0.0.1:9400"])
            if not isinstance(addresses, list) or not addresses:
                raise PipelineError(f"scrape.{name}.addresses is a list of host:port")
            given.setdefault("targets", [{"__address__": address} for address in addresses])
            scrape = {
                "targets": given.pop("targets"),
                "forward_to": self.receivers(),
                **body(given, "scrape", f"scrape.{name}"),
            }
            found.append({f"prometheus.scrape {name}": scrape})
        return found

    # Traces.

    def trace_exporters(self) -> Blocks:
        found: Blocks = []
        for name, settings in self.traces.items():
            found += self.trace_exporter(name, settings)
        return found

    def trace_exporter(self, name: str, settings: dict[str, Any]) -> Blocks:
        component = trace_component(settings, name)
        outer = SHAPES["trace_exporter"]
        outside = {*outer.attributes, *outer.blocks}
        # "timeout" is the exporter's for gRPC, and the client's for HTTP.
        if component == "otlphttp":
            outside -= {"timeout"}
        auth = settings.get("basic_auth")
        kept = {k: v for k, v in settings.items() if k not in ("protocol", "basic_auth")}
        client = {key: value for key, value in kept.items() if key not in outside}
        inside = body(client, "trace_client", f"traces.{name}")
        if "endpoint" not in inside:
            raise PipelineError(f"traces.{name} has no endpoint")
        blocks: Blocks = []
        if auth is not None:
            inside["auth"] = {"$ref": f"otelcol.auth.basic.{name}.handler"}
            credentials = body(auth, "trace_auth", f"traces.{name}.basic_auth")
            blocks.append({f"otelcol.auth.basic {name}": self.authentication(credentials)})
        rest = {key: value for key, value in kept.items() if key in outside}
        exporter = {
            "client": {"$block": inside},
            **body(rest, "trace_exporter", f"traces.{name}"),
        }
        return [{f"otelcol.exporter.{component} {name}": exporter}, *blocks]

    def authentication(self, credentials: dict[str, Any]) -> dict[str, Any]:
        """Alloy has its credentials in a block since 1.13; the old place is deprecated there."""
        return {"client_auth": {"$block": credentials}} if self.new_auth else credentials

    def extra(self) -> Blocks:
        extra = self.given.get("extra")
        if extra is None:
            return []
        if not isinstance(extra, (list, dict)):
            raise PipelineError("extra is a mapping of blocks, or a list of such mappings")
        return list(extra) if isinstance(extra, list) else [extra]


def trace_component(settings: dict[str, Any], name: str) -> str:
    """The exporter of a protocol."""
    protocol = settings.get("protocol", "grpc")
    if protocol not in ("grpc", "http"):
        raise PipelineError(f"traces.{name}.protocol is grpc or http, not {protocol!r}")
    return "otlp" if protocol == "grpc" else "otlphttp"


def remote_write(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """One remote-write component with its endpoint."""
    given = dict(settings)
    labels = given.pop("external_labels", None)
    wal = given.pop("wal", None)
    path = f"metrics.{name}"
    endpoint = body(given, "remote_write", path)
    if "url" not in endpoint:
        raise PipelineError(f"{path} has no url")
    used = [key for key in _METRICS_AUTH if key in endpoint]
    if len(used) > 1:
        raise PipelineError(f"{path} has more than one kind of authentication: {', '.join(used)}")
    found: dict[str, Any] = {}
    if labels:
        found["external_labels"] = {"$object": labels} if marked(labels) else labels
    found["endpoint"] = {"$block": endpoint}
    if wal is not None:
        found["wal"] = {"$block": body(wal, "wal", f"{path}.wal")}
    return found


def body(given: Any, shape: str | Shape, path: str = "") -> dict[str, Any]:
    """What is given, with the mappings that are blocks marked so; ``null`` is left out."""
    known = SHAPES[shape] if isinstance(shape, str) else shape
    place = path or str(shape)
    if not isinstance(given, dict):
        raise PipelineError(f"{place} is a mapping, not a {type(given).__name__}")
    _known_keys(given, (*sorted(known.attributes), *known.blocks), place)
    found: dict[str, Any] = {}
    for key, value in given.items():
        inside = f"{place}.{key}"
        if value is None:
            continue
        if key in known.blocks:
            several = isinstance(value, list)
            bodies = [
                body(one, known.blocks[key], inside) for one in (value if several else [value])
            ]
            found[key] = {"$block": bodies if several else bodies[0]}
            continue
        _no_clear_secret(key, value, inside)
        found[key] = value
    return found


def _no_clear_secret(key: str, value: Any, path: str) -> None:
    if key in SECRETS and isinstance(value, str):
        raise PipelineError(_advice(path))
    if key in ("headers", "http_headers") and isinstance(value, dict) and not marked(value):
        for name, text in value.items():
            if _SECRET_HEADER.search(str(name)) and not marked(text):
                raise PipelineError(_advice(f"{path}.{name}"))
    is_url = key in ("url", "endpoint", "proxy_url") and isinstance(value, str)
    if is_url and _CREDENTIALS_IN_URL.match(value):
        raise PipelineError(_advice(f"the user information in {path}"))


def _advice(what: str) -> str:
    return (
        f"{what} would stand in clear text in the configuration: put it into "
        "grafana_agent_environment and name it here as {$env: NAME}"
    )


def _known_keys(given: dict[Any, Any], known: tuple[str, ...], path: str) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"; do you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"
            raise PipelineError(f"{path} has no {key!r}{hint}")


def _at_least(version: str, wanted: tuple[int, int]) -> bool:
    """Whether the version, where one is pinned, is at least the wanted one."""
    numbers = re.findall(r"[0-9]+", version)[:2]
    return len(numbers) < 2 or tuple(int(number) for number in numbers) >= wanted
