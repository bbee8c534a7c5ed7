"""The command line: `otelauto -config FILE`, and `otelauto` check, config, doctor, explain, top.

Only the reading of arguments and the exit code live here. Exit codes: 0 done, 1 an error of the
agent itself, 2 the configuration or the arguments are not valid, 3 this host cannot be
instrumented, 4 an exporter cannot start.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otelauto import __version__
from otelauto.errors import OtelautoError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "parsers"]

_DESCRIPTION = (
    "Request rate, errors and duration of the services of this host, seen from the kernel and"
    " exported as OpenTelemetry metrics."
)
_EXIT_CODES = (
    "exit codes: 0 done, 1 internal error, 2 configuration not valid, 3 this host cannot be"
    " instrumented, 4 an exporter cannot start"
)
_FILE_HELP = "configuration file; without it, the environment variables alone count"
_VERBS = ("reference", "schema", "example", "effective")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is the result."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(given)
    except OtelautoError as error:
        sys.stderr.write(f"otelauto: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT  # before the agent was ready; nothing stays attached
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(given: list[str]) -> int:
    commands = {
        "check": _check,
        "config": _config,
        "doctor": _doctor,
        "explain": _explain,
        "top": _top,
    }
    if given and given[0] in commands:
        return commands[given[0]](given[1:])
    if given[:1] == ["version"]:
        sys.stdout.write(f"otelauto {__version__}\n")
        return 0
    options = _run_parser().parse_args(given)
    from otelauto.app.run import run  # noqa: PLC0415 - the other commands start faster

    return run(options.config, os.environ)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name; "" is the agent itself.

    For the man page and the shells' completions.
    """
    return {
        "": _run_parser(),
        "check": _check_parser(),
        "config": _config_parser(),
        "doctor": _doctor_parser(),
        "explain": _explain_parser(),
        "top": _top_parser(),
    }


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otelauto",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES + "; other commands: check [FILE], config "
        "{reference,schema,example,effective} [FILE], doctor, explain WHAT, top, version",
    )
    _add_config(
        parser,
        help_text="configuration file (YAML); without it, the environment variables alone count",
    )
    parser.add_argument("--version", action="version", version=f"otelauto {__version__}")
    return parser


def _default_path() -> Path | None:
    """As later versions of the original have it: a variable may name the file."""
    named = os.environ.get("OTELAUTO_CONFIG_PATH") or os.environ.get("BEYLA_CONFIG_PATH")
    return Path(named) if named else None


def _check_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otelauto check", description="Check a configuration; exit code 2 if it is not valid."
    )
    _add_file(parser)
    parser.add_argument(
        "--start-condition",
        action="store_true",
        help="only tell whether a start makes sense: exit code 1 if nothing is selected and"
        " nothing else is wrong, else 0; for a service manager",
    )
    return parser


def _config_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otelauto config",
        description="Print the reference (Markdown), the JSON schema, a commented example, or the"
        " configuration in effect with the origin of each value.",
    )
    parser.add_argument("verb", choices=_VERBS, help="what to print")
    _add_file(parser)
    return parser


def _doctor_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otelauto doctor",
        description="Check this host, the configuration and the exporters' other ends, with a"
        " remedy for what is wrong; the exit code is that of the first failure.",
    )
    _add_file(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return parser


def _explain_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otelauto explain",
        description="Say why a process is or is not instrumented, and where its name and its"
        " routes come from; exit code 1 if there is no such process, 5 if the configuration"
        " selects nothing at all.",
    )
    parser.add_argument(
        "what", help="a process id, a port that it listens on (also as :8080), or a systemd unit"
    )
    _add_config(parser, help_text=_FILE_HELP)
    parser.add_argument("--path", help="also say which route this path of a URL gets, and why")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return parser


def _top_parser() -> argparse.ArgumentParser:
    from otelauto.top.table import SORTS  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(
        prog="otelauto top",
        description="Show rate, errors and durations of services and routes, live, as the running"
        " agent's Prometheus page has them.",
    )
    _add_file(parser)
    parser.add_argument(
        "--url", default="", help="the page; else that of prometheus_export in the configuration"
    )
    parser.add_argument(
        "--by", choices=("route", "service"), default="route", help="what a line is about"
    )
    parser.add_argument("--sort", choices=SORTS, default="rate", help="the order of the lines")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only services, methods and routes with it"
    )
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="SECONDS", help="between two tables"
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="print one table and end; all but the rate is since the agent's start",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.1 to 3600 seconds")
    return value


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=_path,
        nargs="?",
        default=argparse.SUPPRESS,  # else one that is missing undoes -config
        help=_FILE_HELP,
    )
    _add_config(parser, dest="file", help_text=argparse.SUPPRESS)


def _add_config(parser: argparse.ArgumentParser, *, help_text: str, dest: str = "config") -> None:
    # One dash as in the original, two as everywhere.
    parser.add_argument(
        "-config",
        "--config",
        type=Path,
        dest=dest,
        metavar="FILE",
        default=_default_path(),
        help=help_text,
    )


def _path(text: str) -> Path | str:
    return text if text is argparse.SUPPRESS else Path(text)


def _check(given: list[str]) -> int:
    options = _check_parser().parse_args(given)
    from otelauto.config.command import check, start_condition  # noqa: PLC0415 - as above

    if options.start_condition:
        return start_condition(options.file, os.environ, err=sys.stderr)
    return check(options.file, os.environ, out=sys.stdout, err=sys.stderr)


def _config(given: list[str]) -> int:
    options = _config_parser().parse_args(given)
    from otelauto.config.command import config_command  # noqa: PLC0415 - as above

    return config_command(options.verb, options.file, os.environ, out=sys.stdout, err=sys.stderr)


def _doctor(given: list[str]) -> int:
    options = _doctor_parser().parse_args(given)
    from otelauto.doctor.command import doctor  # noqa: PLC0415 - as above

    return doctor(options.file, os.environ, machine=options.json, out=sys.stdout)


def _explain(given: list[str]) -> int:
    options = _explain_parser().parse_args(given)
    from otelauto.app.explain import explain  # noqa: PLC0415 - as above

    return explain(
        options.what,
        options.config,
        os.environ,
        url_path=options.path,
        machine=options.json,
        out=sys.stdout,
    )


def _top(given: list[str]) -> int:
    options = _top_parser().parse_args(given)
    from otelauto.top.command import View, source, top  # noqa: PLC0415 - as above

    return top(
        source(options.file, os.environ, options.url),
        View(sort=options.sort, wanted=options.filter, services=options.by == "service"),
        once=options.once,
        machine=options.json,
        interval_seconds=options.interval,
        out=sys.stdout,
    )


if __name__ == "__main__":
    sys.exit(main())
