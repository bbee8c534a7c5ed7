"""The man pages and the shells' completions, from the schema and the parsers.

Nothing about an option is written here: a page has what the declarations say.
"""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING, Any

from otelauto import __version__
from otelauto.cli import parsers
from otelauto.config.paths import leaves, variables
from otelauto.config.render import yaml_text
from otelauto.config.schema import Config
from otelauto.options import Group, Option, members

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUMMARY = "metrics of the services of this host, from the kernel"


def command_page(date: str) -> str:
    """otelauto(1); ``date`` is shown in its foot line."""
    lines = [_title("OTELAUTO", 1, date), ".SH NAME", rf"otelauto \- {_SUMMARY}", ".SH SYNOPSIS"]
    for name, parser in parsers().items():
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        lines += [".PP", rf"\fB{_text(usage.replace(f' {name} ', f' {name} '))}\fR"]
    lines += [".PP", r"\fBotelauto version\fR", ".SH DESCRIPTION"]
    lines.append(_text(parsers()[""].description or ""))
    for name, parser in parsers().items():
        lines.append(f".SH {_text(('command ' + name if name else 'options').upper())}")
        if name:
            lines.append(_text(parser.description or ""))
        for action in _shown(parser):
            lines += [".TP", rf"\fB{_text(_spelled(action))}\fR"]
            lines.append(_text((action.help or "").replace("%%", "%")))
    lines += [".SH EXIT STATUS"]
    _, _, codes = (parsers()[""].epilog or "").partition("exit codes: ")
    for entry in codes.partition(";")[0].split(", "):
        number, _, meaning = entry.partition(" ")
        lines += [".TP", rf"\fB{number}\fR", _text(meaning)]
    lines += [
        *(".SH SIGNALS", ".TP", r"\fBSIGHUP\fR"),
        "The configuration is read again; one that is not valid is refused, and the running one",
        "stays.",
        *(".TP", r"\fBSIGTERM\fR, \fBSIGINT\fR"),
        "What was counted is exported once more, and the agent ends.",
        *(".SH FILES", ".TP", r"\fI/etc/otelauto/otelauto.yml\fR"),
        "The configuration of the service.",
        *(".TP", r"\fI/etc/otelauto/otelauto.env\fR"),
        "Its environment, which wins over the file.",
        *(".TP", r"\fI/var/lib/otelauto\fR"),
        "What was learned, and the logs of failed starts.",
        *(".SH SEE ALSO", ".BR otelauto.yml (5),", ".BR systemctl (1)"),
    ]
    return "\n".join(lines) + "\n"


def configuration_page(date: str) -> str:
    """otelauto.yml(5)."""
    lines = [
        *(_title("OTELAUTO.YML", 5, date), ".SH NAME"),
        r"otelauto.yml \- configuration of otelauto",
        ".SH DESCRIPTION",
        "One YAML file. Built-in defaults are overridden by the file, and the file by environment",
        "variables. Unknown keys are errors. Values may hold ${NAME}, ${NAME:\\-default} and $$",
        "for a dollar sign.",
        *(".PP", r"\fBotelauto check\fR \fIFILE\fR tells everything that is wrong."),
        *(".SH OPTIONS", *_options(Config, ""), ".SH ENVIRONMENT"),
        "Each of these sets the option beside it, and wins over the file.",
    ]
    for leaf in leaves():
        for variable in variables(leaf):
            lines += [".TP", rf"\fB{_text(variable.name)}\fR", _text(leaf.path)]
    lines += [".SH SEE ALSO", ".BR otelauto (1)"]
    return "\n".join(lines) + "\n"


def bash_completion() -> str:
    """For bash-completion; files after options that take one."""
    cases = []
    for name, parser in parsers().items():
        words = " ".join(_words(parser))
        cases.append(f'\t{name or "*"}) words="{words}" ;;')
    commands = " ".join([*(name for name in parsers() if name), "version"])
    return "\n".join(
        [
            "# bash completion for otelauto",
            "_otelauto() {",
            '\tlocal word=${COMP_WORDS[COMP_CWORD]} words=""',
            "\tcase ${COMP_WORDS[1]-} in",
            *cases[1:],
            cases[0],
            "\tesac",
            f'\t[ "$COMP_CWORD" -ne 1 ] || words="$words {commands}"',
            '\tmapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")',
            "\t[[ $word == -* ]] ||",
            '\t\tmapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")',
            "}",
            "complete -o filenames -F _otelauto otelauto",
            "",
        ]
    )


def zsh_completion() -> str:
    """For compinit."""
    lines = ["#compdef otelauto", "", "local -a commands", "commands=("]
    lines += [
        f"  {shlex.quote(name + ':' + (parser.description or '').partition('.')[0])}"
        for name, parser in parsers().items()
        if name
    ]
    lines += ["  'version:Print the version'", ")", "", "case ${words[2]} in"]
    for name, parser in [*list(parsers().items())[1:], ("", parsers()[""])]:
        specifications = [
            shlex.quote(f"{option}[{_one_line(action)}]{':file:_files' * (action.nargs != 0)}")
            for action in _shown(parser)
            for option in action.option_strings
        ]
        choices = [choice for action in _shown(parser) for choice in action.choices or ()]
        if choices:
            specifications.append(shlex.quote(f"2:what:({' '.join(choices)})"))
        rest = "'*:file:_files'" if name else "'1:command:{_describe command commands}'"
        lines.append(f"{name or '*'}) _arguments {' '.join([*specifications, rest])} ;;")
    return "\n".join([*lines, "esac", ""])


def fish_completion() -> str:
    """For fish."""
    lines = ["# fish completion for otelauto"]
    none = "__fish_use_subcommand"
    for name, parser in parsers().items():
        condition = f"__fish_seen_subcommand_from {name}" if name else none
        if name:
            about = (parser.description or "").partition(".")[0]
            lines.append(f"complete -c otelauto -n {none} -a {name} -d {_fish(about)}")
        start = f"complete -c otelauto -n '{condition}'"
        for action in _shown(parser):
            lines += [f"{start} {_fish_option(action, o)}" for o in action.option_strings]
            lines += [f"{start} -a {choice}" for choice in action.choices or ()]
    lines.append(f"complete -c otelauto -n {none} -a version -d 'Print the version'")
    return "\n".join([*lines, ""])


def _fish_option(action: argparse.Action, option: str) -> str:
    kind = "-l" if option.startswith("--") else "-s" if len(option) == len("-x") else "-o"
    needs = " -r -F" if action.nargs != 0 else ""
    return f"{kind} {option.lstrip('-')}{needs} -d {_fish(_one_line(action))}"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help != argparse.SUPPRESS]  # noqa: SLF001


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in _shown(parser):
        yield from action.option_strings
        yield from action.choices or ()


def _spelled(action: argparse.Action) -> str:
    if not action.option_strings:
        return "|".join(action.choices) if action.choices else action.dest.upper()
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(option + value for option in action.option_strings)


def _one_line(action: argparse.Action) -> str:
    return (
        re.sub(r"[\[\]:]", " ", (action.help or "").replace("%%", "%")).partition(";")[0].strip()
    )


def _options(cls: type[Any], path: str) -> Iterator[str]:
    for member in members(cls):
        here = path + member.key
        if isinstance(member.spec, Group):
            marked = f"{here}[]" if member.spec.many else here
            yield from (f".SS {_text(marked)}", _text(member.spec.help))
            yield from _options(member.spec.cls, f"{marked}.")
        elif not member.spec.inert:
            yield from (".TP", rf"\fB{_text(here)}\fR ({_text(member.spec.kind.name)})")
            yield _text(member.spec.help)
            yield _text(_facts(member.spec, member.default))


def _facts(option: Option, default: Any) -> str:
    facts = []
    if not option.secret:
        facts.append(f"Default: {yaml_text(option.kind.plain(default))}.")
    if option.env:
        facts.append(f"Variables: {', '.join(variable.name for variable in option.env)}.")
    if option.reload == "restart":
        facts.append("A change needs a restart.")
    return " ".join(facts) or "No default."


def _title(name: str, section: int, date: str) -> str:
    return f'.TH {name} {section} "{date}" "otelauto {__version__}"'


def _text(text: str) -> str:
    plain = " ".join(text.replace("`", '"').split())
    escaped = plain.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
