#!/usr/bin/env python3
"""PTX of NVRTC (stdin) as C++ for the stand-in driver (stdout).

A basic block becomes a function that takes one lane through it and says which block is next; an
instruction becomes a call of the function of its name in ptx.h, so that one that is not known there
does not compile. Lanes of a warp are led through the blocks by `run` of ptx.h.
"""
import re
import sys

INTEGERS = {f"{kind}{bits}": f"{kind}{bits}" for kind in "us" for bits in (8, 16, 32, 64)}
BITS = {f"b{bits}": f"u{bits}" for bits in (8, 16, 32, 64)}
TYPES = {**INTEGERS, **BITS, "f32": "float", "f64": "double", "pred": "bool"}
RAW = {**TYPES, "f32": "u32", "f64": "u64"}  # what a register holds
SPECIAL = {
    "%tid.x": "s.tid", "%ntid.x": "s.ntid", "%ctaid.x": "s.ctaid", "%nctaid.x": "s.nctaid",
    "%laneid": "s.lane",
}  # fmt: skip
SPACES = {"global", "local", "param", "const"}
CLASSES = ("integer", "single", "double", "special", "branch", "load", "store", "atomic", "warp", "matrix")
SPECIALS = ("div", "rem", "rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh")


class Unknown(Exception):
    """PTX that this does not translate."""


def split(text):
    """Operands, vectors whole."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^]]*\]|[^,{\[])+", text) if part.strip()]


def kind(parts):
    """What an instruction is counted as."""
    name, last = parts[0], parts[-1]
    table = {"ld": "load", "ldu": "load", "st": "store", "atom": "atomic", "red": "atomic", "mma": "matrix",
             "bra": "branch", "ret": "branch", "shfl": "warp", "bar": "warp", "vote": "warp"}  # fmt: skip
    if name in table:
        return "integer" if "param" in parts else table[name]
    if name in SPECIALS:
        return "special"
    types = [part for part in parts if part in TYPES]
    if "f64" in types:
        return "double"
    return "single" if last == "f32" or "f32" in types else "integer"


class Kernel:
    """One entry: its registers, and blocks of C++ statements."""

    def __init__(self, name, size, symbols):
        self.name, self.size, self.symbols = name, size, symbols
        self.registers, self.scopes, self.depot = {}, [{}], 0
        self.blocks, self.labels, self.sync = [[]], {}, {}
        self.counts, self.memory = [dict.fromkeys(CLASSES, 0)], [0]

    # Registers and operands.

    def declare(self, raw, name):
        """A register, by another name where one of an outer scope or of another size has its own."""
        own = re.sub(r"\W", "_", name.lstrip("%"))
        taken = {scope[name] for scope in self.scopes[:-1] if name in scope}
        unique, n = own, 0
        while self.registers.get(unique, raw) != raw or unique in taken:
            n += 1
            unique = f"{own}_{n}"
        self.registers[unique] = raw
        self.scopes[-1][name] = unique

    def operand(self, text):
        """An expression for the bits of an operand."""
        if text in SPECIAL:
            return SPECIAL[text]
        for scope in reversed(self.scopes):
            if text in scope:
                return f"s.{scope[text]}"
        if match := re.fullmatch(r"0([fFdD])([0-9a-fA-F]+)", text):
            return f"0x{match[2]}u" if match[1] in "fF" else f"0x{match[2]}ull"
        if re.fullmatch(r"-?(\d+|0x[0-9a-fA-F]+)U?", text):
            return f"0x{int(text.rstrip('U'), 0) & (2**64 - 1):x}ull"
        if text in self.symbols:
            return f"address({text})"
        if text == f"{self.name}_param_0":
            return "address(s.parameters)"
        if text.startswith("__local_depot"):
            return "address(s.depot)"
        raise Unknown(f"operand {text}")

    def address(self, text):
        base, sign, offset = re.fullmatch(r"\[([^+\]]+?)(?:(\+)(-?\w+))?\]", text.replace(" ", "")).groups()
        return self.operand(base) + (f"+{self.operand(offset)}" if sign else "")

    def vector(self, text):
        if not text.startswith("{"):
            return [self.operand(text)]
        return [self.operand(part.strip()) for part in text[1:-1].split(",")]

    # Blocks.

    def next_block(self):
        self.blocks.append([])
        self.counts.append(dict.fromkeys(CLASSES, 0))
        self.memory.append(0)

    def place(self, label):
        if self.blocks[-1]:
            self.next_block()
        self.labels[label] = len(self.blocks) - 1

    def instruction(self, guard, op, args):
        parts, args = op.replace("::", ".").split("."), split(args)
        self.counts[-1][kind(parts)] += 1
        condition = f"if ({'!' if guard[1] == '!' else ''}{self.operand(guard.lstrip('@!'))}) " if guard else ""
        name = parts[0]
        if name in ("bra", "ret"):
            to = f"BLOCK({args[0]})" if name == "bra" else "LEFT"
            self.blocks[-1].append(f"{condition}return {to};")
            self.next_block()
        elif name in ("shfl", "mma", "bar"):
            if guard:
                raise Unknown(f"{op} under a condition")
            self.together(name, op, parts, args)
        else:
            self.blocks[-1].append(f"{condition}{{ {self.alone(name, op, parts, args)} }}")

    def together(self, name, op, parts, args):
        """What the lanes of a warp do in one place: the block ends, the next begins with the result."""
        before, after = [], []
        if name == "bar":
            if parts[:3] != ["bar", "warp", "sync"] or int(args[0], 0) & 0xFFFFFFFF != 0xFFFFFFFF:
                raise Unknown(f"{op} {args}")
            kind = "WAIT"
        elif name == "shfl":
            to = args[0].split("|")
            kind = "SHUFFLE"
            x, by, *whole = [self.operand(a) for a in args[1:]]
            before = [f"s.give({x}, source_{parts[2]}(s.lane, {by}), {', '.join(whole)});"]
            after = [f"{self.operand(to[0])} = s.given();"]
            after += [f"{self.operand(to[1])} = s.had_source();"] if len(to) > 1 else []
        else:
            if parts[-5:] != ["col", "f64", "f64", "f64", "f64"]:
                raise Unknown(op)
            a, b, c = ([self.operand(x) for x in split(v.strip("{}"))] for v in args[1:])
            rows, depth = re.fullmatch(r"m(\d+)n8k(\d+)", parts[3]).groups()
            kind = f"PRODUCT_{rows}_{depth}"
            for which, values in zip("abc", (a, b, c)):
                before += [f"s.{which}({i}) = number({x});" for i, x in enumerate(values)]
            to = split(args[0].strip("{}"))
            after = [f"{self.operand(x)} = bits_of(s.c({i}));" for i, x in enumerate(to)]
        self.blocks[-1] += before
        self.sync[len(self.blocks) - 1] = kind
        self.blocks[-1].append(f"return {len(self.blocks)};")
        self.next_block()
        self.blocks[-1] += after or [";"]

    def alone(self, name, op, parts, args):
        """What a lane does by itself."""
        types = [TYPES[part] for part in parts if part in TYPES]
        if name in ("ld", "ldu", "st", "atom", "red"):
            return self.access(name, parts, args)
        if name == "mov" and (args[0].startswith("{") or args[1].startswith("{")):
            return self.pack(parts, args)
        words = [part for part in parts if part not in TYPES]
        sources = [self.operand(a) for a in args[1:]]
        tail = ""
        if name in ("setp", "set") and len(words) > 2:
            tail, words = {"and": "&&", "or": "||", "xor": "!="}[words[2]], words[:2]
            tail = f" {tail} {sources.pop()}"
        if name == "cvta":
            words = ["mov"]
        call = f"i_{'_'.join(words)}<{', '.join(types)}>({', '.join(sources)})"
        if "|" in args[0]:
            raise Unknown(f"{op} {args[0]}")
        return f"{self.operand(args[0])} = {call}{tail};"

    def access(self, name, parts, args):
        raw = RAW[parts[-1]]
        n = next((int(part[1]) for part in parts if part in ("v2", "v4", "v8")), 1)
        space = next((part for part in parts if part in SPACES), "generic")
        to, at = (1, 0) if name in ("st", "red") else (0, 1)
        where = self.address(args[at])
        if space == "param":
            pointer = f"s.parameter<{raw}, {n}>({where})"
        else:
            pointer = f"s.{space}<{raw}, {n}>({where}, {self.memory[-1]})"
            self.memory[-1] += 1
        if name in ("atom", "red"):
            operation = next(part for part in parts[1:] if part in ("add", "max", "min", "exch", "cas", "or", "and"))
            values = ", ".join(self.operand(a) for a in args[at + 1 :])
            call = f"a_{operation}<{TYPES[parts[-1]]}>({pointer}, {values});"
            return call if name == "red" else f"{self.operand(args[0])} = {call}"
        values = self.vector(args[to])
        if len(values) != n:
            raise Unknown(f"{'.'.join(parts)} of {len(values)}")
        moves = (f"{v} = q[{i}];" if name != "st" else f"q[{i}] = {v};" for i, v in enumerate(values))
        return f"auto *q = {pointer}; {' '.join(moves)}"

    def pack(self, parts, args):
        whole = int(parts[-1][1:])
        few = split((args[0] if args[0].startswith("{") else args[1]).strip("{}"))
        width = whole // len(few)
        if args[0].startswith("{"):
            moves = (f"{self.operand(x)} = (u{width})(whole >> {i * width});" for i, x in enumerate(few) if x != "_")
            return f"const u{whole} whole = {self.operand(args[1])}; {' '.join(moves)}"
        terms = (f"(u{whole})(u{width}){self.operand(x)} << {i * width}" for i, x in enumerate(few))
        return f"{self.operand(args[0])} = {' | '.join(terms)};"

    def statement(self, text):
        if match := re.fullmatch(r"\.reg\s+\.(\w+)\s+(.*)", text, re.S):
            for names in match[2].split(","):
                name, count = re.fullmatch(r"(%?[\w.$]+)(?:<(\d+)>)?", names.strip()).groups()
                for k in range(int(count)) if count else [""]:
                    self.declare(RAW[match[1]], f"{name}{k}")
        elif match := re.fullmatch(r"\.local\s+\.align\s+\d+\s+\.b8\s+\w+\[(\d+)\]", text):
            self.depot = int(match[1])
        elif not text.startswith((".pragma", ".loc")):
            match = re.fullmatch(r"(@!?%?\w+\s+)?([\w.:]+)\s*(.*)", text, re.S)
            if not match:
                raise Unknown(text)
            self.instruction((match[1] or "").strip(), match[2], match[3])

    def body(self, text):
        at = 0
        while match := re.compile(r"\s*(\{|\}|([$\w]+):|([^;]+);)").match(text, at):
            at = match.end()
            if match[1] == "{":
                self.scopes.append({})
            elif match[1] == "}":
                self.scopes.pop()
            elif match[2]:
                self.place(match[2])
            else:
                self.statement(match[3].strip())
        if text[at:].strip():
            raise Unknown(text[at:])
        return self

    def text(self):
        name = self.name
        fields = "".join(f" {raw} {register};" for register, raw in self.registers.items())
        out = [f"struct {name} : Lane {{{fields} alignas(16) u8 depot[{max(self.depot, 1)}];\n"
               f"    LANE_MEMORY({self.depot}) }};"]  # fmt: skip
        jump = re.compile(r"BLOCK\(([^)]+)\)")
        for k, lines in enumerate(self.blocks):
            lines = [jump.sub(lambda match: str(self.labels[match[1]]), line) for line in lines]
            end = f"return {k + 1};" if k + 1 < len(self.blocks) else "return LEFT;"
            out.append(f"static int {name}_{k}({name} &s) {{\n  " + "\n  ".join([*lines, end]) + "\n}")
        rows = (f"{{{name}_{k}, {self.sync.get(k, 'NOTHING')}, {self.memory[k]}, "
                f"{{{', '.join(str(n) for n in self.counts[k].values())}}}}}" for k in range(len(self.blocks)))  # fmt: skip
        out.append(f"static const Block<{name}> {name}_blocks[] = {{\n  " + ",\n  ".join(rows) + "\n};")
        out.append(f'extern "C" void launch_{name}(unsigned grid, unsigned block, unsigned long step, void **p) {{\n'
                   f'  run("{name}", {name}_blocks, {self.size}, grid, block, step, p);\n}}')  # fmt: skip
        return "\n".join(out)


def tables(text):
    """Constant arrays: names, and their C++."""
    names, out = set(), []
    pattern = r"\.(?:global|const)\s+\.align\s+(\d+)\s+\.(\w+)\s+(\w+)\[(\d+)\]\s*=\s*\{([^}]*)\}\s*;"
    for align, kind, name, size, values in re.findall(pattern, text):
        names.add(name)
        out.append(f"alignas({align}) static const {RAW[kind]} {name}[{size}] = {{{values}}};")
    return names, out


def translate(text):
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    symbols, out = tables(text)
    if ".func" in text or ".shared" in text:
        raise Unknown("functions that are called, or shared memory")
    entry = re.compile(r"\.entry\s+(\w+)\s*\(\s*\.param\s+\.align\s+8\s+\.b8\s+\w+\[(\d+)\]\s*\)[^{]*\{")
    at = 0
    while match := entry.search(text, at):
        depth, at = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        out.append(Kernel(match[1], int(match[2]), symbols).body(text[match.end() : at - 1]).text())
    classes = ", ".join(f'"{name}"' for name in CLASSES)
    return "\n".join([f"#define N_CLASSES {len(CLASSES)}", f"#define CLASSES {classes}", '#include "ptx.h"', *out, ""])


if __name__ == "__main__":
    sys.stdout.write(translate(sys.stdin.read()))
