# SPDX-License-Identifier: Apache-2.0
"""What the pipeline's components take, so that a misspelt name is told before it is shipped.

One declaration for each block: its attributes and the blocks inside it. Names are those that
Grafana Agent Flow 0.44 or Alloy 1.18 know.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SECRETS", "SHAPES", "Shape"]


@dataclass(frozen=True)
class Shape:
    """The names that may stand in a block."""

    attributes: frozenset[str]
    blocks: dict[str, Shape] = field(default_factory=dict)


def _shape(attributes: str, **blocks: Shape) -> Shape:
    return Shape(frozenset(attributes.split()), blocks)


#: Attributes that hold a secret, which must come from the environment, a file or a component.
SECRETS = frozenset(
    {"password", "bearer_token", "credentials", "client_secret", "secret_key", "token", "key_pem"}
)

_OTEL_TLS = _shape(
    "insecure insecure_skip_verify include_system_ca_certs_pool ca_file ca_pem cert_file cert_pem "
    "key_file key_pem min_version max_version cipher_suites curve_preferences server_name "
    "reload_interval"
)
_SERVER_TLS = _shape(" ".join(sorted(_OTEL_TLS.attributes)) + " client_ca_file")
_PROMETHEUS_TLS = _shape(
    "ca_file ca_pem cert_file cert_pem key_file key_pem insecure_skip_verify min_version "
    "server_name"
)
_BASIC = _shape("username password password_file username_file")
_AUTHORIZATION = _shape("type credentials credentials_file")
_OAUTH2 = _shape(
    "client_id client_secret client_secret_file token_url scopes endpoint_params proxy_url",
    tls_config=_PROMETHEUS_TLS,
)
_KEEPALIVE = _shape("ping_wait ping_response_timeout ping_without_stream")
_SERVER_KEEPALIVE = _shape(
    "",
    server_parameters=_shape(
        "max_connection_idle max_connection_age max_connection_age_grace time timeout"
    ),
    enforcement_policy=_shape("min_time permit_without_stream"),
)
_DEBUG_METRICS = _shape("disable_high_cardinality_metrics level")
_QUEUE = _shape(
    "enabled num_consumers queue_size sizer block_on_overflow blocking wait_for_result storage",
    batch=_shape("flush_timeout min_size max_size sizer"),
)
_RETRY = _shape(
    "enabled initial_interval max_interval max_elapsed_time multiplier randomization_factor"
)
_CLIENT = (
    "endpoint compression headers read_buffer_size write_buffer_size wait_for_ready authority "
    "balancer_name timeout max_idle_conns max_idle_conns_per_host max_conns_per_host "
    "idle_conn_timeout disable_keep_alives force_attempt_http2 proxy_url"
)

SHAPES: dict[str, Shape] = {
    "logging": _shape("level format"),
    "receiver": _shape(
        "",
        grpc=_shape(
            "endpoint transport max_recv_msg_size max_concurrent_streams read_buffer_size "
            "write_buffer_size include_metadata",
            tls=_SERVER_TLS,
            keepalive=_SERVER_KEEPALIVE,
        ),
        http=_shape(
            "endpoint max_request_body_size include_metadata compression_algorithms "
            "keep_alives_enabled traces_url_path metrics_url_path logs_url_path read_timeout "
            "read_header_timeout write_timeout idle_timeout",
            tls=_SERVER_TLS,
            cors=_shape("allowed_origins allowed_headers max_age"),
        ),
        debug_metrics=_DEBUG_METRICS,
    ),
    "memory_limiter": _shape(
        "check_interval limit spike_limit limit_percentage spike_limit_percentage",
        debug_metrics=_DEBUG_METRICS,
    ),
    "batch": _shape(
        "timeout send_batch_size send_batch_max_size metadata_keys metadata_cardinality_limit",
        debug_metrics=_DEBUG_METRICS,
    ),
    "prometheus_exporter": _shape(
        "include_target_info include_scope_info include_scope_labels add_metric_suffixes "
        "resource_to_telemetry_conversion gc_frequency honor_metadata"
    ),
    "remote_write": _shape(
        "url name remote_timeout headers http_headers send_exemplars send_native_histograms "
        "enable_http2 follow_redirects proxy_url no_proxy proxy_from_environment "
        "proxy_connect_header protobuf_message bearer_token bearer_token_file",
        basic_auth=_BASIC,
        authorization=_AUTHORIZATION,
        oauth2=_OAUTH2,
        sigv4=_shape("access_key profile region role_arn secret_key"),
        azuread=_shape("cloud", managed_identity=_shape("client_id")),
        tls_config=_PROMETHEUS_TLS,
        queue_config=_shape(
            "capacity min_shards max_shards max_samples_per_send batch_send_deadline min_backoff "
            "max_backoff retry_on_http_429 sample_age_limit"
        ),
        metadata_config=_shape("send send_interval max_samples_per_send"),
        write_relabel_config=_shape(
            "source_labels separator target_label regex modulus replacement action"
        ),
    ),
    "wal": _shape("truncate_frequency min_keepalive_time max_keepalive_time"),
    "trace_exporter": _shape(
        "timeout", sending_queue=_QUEUE, retry_on_failure=_RETRY, debug_metrics=_DEBUG_METRICS
    ),
    "trace_client": _shape(_CLIENT, tls=_OTEL_TLS, keepalive=_KEEPALIVE),
    "trace_auth": _BASIC,
    "spanmetrics": _shape(
        "namespace metrics_flush_interval aggregation_temporality aggregation_cardinality_limit "
        "dimensions_cache_size exclude_dimensions resource_metrics_cache_size "
        "metric_timestamp_cache_size resource_metrics_key_attributes",
        histogram=_shape(
            "disable unit",
            explicit=_shape("buckets"),
            exponential=_shape("max_size"),
        ),
        dimension=_shape("name default"),
        exemplars=_shape("enabled max_per_data_point"),
        debug_metrics=_DEBUG_METRICS,
    ),
    "servicegraph": _shape(
        "latency_histogram_buckets dimensions cache_loop store_expiration_loop "
        "metrics_flush_interval database_name_attribute",
        store=_shape("max_items ttl"),
        debug_metrics=_DEBUG_METRICS,
    ),
    "scrape": _shape(
        "targets job_name scrape_interval scrape_timeout metrics_path scheme params honor_labels "
        "honor_timestamps enable_http2 follow_redirects sample_limit label_limit "
        "scrape_native_histograms bearer_token bearer_token_file",
        basic_auth=_BASIC,
        authorization=_AUTHORIZATION,
        tls_config=_PROMETHEUS_TLS,
    ),
}
