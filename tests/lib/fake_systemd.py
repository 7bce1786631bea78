#!/usr/bin/env python3
"""A systemd that is none: as much of its D-Bus interface as the cgroup driver uses.

Usage: fake_systemd.py SOCKET LOG

Writes each call to LOG as a JSON line (member, arguments). StartTransientUnit makes the scope's
groups in the named v1 hierarchy and in v2, moves the PIDs there, and tells JobRemoved. A unit
whose name holds "refused" ends with the job result "failed", "exists" is answered UnitExists, and
on "garbage" bytes come that are no message.
"""
import json
import os
import socket
import struct
import sys

log = open(sys.argv[2], "a", buffering=1)


class Reader:
    def __init__(self, data):
        self.d, self.at = data, 0

    def align(self, n):
        self.at = (self.at + n - 1) // n * n

    def num(self, fmt):
        n = struct.calcsize(fmt)
        self.align(n)
        v = struct.unpack_from("<" + fmt, self.d, self.at)[0]
        self.at += n
        return v

    def string(self):
        n = self.num("I")
        v = self.d[self.at:self.at + n].decode()
        assert self.d[self.at + n] == 0
        self.at += n + 1
        return v

    def signature(self):
        n = self.d[self.at]
        v = self.d[self.at + 1:self.at + 1 + n].decode()
        self.at += n + 2
        return v

    def value(self, sig):
        """One complete type from the front of sig; returns (value, rest of sig)."""
        c, rest = sig[0], sig[1:]
        if c in "so":
            return self.string(), rest
        if c == "g":
            return self.signature(), rest
        if c == "b":
            return bool(self.num("I")), rest
        if c in "yuitx":
            return self.num({"y": "B", "u": "I", "i": "i", "t": "Q", "x": "q"}[c]), rest
        if c == "v":
            return self.value(self.signature())[0], rest
        if c == "(":
            self.align(8)
            out = []
            while rest[0] != ")":
                v, rest = self.value(rest)
                out.append(v)
            return out, rest[1:]
        assert c == "a", c
        n = self.num("I")
        self.align(8 if rest[0] in "(tx" else 4 if rest[0] != "y" else 1)
        end, out = self.at + n, []
        after = skip(rest)
        while self.at < end:
            out.append(self.value(rest)[0])
        assert self.at == end
        return out, after

    def values(self, sig):
        out = []
        while sig:
            v, sig = self.value(sig)
            out.append(v)
        return out


def skip(sig):
    if sig[0] == "a":
        return skip(sig[1:])
    if sig[0] != "(":
        return sig[1:]
    depth = 0
    for i, c in enumerate(sig):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return sig[i + 1:]


def pad(b, n):
    return b + b"\0" * (-len(b) % n)


def string(s):
    return struct.pack("<I", len(s)) + s.encode() + b"\0"


def message(kind, fields, sig="", body=b"", serial=[0]):
    serial[0] += 1
    out = b""
    for code, t, v in fields + ([(8, "g", sig)] if sig else []):
        out = pad(out, 8) + bytes([code, 1]) + t.encode() + b"\0"
        if t == "u":
            out = pad(out, 4) + struct.pack("<I", v)
        elif t == "g":
            out += bytes([len(v)]) + v.encode() + b"\0"
        else:
            out = pad(out, 4) + string(v)
    return pad(struct.pack("<4sIII", b"l" + bytes([kind]) + b"\0\1", len(body), serial[0], len(out)) + out, 8) + body


def groups(props, name):
    path, slice_ = "", props["Slice"][:-len(".slice")]
    parts = [] if slice_ == "-" else slice_.split("-")
    for i in range(len(parts)):
        path += "/" + "-".join(parts[:i + 1]) + ".slice"
    for root in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(root + "/cgroup.procs"):
            yield root + path + "/" + name


def serve(member, args, serial, send):
    reply = [(5, "u", serial)]
    if member == "StartTransientUnit":
        name, props = args[0], dict(args[2])
        if "garbage" in name:
            return send(b"B" * 64)
        if "exists" in name:
            return send(message(3, reply + [(4, "s", "org.freedesktop.systemd1.UnitExists")], "s", string("Unit exists.")))
        send(message(2, reply, "o", string("/job/1")))
        for g in [] if "refused" in name else groups(props, name):
            os.makedirs(g, exist_ok=True)
            for pid in props["PIDs"]:
                open(g + "/cgroup.procs", "w").write(str(pid))
        body = pad(struct.pack("<I", 1) + string("/job/1"), 4) + string(name)
        body = pad(body, 4) + string("failed" if "refused" in name else "done")
        return send(message(4, [(1, "o", "/org/freedesktop/systemd1"), (2, "s", "org.freedesktop.systemd1.Manager"),
                                (3, "s", "JobRemoved")], "uoss", body))
    if member in ("ResetFailedUnit", "StopUnit"):
        return send(message(3, reply + [(4, "s", "org.freedesktop.systemd1.NoSuchUnit")], "s", string("Unit not loaded.")))
    send(message(2, reply))


def client(c):
    f = c.makefile("rb")
    assert f.read(1) == b"\0"
    assert f.readline().startswith(b"AUTH EXTERNAL ")
    # The real one leaves a message that it reads together with BEGIN until more comes: BEGIN is
    # asked for before the answer.
    assert f.readline() == b"BEGIN\r\n"
    c.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
    while True:
        head = f.read(16)
        if len(head) < 16:
            return
        body_len, serial, fields_len = struct.unpack_from("<III", head, 4)
        rest = f.read((16 + fields_len + 7) // 8 * 8 - 16 + body_len)
        r = Reader(head + rest)
        r.at = 12
        fields = dict(r.value("a(yv)")[0])
        sig = fields.get(8, "")
        args = Reader(rest[len(rest) - body_len:]).values(sig)
        log.write(json.dumps({"member": fields[3], "args": args}) + "\n")
        serve(fields[3], args, serial, c.sendall)


s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(8)
while True:
    c, _ = s.accept()
    try:
        client(c)
    except (AssertionError, OSError) as e:
        log.write(json.dumps({"member": "ERROR", "args": [repr(e)]}) + "\n")
    c.close()
