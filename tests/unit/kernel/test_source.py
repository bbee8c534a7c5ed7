from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

from otelauto.errors import LoadError
from otelauto.kernel.source import bpf_folder, expand


def write(folder, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_H", ".h").replace("_C", ".c")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def guarded(name: str, body: str) -> str:
    return f"// law\n#ifndef {name}\n#define {name}\n{body}\n#endif\n"


def test_a_quoted_include_is_replaced_by_the_file_between_line_markers(tmp_path):
    write(tmp_path, main_C='int a;\n#include "b.h"\nint c;\n', b_H="int b;\n")
    source = expand("main.c", folder=tmp_path)
    assert (
        '#line 1 "main.c"\nint a;\n#line 1 "b.h"\nint b;\n\n#line 3 "main.c"\nint c;\n\n'
    ) == source.text
    assert ("main.c", "b.h") == source.files
    assert hashlib.sha256(source.text.encode()).hexdigest() == source.sha256


def test_an_include_in_angle_brackets_is_left_to_the_compiler(tmp_path):
    write(tmp_path, main_C="#include <linux/types.h>\n")
    assert "#include <linux/types.h>" in expand("main.c", folder=tmp_path).text


def test_a_file_is_looked_for_beside_its_includer_then_in_the_folder(tmp_path):
    write(
        tmp_path,
        main_C='#include "x/a.h"\n',
        x__a_H='#include "b.h"\n#include "abi.h"\n',
        x__b_H="int beside;\n",
        b_H="int wrong;\n",
        abi_H="int top;\n",
    )
    source = expand("main.c", folder=tmp_path)
    assert ("main.c", "x/a.h", "x/b.h", "abi.h") == source.files


def test_a_file_is_taken_once(tmp_path):
    write(
        tmp_path,
        main_C='#include "a.h"\n#include "b.h"\n',
        a_H=guarded("A", "struct a;"),
        b_H=guarded("B", '#include "a.h"\nstruct b;'),
    )
    assert 1 == expand("main.c", folder=tmp_path).text.count("struct a;")


def test_a_file_first_included_under_a_condition_is_there_for_the_others(tmp_path):
    write(
        tmp_path,
        main_C='#ifdef NO\n#include "a.h"\n#endif\n#include "a.h"\n',
        a_H=guarded("A", "struct a;"),
    )
    assert 2 == expand("main.c", folder=tmp_path).text.count("struct a;")


def test_files_that_include_each_other_end(tmp_path):
    write(
        tmp_path,
        main_C='#include "a.h"\n',
        a_H=guarded("A", '#include "b.h"'),
        b_H=guarded("B", '#include "a.h"'),
    )
    assert ("main.c", "a.h", "b.h") == expand("main.c", folder=tmp_path).files


@pytest.mark.parametrize(
    "text",
    [
        '// #include "x.h"\n',
        '/* text\n#include "x.h"\n*/\n',
        'char *s = "/*";\n// */ #include "x.h"\n',
    ],
)
def test_an_include_in_a_comment_is_none(tmp_path, text):
    write(tmp_path, main_C=text)
    assert ("main.c",) == expand("main.c", folder=tmp_path).files


def test_a_quoted_comment_mark_does_not_hide_what_follows(tmp_path):
    write(tmp_path, main_C='char *s = "/*";\n#include "a.h"\n', a_H="int a;\n")
    assert ("main.c", "a.h") == expand("main.c", folder=tmp_path).files


def test_pragma_once_is_carried_out_and_not_passed_on(tmp_path):
    write(tmp_path, main_C='#include "a.h"\n#include "a.h"\n', a_H="#pragma once\nint a;\n")
    text = expand("main.c", folder=tmp_path).text
    assert (0, 1) == (text.count("pragma"), text.count("int a;"))


def test_a_missing_file_is_named_with_who_wants_it(tmp_path):
    write(tmp_path, main_C='int a;\n#include "gone.h"\n')
    with pytest.raises(LoadError) as caught:
        expand("main.c", folder=tmp_path)
    assert 'main.c:2 includes "gone.h", which does not exist' == caught.value.message


def test_a_missing_main_file_is_an_error(tmp_path):
    with pytest.raises(LoadError, match="cannot read"):
        expand("main.c", folder=tmp_path)


def test_the_prelude_comes_first(tmp_path):
    write(tmp_path, main_C="int a;\n")
    text = expand("main.c", folder=tmp_path, prelude="#include <linux/fs.h>\n").text
    assert text.startswith('#include <linux/fs.h>\n#line 1 "main.c"\n')


def test_the_compilers_messages_keep_file_and_line(tmp_path):
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc")
    write(
        tmp_path,
        main_C='#include "a.h"\nint ok;\nint main_wrong = unknown_main;\n',
        a_H="int fine;\nint wrong = unknown_here;\n",
    )
    done = subprocess.run(
        [gcc, "-fsyntax-only", "-x", "c", "-"],
        input=expand("main.c", folder=tmp_path).text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a.h:2:" in done.stderr
    assert "main.c:3:" in done.stderr


def test_the_folder_is_found_in_the_installed_package_first(tmp_path):
    package = tmp_path / "lib" / "otelauto"
    for folder in (package / "_bpf", tmp_path / "bpf"):
        folder.mkdir(parents=True)
        (folder / "abi.h").write_text("")
    assert package / "_bpf" == bpf_folder(package)


def test_the_folder_is_found_beside_the_package_in_a_checkout(tmp_path):
    package = tmp_path / "agent" / "otelauto"
    package.mkdir(parents=True)
    (tmp_path / "bpf").mkdir()
    (tmp_path / "bpf" / "abi.h").write_text("")
    assert tmp_path / "bpf" == bpf_folder(package)


def test_a_package_without_kernel_sources_says_where_it_looked(tmp_path):
    with pytest.raises(LoadError, match="there are no kernel sources in"):
        bpf_folder(tmp_path / "agent" / "otelauto")
