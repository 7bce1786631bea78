#!/usr/bin/env python3
"""Make the hostile layers of this directory again. Usage: generate.py

refuse-*.tar must be refused; harmless-*.tar must be unpacked without harm.
Each is named for what it tries; the class is a row of the security notes.
"""
import io
import pathlib
import tarfile

here = pathlib.Path(__file__).parent
F, D, L, H = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
C = tarfile.CHRTYPE


def entry(name, kind=F, link="", data=b"", pax=None, uid=0, dev=(0, 0)):
    t = tarfile.TarInfo(name)
    t.type, t.linkname, t.size, t.uid = kind, link, len(data), uid
    t.mode = 0o755 if kind == D else 0o644
    t.devmajor, t.devminor = dev
    t.pax_headers = pax or {}
    return t, data


def raw(t, data=b"", fmt=tarfile.PAX_FORMAT):
    b = t.tobuf(fmt, "utf-8", "surrogateescape") + data
    return b + b"\0" * (-len(b) % 512)


def make(name, *entries, end=b"\0" * 1024):
    (here / (name + ".tar")).write_bytes(b"".join(raw(*e) for e in entries) + end)


def reseal(block):
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


# row 8: paths
make("refuse-dotdot", entry("../../../canary", data=b"x"))
make("refuse-dotdot-inside", entry("a/", D), entry("a/../../canary", data=b"x"))
make("refuse-symlink-parent", entry("evil", L, "/"), entry("evil/canary", data=b"x"))
make("refuse-symlink-parent-relative", entry("evil", L, "../../.."), entry("evil/canary", data=b"x"))
make("refuse-symlink-chain", entry("a", L, "b"), entry("b", L, "/"), entry("a/canary", data=b"x"))
make("refuse-hardlink-outside", entry("link", H, "../../canary"))
make("refuse-hardlink-absent", entry("link", H, "/etc/passwd"))
make("refuse-hardlink-through-symlink", entry("evil", L, "/"), entry("link", H, "evil/canary"))
make("refuse-hardlink-to-directory", entry("d", D), entry("link", H, "d"))
make("refuse-root-symlink", entry("./", L, "/"))
make("refuse-root-file", entry(".", F, data=b"x"))
make("refuse-whiteout-through-symlink", entry("evil", L, "/"), entry("evil/.wh.canary"))
make("refuse-whiteout-dotdot", entry(".wh..."))
make("refuse-whiteout-dot", entry("d", D), entry("d/.wh.."))
make("refuse-whiteout-empty", entry(".wh."))
make("refuse-opaque-through-symlink", entry("evil", L, "/"), entry("evil/.wh..wh..opq"))
make("harmless-absolute-path", entry("/canary", data=b"x"))
make("harmless-symlink-out", entry("evil", L, "/etc/passwd"))
make("harmless-replace-symlink", entry("canary", L, "/canary"), entry("canary", data=b"x"))
make("harmless-hardlink-to-symlink", entry("a", L, "/canary"), entry("b", H, "a"), entry("b", data=b"x"))

# row 9: overlay attributes and devices
X = "SCHILY.xattr."
make("harmless-overlay-xattrs", entry("d", D, pax={X + "trusted.overlay.opaque": "y", X + "user.overlay.opaque": "y",
     X + "trusted.overlay.redirect": "/etc", X + "security.selinux": "x"}))
make("harmless-overlay-metacopy", entry("f", pax={X + "trusted.overlay.metacopy": "", X + "user.overlay.metacopy": ""}))

# row 11: resources
make("refuse-sparse-bomb", entry("bomb", data=b"1\n0\n0\n" + b"\0" * 506,
     pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb", "GNU.sparse.realsize": str(2 ** 50)}))
make("refuse-sparse-beyond-end", entry("bomb", data=b"1\n4096\n512\n" + b"\0" * 501 + b"x" * 512,
     pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb", "GNU.sparse.realsize": "10"}))
make("refuse-sparse-overlap", entry("bomb", data=b"2\n0\n256\n128\n256\n" + b"\0" * 495 + b"x" * 512,
     pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb", "GNU.sparse.realsize": "4096"}))
make("refuse-sparse-negative", entry("bomb", data=b"1\n-1\n1\n" + b"\0" * 504,
     pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb", "GNU.sparse.realsize": "10"}))
make("refuse-size-larger-than-archive", entry("f", pax={"size": str(2 ** 62)}))
make("refuse-size-negative", entry("f", pax={"size": "-1"}))
t, _ = entry("f")
t.type, t.size = b"x", 1 << 40
(here / "refuse-huge-pax-header.tar").write_bytes(reseal(t.tobuf(tarfile.GNU_FORMAT)))
t.type = b"L"
(here / "refuse-huge-long-name.tar").write_bytes(reseal(t.tobuf(tarfile.GNU_FORMAT)))
make("refuse-deep-path", entry("/".join(["d" * 200] * 40), data=b"x"))
make("refuse-long-name", entry("n" * 300, data=b"x"))

# row 12: identities
make("refuse-uid-33-bits", entry("su", data=b"x", pax={"uid": str(2 ** 32)}))
make("refuse-gid-64-bits", entry("su", data=b"x", pax={"gid": str(2 ** 64)}))
make("refuse-uid-negative", entry("su", data=b"x", pax={"uid": "-1"}))
t, _ = entry("su")
b = bytearray(t.tobuf(tarfile.GNU_FORMAT))
b[108:116] = b"\x80\0\0\x01\0\0\0\0"
(here / "refuse-uid-base256.tar").write_bytes(reseal(b) + b"\0" * 1024)

# the format itself
make("refuse-truncated-data", entry("f", data=b"x" * 512), end=b"")
p = here / "refuse-truncated-data.tar"
p.write_bytes(p.read_bytes()[:700])
make("refuse-truncated-header", entry("f"), end=b"x" * 100)
make("refuse-bad-checksum", entry("f"))
p = here / "refuse-bad-checksum.tar"
b = bytearray(p.read_bytes())
b[0] ^= 1
p.write_bytes(b)
make("refuse-pax-nul-in-path", entry("f", pax={"path": "good\0/../evil"}))
make("refuse-pax-bad-length", entry("f", pax={"comment": "x"}))
p = here / "refuse-pax-bad-length.tar"
p.write_bytes(p.read_bytes().replace(b"13 comment=x", b"99 comment=x"))
make("refuse-empty-name", entry("f"))
p = here / "refuse-empty-name.tar"
b = bytearray(p.read_bytes())
b[0] = 0
p.write_bytes(reseal(b[:512]) + b[512:])
