"""What a package is made of: its bill of materials (CycloneDX 1.5) and its copyright file.

Only values derived from the wheels and the version: no clock, no random numbers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vendor import Wheel

_OWN = """\
otelauto
Copyright: the otelauto authors
Licence: Apache-2.0
The kernel programs in /usr/lib/otelauto/agent/otelauto/_bpf:
 GPL-2.0-only OR Apache-2.0
"""
_OTHERS = """\
The package contains the following projects. Files that are not needed at run
time are left out, and modules have no interpreter line; nothing else is changed.
"""
_APACHE = """\
The text of the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0
on Debian, and in the folders *.dist-info below /usr/lib/otelauto.
"""


def day(epoch: int) -> str:
    """The day of a time, in UTC."""
    return dt.datetime.fromtimestamp(epoch, dt.timezone.utc).strftime("%Y-%m-%d")


def licence(wheel: Wheel) -> str:
    """The licence that a project states, as an SPDX expression where it gives one."""
    about = wheel.metadata()
    stated = about.get("License-Expression") or about.get("License") or ""
    if stated and "\n" not in stated:
        return str(stated)
    classifiers = [str(line) for line in about.get_all("Classifier", [])]
    return next((c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License")), "?")


def cyclonedx(name: str, version: str, wheels: Sequence[Wheel], *, epoch: int) -> dict[str, Any]:
    """The bill of materials of a package.

    Source: CycloneDX 1.5, JSON.
    """
    own = f"pkg:generic/{name}@{version}"
    digests = "".join(wheel.sha256 for wheel in wheels)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, own + digests)
    components = [
        {
            "type": "library",
            "bom-ref": reference(wheel),
            "name": wheel.name,
            "version": wheel.version,
            "purl": f"pkg:pypi/{wheel.name}@{wheel.version}",
            "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
            "licenses": [{"license": {"name": licence(wheel)}}],
        }
        for wheel in wheels
    ]
    time = dt.datetime.fromtimestamp(epoch, dt.timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [reference(wheel) for wheel in wheels]}],
    }


def reference(wheel: Wheel) -> str:
    """What the bill calls a wheel; several files of one release differ by their hash."""
    return f"pkg:pypi/{wheel.name}@{wheel.version}#{wheel.sha256[:12]}"


def copyright_text(wheels: Iterable[Wheel], *, own: bool) -> str:
    """Who holds the rights in what a package contains, with each licence's text once."""
    parts, texts = [*([_OWN] if own else []), _APACHE, _OTHERS], {}
    for wheel in wheels:
        about = wheel.metadata()
        lines = [f"{wheel.name} {wheel.version}", f" Licence: {licence(wheel)}"]
        author = about.get("Author") or about.get("Author-email") or f"the authors of {wheel.name}"
        lines.append(f" Copyright: {author}")
        if about.get("Home-page"):
            lines.append(f" Source: {about['Home-page']}")
        for name, text in wheel.licences().items():
            if "Apache License" in text and "TERMS AND CONDITIONS" in text:
                continue
            key = hashlib.sha256(text.encode()).hexdigest()
            texts.setdefault(key, (f"{wheel.name}, {name}", text))
            lines.append(f" Text: as of {texts[key][0]}, below")
        parts.append("\n".join(lines) + "\n")
    rule = "-" * 78
    parts += [f"{rule}\n{name}\n{rule}\n{text.strip()}\n" for name, text in texts.values()]
    return "\n".join(parts)
