"""What the agent would compile on this kernel for one way of hooking: as JSON.

    request.py WAY

Verified by verify.py, which may run on an older Python, beside an older compiler.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from otelauto.app.compose import _kernel_settings
from otelauto.config.load import load
from otelauto.kernel import headers, source
from otelauto.kernel.maps import possible_cpus
from otelauto.kernel.programs import cflags, programs

CONFIG = 'prometheus_export:\n  port: 9464\ndiscovery:\n  instrument:\n    - open_ports: "80"\n'


def request(way):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(CONFIG)
        file.flush()
        settings = _kernel_settings(load(Path(file.name), environ={}).config, 1)
    folder = source.bpf_folder()
    found = headers.resolve("bundled", folder=folder)
    flags = cflags(settings, way, cpus=possible_cpus(), pid_namespace=None)
    return {
        "source": source.expand("main.bpf.c", folder=folder, prelude=found.prelude).text,
        "cflags": [*found.cflags, *flags],
        "headers": str(found.kernel_source),
        "functions": [program.function for program in programs(way, spans=settings.spans)],
    }


json.dump(request(sys.argv[1]), sys.stdout)
