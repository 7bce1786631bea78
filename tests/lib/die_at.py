#!/usr/bin/env python3
"""Kill a program, or its first child, before each of its system calls in turn.

    die_at.py [flags] -- PROGRAM ARG...

For n = --first, +--every, ... until the victim ends by itself: run the --before commands, run
PROGRAM under ptrace, kill the victim as it enters its n-th system call (with --ahead only when the
others have come as far as they can without it), run the --after command, which has to succeed
within --limit seconds, and look at what is left: processes (all orphans become ours), files below
--watch, control groups named --cgroup, mounts. Everything that is left is a line on stdout; the
exit code is 1 then, 77 where ptrace is refused.
"""
import argparse
import ctypes
import glob
import os
import shlex
import signal
import sys
import tempfile
import time

TRACEME, CONT, SYSCALL, DETACH, SETOPTIONS, GETEVENTMSG, GETREGSET = (
    0, 7, 24, 17, 0x4200, 0x4201, 0x4204)
OPTIONS = 1 | 2 | 4 | 8 | 0x10  # system calls marked; fork, vfork, clone, exec
WALL = 0x40000000
SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, data=0):
    return libc.ptrace(request, pid, None, data)


def message(pid):
    value = ctypes.c_ulong()
    ptrace(GETEVENTMSG, pid, ctypes.addressof(value))
    return value.value


def spawn(words, err=None):
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(null)
        return pid
    for fd in range(3):
        os.dup2(null if fd < 2 or err is None else err, fd)
    if err is None and ptrace(TRACEME, 0) < 0:
        os._exit(77)
    try:
        os.execv(words[0], words)
    finally:
        os._exit(127)


class Run:
    """PROGRAM once: `hit` tells whether the victim lived until its n-th call."""

    def __init__(self, words, role, n, ahead):
        self.words, self.role, self.n, self.ahead = words, role, n, ahead
        self.root = self.child = None
        self.inside, self.calls, self.hit = {}, 0, False

    def go(self):
        self.root = spawn(self.words)
        _, status = os.waitpid(self.root, 0)
        if not os.WIFSTOPPED(status):
            sys.exit(77)
        ptrace(SETOPTIONS, self.root, OPTIONS)
        ptrace(SYSCALL, self.root)
        held = quiet = None
        while True:
            pid, status = os.waitpid(-1, WALL | (os.WNOHANG if held else 0))
            if pid == 0:
                quiet = quiet or time.monotonic()
                if time.monotonic() - quiet > 0.01:
                    os.kill(held, signal.SIGKILL)
                    held = None
                time.sleep(0.0005)
                continue
            quiet = None
            if not os.WIFSTOPPED(status):
                held = None if pid == held else held
                if pid == self.root and not held:
                    return self
            elif self.stopped(pid, status):
                self.hit = True
                held = pid if self.ahead else None
                if not self.ahead:
                    os.kill(pid, signal.SIGKILL)

    def stopped(self, pid, status):
        """True when it is the victim before its n-th call; every other stop goes on."""
        sig, event = os.WSTOPSIG(status), status >> 16
        victim = self.root if self.role == "parent" else self.child
        if event in (1, 2, 3) and self.child is None:
            self.child = message(pid)
        elif sig == signal.SIGTRAP | 0x80:
            self.inside[pid] = not self.inside.get(pid, False)
            if pid == victim and self.inside[pid]:
                self.calls += 1
                if self.calls == self.n:
                    return True
        deliver = 0 if event or sig in (signal.SIGSTOP, signal.SIGTRAP, signal.SIGTRAP | 0x80) else sig
        counted = not self.hit and pid in (self.root, self.child or pid)
        ptrace(SYSCALL if counted else CONT, pid, deliver)
        return False


def command(text, limit):
    """Exit code and what it said; meanwhile nobody hangs because of us who trace and reap. What it
    says goes to a file: a container may keep what it inherits."""
    with tempfile.TemporaryFile() as out:
        pid = spawn(shlex.split(text), out.fileno())
        end = time.monotonic() + limit
        while True:
            who, status = os.waitpid(-1, os.WNOHANG | WALL)
            if who == 0 and time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                return "hangs", b""
            if who == 0:
                time.sleep(0.0005)
            elif os.WIFSTOPPED(status):
                ptrace(DETACH, who)
            elif who == pid:
                out.seek(0)
                return os.waitstatus_to_exitcode(status), out.read()


def children(patience):
    """What is still alive of ours after so many seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | WALL)
        except ChildProcessError:
            return []
        if pid and os.WIFSTOPPED(status):
            ptrace(DETACH, pid)
        elif pid == 0:
            time.sleep(0.001)
    found = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    return [f"process {p} {open(f'/proc/{p}/cmdline').read()!r}" for p in found]


def files(tops):
    return {os.path.join(base, name) for top in tops for base, dirs, names in os.walk(top)
            for name in dirs + names}


def mounts():
    return {line.split()[4] for line in open("/proc/self/mountinfo")}


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--role", choices=["parent", "child"], default="parent")
    p.add_argument("--ahead", action="store_true")
    p.add_argument("--first", type=int, default=1)
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--last", type=int, default=10000)
    p.add_argument("--before", action="append", default=[])
    p.add_argument("--after", required=True)
    p.add_argument("--limit", type=float, default=5)
    p.add_argument("--watch", action="append", default=[])
    p.add_argument("--cgroup", required=True)
    p.add_argument("words", nargs="+")
    return p.parse_args()


def main():
    o = parse()
    libc.prctl(SUBREAPER, 1, 0, 0, 0)
    had, mounted, n, bad = files(o.watch), mounts(), o.first, 0
    for n in range(o.first, o.last + 1, o.every):
        for text in o.before:
            code, said = command(text, 30)
            if code != 0:
                sys.exit(f"{text}: {code} {said.decode()}")
        run = Run(o.words, o.role, n, o.ahead).go()
        code, said = command(o.after, o.limit)
        left = [] if code == 0 else [f"{o.after}: {code} {said.decode().strip()}"]
        left += children(o.limit) + [f"file {x}" for x in files(o.watch) - had]
        left += glob.glob(f"/sys/fs/cgroup{o.cgroup}") + glob.glob(f"/sys/fs/cgroup/*{o.cgroup}")
        left += [f"mount {x}" for x in mounts() - mounted]
        if left:
            print(f"{o.role} killed before call {n}{' ' + 'held' if o.ahead else ''}: {left}")
            return 1
        if not run.hit:
            break
    print(f"{o.role}: {n} calls")
    return 0 if n > o.first else 1


sys.exit(main())
