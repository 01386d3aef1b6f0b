#!/usr/bin/env python3
"""Writes what Python and Fortran know of include/nepal.h; with --check only says what is not current.

The header is regular (cbindgen makes it), so a few patterns read it: numbers, structs, callbacks
and functions. What they do not understand is an error, never left out.
"""

import pathlib
import re
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parent / "include" / "nepal.h"

#: C scalar: ctypes, Fortran.
SCALARS = {
    "size_t": ("c_size_t", "integer(c_size_t)"),
    "int32_t": ("c_int32", "integer(c_int32_t)"),
    "int64_t": ("c_int64", "integer(c_int64_t)"),
    "uint32_t": ("c_uint32", "integer(c_int32_t)"),
    "uint64_t": ("c_uint64", "integer(c_int64_t)"),
    "double": ("c_double", "real(c_double)"),
    "nepal_status_t": ("c_int32", "integer(c_int32_t)"),
}


class Header:
    """What the header declares: each declarator is (type without stars, stars, name, length)."""

    def __init__(self):
        text = re.sub(r"//.*", "", HEADER.read_text(encoding="utf-8")).replace("\\\n", " ")
        self.numbers = re.findall(r"^#define (NEPAL_\w+) (-?\d+)$", text, re.M)
        defined = re.findall(r"^#define NEPAL_\w+ (?!\{| )\S", text, re.M)
        structs = re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, re.S)
        self.struct_names = {name for name, _ in structs}
        self.structs = [
            (name, [self._declarator(part) for part in body.split(";") if part.strip()])
            for name, body in structs
        ]
        callbacks = re.findall(r"typedef nepal_status_t \(\*(\w+)\)\((.*?)\);", text, re.S)
        self.callbacks = [(name, self._arguments(arguments)) for name, arguments in callbacks]
        functions = re.findall(
            r"^(void|uint32_t|nepal_status_t) (nepal_\w+)\((.*?)\);", text, re.S | re.M
        )
        self.functions = [
            (result, name, self._arguments(arguments)) for result, name, arguments in functions
        ]
        declared = re.findall(r"\b(nepal_\w+)\(", text)
        if len(defined) != len(self.numbers) or sorted(declared) != sorted(f[1] for f in functions):
            raise SystemExit(f"{HEADER}: a number or a function was not understood")

    def _arguments(self, text):
        text = text.strip()
        return [] if text == "void" else [self._declarator(part) for part in text.split(",")]

    def _declarator(self, text):
        match = re.fullmatch(r"(.*?)(\w+)(?:\[(\d+)\])?", text.strip(), re.S)
        kind = re.sub(r"\b(const|struct)\b", "", match[1])
        base = kind.replace("*", "").strip()
        if base not in SCALARS and not base.startswith("nepal_") and base not in ("void", "char"):
            raise SystemExit(f"{HEADER}: the type of {text.strip()!r} was not understood")
        return base, kind.count("*"), match[2], int(match[3] or 0)


PYTHON = '''"""The C interface as ctypes sees it. Made from include/nepal.h by bindings/mirrors.py; do not edit.

Arrays are `c_void_p`: an address, such as `array.ctypes.data` of numpy.
"""

from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
'''


def python(header):
    def kind(base, stars, length):
        if stars == 0:
            name = SCALARS[base][0] if base in SCALARS else base
        elif stars == 1 and base == "char":
            name = "c_char_p"
        elif stars == 1 and base in header.struct_names:
            name = f"POINTER({base})"
        else:
            name = "c_void_p"
        return f"{name} * {length}" if length else name

    out = [PYTHON]
    out += [f"{name} = {value}" for name, value in header.numbers]
    waiting, known = dict(header.callbacks), set()

    def callbacks():
        """Those whose structs are there, for the struct that comes next may hold them."""
        for name, arguments in list(waiting.items()):
            if {a[0] for a in arguments} & header.struct_names <= known:
                kinds = ", ".join(kind(b, s, n) for b, s, _, n in waiting.pop(name))
                out.append(f"\n\n{name} = CFUNCTYPE(c_int32, {kinds})")

    for name, fields in header.structs:
        callbacks()
        out.append(f"\n\nclass {name}(Structure):\n    _fields_ = [")
        out += [f'        ("{field}", {kind(b, s, n)}),' for b, s, field, n in fields]
        out.append("    ]")
        known.add(name)
    callbacks()
    out.append('\n\ndef declare(library: CDLL) -> None:\n    """Tells ctypes the types of all functions."""')
    for result, name, arguments in header.functions:
        restype = "None" if result == "void" else SCALARS[result][0]
        kinds = [kind(b, s, n) for b, s, _, n in arguments]
        out.append(f"    library.{name}.restype = {restype}")
        inside = ", ".join(kinds)
        if len(inside) < 60:
            out.append(f"    library.{name}.argtypes = [{inside}]")
        else:
            out.append(f"    library.{name}.argtypes = [")
            out += [f"        {k}," for k in kinds]
            out.append("    ]")
    return "\n".join(out) + "\n"


FORTRAN = """! SPDX-License-Identifier: MIT OR Apache-2.0
!
! The C interface as Fortran sees it. Made from include/nepal.h by bindings/mirrors.py; do not edit.
!
! include/nepal.h says what each item is. Every pointer is a type(c_ptr): c_loc of a target, or
! c_null_ptr. Unsigned integers are signed ones of the same width. The module nepal is what programs
! use as a rule.
module nepal_c
  use, intrinsic :: iso_c_binding
  implicit none
  public
"""

#: Fortran does not tell upper from lower case: these would be the functions of the same name.
RENAMED = {
    "NEPAL_VERSION_NUMBER": "NEPAL_HEADER_VERSION_NUMBER",
    "NEPAL_ABI_VERSION": "NEPAL_HEADER_ABI_VERSION",
}


def fortran(header):
    def kind(base, stars):
        if stars:
            return "type(c_ptr)"
        if base in SCALARS:
            return SCALARS[base][1]
        return "type(c_funptr)" if base in dict(header.callbacks) else f"type({base})"

    zero = {
        "type(c_ptr)": "c_null_ptr",
        "type(c_funptr)": "c_null_funptr",
        "real(c_double)": "0.0_c_double",
    }
    out = [FORTRAN]
    for name, value in header.numbers:
        name = RENAMED.get(name, name)
        out.append(f"  integer(c_int32_t), parameter :: {name} = {value}_c_int32_t")
    for name, fields in header.structs:
        out.append(f"\n  type, bind(c) :: {name}")
        for base, stars, field, length in fields:
            k = kind(base, stars)
            shape = f"({length})" if length else ""
            out.append(f"    {k} :: {field}{shape} = {zero.get(k, k.replace('integer(', '0_')[:-1])}")
        out.append(f"  end type {name}")
    out.append("\n  interface")
    for result, name, arguments in header.functions:
        unit = "subroutine" if result == "void" else "function"
        names = textwrap.wrap(", ".join(a[2] for a in arguments), 90)
        tail = " result(status)" if unit == "function" else ""
        inside = " &\n        ".join(names)
        if len(name) + len(inside) > 60:
            inside = f" &\n        {inside}"
        out.append(f"    {unit} {name}({inside}) bind(c){tail}")
        out.append("      import")
        if unit == "function":
            out.append(f"      {SCALARS[result][1]} :: status")
        for base, stars, argument, _ in arguments:
            out.append(f"      {kind(base, stars)}, value :: {argument}")
        out.append(f"    end {unit} {name}\n")
    out.append("  end interface\nend module nepal_c")
    return "\n".join(out) + "\n"


def main():
    header = Header()
    outputs = {
        HERE / "python" / "nepal" / "_c_api.py": python(header),
        HERE / "fortran" / "nepal_c.f90": fortran(header),
    }
    for path, new in outputs.items():
        if sys.argv[1:] != ["--check"]:
            path.write_text(new, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != new:
            raise SystemExit(f"{path} is not what {HEADER} calls for; run bindings/mirrors.py")


if __name__ == "__main__":
    main()
