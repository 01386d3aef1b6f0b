#!/usr/bin/env python3
"""Stands in for GPUMD's nep in tests: checks its inputs as that program does and writes its files."""
import os
import re
import sys
import time


def fail(message):
    print("Input Error: " + message)
    sys.exit(1)


KNOWN = {
    "type", "version", "model_type", "mode", "prediction", "cutoff", "n_max", "basis_size", "l_max",
    "neuron", "lambda_1", "lambda_2", "lambda_e", "lambda_f", "lambda_v", "lambda_shear",
    "force_delta", "type_weight", "batch", "population", "generation", "zbl",
    "use_typewise_cutoff_zbl", "initial_para", "sigma0", "save_potential", "output_interval",
    "import_q_scaler",
}


def read_settings():
    values = {}
    for line in open("nep.in"):
        words = line.split("#")[0].split()
        if words:
            if words[0] not in KNOWN:
                fail("invalid keyword " + words[0])
            values[words[0]] = words[1:]
    if "type" not in values:
        fail("type in nep.in has not been set.")
    return values


def read_frames(path, symbols):
    lines = open(path).read().split("\n")
    at, frames = 0, 0
    while at < len(lines) and lines[at].strip():
        n = int(lines[at])
        head = lines[at + 1].lower()
        for key in ("lattice", "energy", "properties"):
            if not re.search(r"(^| )" + key + "=", head):
                fail("'" + key + "' is missing in the second line of a frame.")
        properties = re.search(r"properties=\"?([^ \"]*)", head).group(1).split(":")
        names = properties[0::3]
        width = sum(int(w) for w in properties[2::3])
        if not ("force" in names or "forces" in names):
            fail("'force' or 'forces' is missing in properties.")
        for line in lines[at + 2:at + 2 + n]:
            words = line.split()
            if len(words) != width or words[0] not in symbols:
                fail("Number of columns or species wrong: " + line)
        at += n + 2
        frames += 1
    return frames


def main():
    values = read_settings()
    symbols = values["type"][1:]
    frames = read_frames("train.xyz", symbols)
    test = read_frames("test.xyz", symbols) if os.path.exists("test.xyz") else 0
    restart = os.path.exists("nep.restart")
    model = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "model.txt")).read()
    count = sum(1 for line in model.split("\n")[6:] if line.strip())
    if restart:
        rows = [line.split() for line in open("nep.restart")]
        if any(len(row) != 2 for row in rows):
            fail("nep.restart has a wrong line")
    print(f"{frames} structures, {test} test structures, restart {int(restart)}, {count} numbers")
    sys.stdout.flush()
    generations = int(values.get("generation", ["100000"])[0])
    with open("loss.out", "w") as loss:
        for generation in range(100, generations + 1, 100):
            error = 10.0 / generation
            row = [error, 0.001, 0.002, 0.1 * error, error, 0.0]
            row += [0.2 * error, 2 * error, 0.0] if test else [0.0] * 3
            loss.write("%-8d" % generation + "".join("%-13.5f" % x for x in row) + "\n")
            loss.flush()
            with open("nep.txt", "w") as out:
                out.write(model)
            time.sleep(float(os.environ.get("FAKE_NEP_PAUSE", "0.002")))


main()
