#!/usr/bin/env python3
"""Writes nepal/_c_api.py from include/nepal.h; with --check only says whether it is current.

The header is regular (cbindgen makes it), so a few patterns read it: numbers, structs, callbacks
and functions. What they do not understand is an error, never left out.
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parents[1] / "include" / "nepal.h"
OUTPUT = HERE / "nepal" / "_c_api.py"

SCALARS = {
    "size_t": "c_size_t",
    "int32_t": "c_int32",
    "int64_t": "c_int64",
    "uint32_t": "c_uint32",
    "uint64_t": "c_uint64",
    "double": "c_double",
    "nepal_status_t": "c_int32",
}

HEAD = '''"""The C interface as ctypes sees it. Made from include/nepal.h by generate.py; do not edit.

Arrays are `c_void_p`: an address, such as `array.ctypes.data` of numpy.
"""

from ctypes import (
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


def ctype(text, structs):
    """The ctypes name of a C type, `text` being all of a declaration before the name."""
    text = re.sub(r"\b(const|struct)\b", "", text)
    stars = text.count("*")
    base = text.replace("*", "").strip()
    if stars == 0:
        return SCALARS[base] if base in SCALARS else base
    if stars == 1 and base == "char":
        return "c_char_p"
    if stars == 1 and base in structs:
        return f"POINTER({base})"
    if base in SCALARS or base == "void" or base == "char" or base.startswith("nepal_"):
        return "c_void_p"
    raise SystemExit(f"{HEADER}: no ctypes type for {text!r}")


def declarator(text, structs):
    """Name and type of `const double *positions` or `int32_t periodic[3]`."""
    match = re.fullmatch(r"(.*?)(\w+)(?:\[(\d+)\])?", text.strip(), re.S)
    kind = ctype(match[1], structs)
    return match[2], f"{kind} * {match[3]}" if match[3] else kind


def generate():
    text = re.sub(r"//.*", "", HEADER.read_text(encoding="utf-8"))
    text = text.replace("\\\n", " ")
    out = [HEAD]
    for name, value in re.findall(r"^#define (NEPAL_\w+) (-?\d+)$", text, re.M):
        out.append(f"{name} = {value}")
    defined = re.findall(r"^#define (NEPAL_\w+) (?!\{| )\S", text, re.M)
    if len(defined) != len(out) - 1:
        raise SystemExit(f"{HEADER}: a number was not understood")
    structs = re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, re.S)
    names = {name for name, _ in structs}
    callbacks = re.findall(r"typedef nepal_status_t \(\*(\w+)\)\((.*?)\);", text, re.S)
    for name, body in structs:
        out.append(f"\n\nclass {name}(Structure):\n    _fields_ = [")
        for line in filter(None, (part.strip() for part in body.split(";"))):
            field, kind = declarator(line, names)
            out.append(f'        ("{field}", {kind}),')
        out.append("    ]")
    out.append("")
    for name, arguments in callbacks:
        kinds = [declarator(a, names)[1] for a in arguments.split(",")]
        out.append(f"\n{name} = CFUNCTYPE(c_int32, {', '.join(kinds)})")
    functions = re.findall(r"^(void|uint32_t|nepal_status_t) (nepal_\w+)\((.*?)\);", text, re.S | re.M)
    declared = re.findall(r"\b(nepal_\w+)\(", text)
    if sorted(declared) != sorted(name for _, name, _ in functions):
        raise SystemExit(f"{HEADER}: a function was not understood")
    out.append("\n\ndef declare(library):")
    out.append('    """Tells ctypes the types of all functions."""')
    for result, name, arguments in functions:
        arguments = arguments.strip()
        kinds = [] if arguments == "void" else [declarator(a, names)[1] for a in arguments.split(",")]
        restype = {"void": "None", "uint32_t": "c_uint32", "nepal_status_t": "c_int32"}[result]
        out.append(f"    library.{name}.restype = {restype}")
        inside = ", ".join(kinds)
        if len(inside) < 60:
            out.append(f"    library.{name}.argtypes = [{inside}]")
        else:
            out.append(f"    library.{name}.argtypes = [")
            out.extend(f"        {kind}," for kind in kinds)
            out.append("    ]")
    return "\n".join(out) + "\n"


def main():
    new = generate()
    if sys.argv[1:] == ["--check"]:
        if OUTPUT.read_text(encoding="utf-8") != new:
            raise SystemExit(f"{OUTPUT} is not what {HEADER} calls for; run generate.py")
    else:
        OUTPUT.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
