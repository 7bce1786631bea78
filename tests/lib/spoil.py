#!/usr/bin/env python3
"""Spoil members of a full config.json and give each to proa-runtime: it refuses and names the member, or runs.

Usage: spoil.py RUNTIME DIR SEED COUNT; DIR/bundle has a config that runs, DIR/state is the runtime's root.
Prints a line for each fault (a crash, a hang, something left behind, a refusal that names no member), then the sum.
"""
import copy
import json
import os
import random
import subprocess
import sys

VALUES = [None, True, 0, -1, 1 << 63, -(1 << 63), 1 << 64, 2**32, 1.5, "", "x", "a\0b", "..", "/../../..", "/link/../../x",
          "/" * 5000, "é" * 40000, [], [None], [[]], [1], [""], {}, {"": ""}, {"x": {"y": []}}, ["x"] * 5000]
# Their errors have the peers' words, on which exit codes depend.
OTHER_WORDS = {"process.args": "exec", "process.cwd": "cwd", "root.path": "mounts", "process.rlimits": "too many open files"}


def paths(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from paths(below, at + (key,))


def put(doc, at, value):
    for key in at[:-1]:
        doc = doc[key]
    doc[at[-1]] = value


def left(work, cgroup):
    state = work + "/state"
    found = [x for x in os.listdir(state) if x != ".bpf"] if os.path.isdir(state) else []
    found += [p for h in os.listdir("/sys/fs/cgroup") if os.path.isdir(p := f"/sys/fs/cgroup/{h}{cgroup}")]
    with open("/proc/self/mountinfo") as mounts:
        return found + [line for line in mounts if work in line]


def named(at, error):
    words = [k for k in at if isinstance(k, str)]
    path = ".".join(words)
    error = error.lower()
    return (any(k.lower() in error for k in words[-2:]) or "json" in error and "\\u0000" in error
            or path.startswith("linux.resources") and "linux.resources" in error
            or any(path.startswith(k) and v in error for k, v in OTHER_WORDS.items()))


def main():
    runtime, work, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    config = work + "/bundle/config.json"
    with open(config) as f:
        base = json.load(f)
    random.seed(seed)
    cases = [(at, v) for at in paths(base) if at and at[:2] != ("root", "path") for v in VALUES]
    ran = refused = faults = 0
    for at, value in random.sample(cases, min(count, len(cases))):
        doc = copy.deepcopy(base)
        put(doc, at, value)
        with open(config, "w") as f:
            json.dump(doc, f)
        why = ""
        try:
            p = subprocess.run([runtime, "--root", work + "/state", "run", "-b", work + "/bundle", "spoilt"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
            error, status = p.stderr.decode(errors="replace"), p.returncode
            if status < 0 or "Sanitizer" in error or "runtime error" in error:
                why = "crashed"
            elif status == 0:
                ran += 1
            else:
                refused += 1
                why = "" if named(at, error) else "not named"
        except subprocess.TimeoutExpired:
            why, error, status = "hangs", "", -1
        rest = left(work, base["linux"]["cgroupsPath"])
        if rest:
            why += f" left {rest[:3]}"
            subprocess.run([runtime, "--root", work + "/state", "delete", "-f", "spoilt"], stderr=subprocess.DEVNULL)
        if why:
            faults += 1
            print(f"{why}: {'.'.join(map(str, at))} = {value!r:.60} gave {status}: {error.strip():.300}")
    with open(config, "w") as f:
        json.dump(base, f)
    print(f"{ran} ran, {refused} refused, {faults} faults")
    sys.exit(1 if faults or not ran or not refused else 0)


main()
