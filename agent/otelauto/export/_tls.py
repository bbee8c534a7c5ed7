"""The certificates of an OTLP exporter, checked before anything is sent.

Only files and the ssl module; no connection is made here. An unreadable or unusable file is an
error at start, not a failure at each export.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from otelauto.errors import ExportError

if TYPE_CHECKING:
    from otelauto.export.settings import OtlpSettings

__all__ = ["basic_credentials", "check_files", "server_context", "system_roots"]

#: Where distributions keep the bundle that an administrator's own authorities are added to.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


def system_roots(bundles: tuple[str, ...] = _BUNDLES) -> str | None:
    """The host's bundle of certification authorities; None: use the library's own.

    The HTTP and gRPC libraries bring bundles of their own, which do not know the authorities that
    an organisation installs on its hosts.
    """
    return next((path for path in bundles if Path(path).is_file()), None)


def check_files(settings: OtlpSettings) -> None:
    """Load every certificate that the settings name.

    Raises:
        ExportError: a file cannot be read or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.certificate:
        try:
            context.load_verify_locations(cafile=settings.certificate)
        except (OSError, ValueError) as error:
            raise ExportError(
                f"OTLP exporter: certificate {settings.certificate} cannot be used: {_why(error)}",
                hint="name a readable PEM file with the authority of the receiver's certificate",
            ) from error
    if settings.client_key and not settings.client_certificate:
        raise ExportError(
            f"OTLP exporter: client key {settings.client_key} has no client certificate",
            hint="set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well",
        )
    if settings.client_certificate:
        _load_chain(
            context,
            settings.client_certificate,
            key=settings.client_key,
            what="OTLP exporter: client certificate",
        )


def server_context(certificate: str, key: str, *, what: str) -> ssl.SSLContext:
    """A context for a server with this certificate chain and key, TLS 1.2 at least.

    Raises:
        ExportError: a file cannot be read or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, certificate, key=key, what=what)
    return context


def basic_credentials(endpoint: str) -> tuple[str, tuple[str, str] | None]:
    """The endpoint without its user information, and (user, password) if it had any."""
    parts = urlsplit(endpoint)
    information, at, host = parts.netloc.rpartition("@")
    if not at:
        return endpoint, None
    user, _, password = information.partition(":")
    return parts._replace(netloc=host).geturl(), (unquote(user), unquote(password))


def _load_chain(context: ssl.SSLContext, certificate: str, *, key: str, what: str) -> None:
    def no_password() -> str:
        # Without this, OpenSSL asks for it on the terminal and the agent hangs.
        raise ValueError("the key is encrypted")

    try:
        context.load_cert_chain(certificate, key or None, password=no_password)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{what} {certificate} with key {key or certificate} cannot be used: {_why(error)}",
            hint="name readable PEM files that belong together; the key must not be encrypted",
        ) from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
