#!/usr/bin/env python3
"""A registry that lies, for tests: liar.py PORT-FILE LAYER.tar

GET /v2/<how>/manifests/1 gives an image of LAYER; <how> says what goes wrong:
honest    nothing
cut       each answer with a blob ends after 100,000 bytes; Range is honoured
digest    a byte of the layer differs
short     the layer ends early, without an error of the transport
long      the layer goes on for ever
diffid    the config speaks of another layer
size      the descriptor's size is wrong
config    the config is no JSON
gzip      the layer is damaged gzip with the right digest
bomb      the layer is a sparse file of 2^50 bytes
stall     the layer stops coming
huge      a manifest of 8 MiB
nested    a manifest of 100,000 arrays in each other
endless   a manifest without an end
loop      an index that names itself
deep      five indexes in each other, then the image
schema1   a manifest of schema 1
foreign   a layer that its publisher keeps
type      a layer that is of no type of layers
page      a manifest that is a web page
negative  a layer of -1 bytes
vast      a layer of 2^63 - 1 bytes
layers    10,000 layers, the config has one
count     one layer, the config has two
truncated the layer's gzip ends early, with the right digest
around    the layer is where it is: a redirect without end
local     the layer is at file:///etc/passwd
tail      the layer's gzip goes on with something else
twice     an answer with two lengths
manifest429 and the like: manifests are answered with that status; blob503: blobs are
GET /wire answers the bytes of blobs sent since the start, /asked the requests for manifests.
"""
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import sys
import tarfile
import time

plain = pathlib.Path(sys.argv[2]).read_bytes()
layer = gzip.compress(plain, 1, mtime=0)
wire = asked = 0


def digest(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def bomb():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        i = tarfile.TarInfo("bomb")
        body = b"1\n0\n0\n" + b"\0" * 506
        i.size = len(body)
        i.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb",
                         "GNU.sparse.realsize": str(2 ** 50)}
        t.addfile(i, io.BytesIO(body))
    return out.getvalue()


def image(how):
    tar, blob = plain, layer
    if how == "bomb":
        tar = bomb()
        blob = gzip.compress(tar, 1, mtime=0)
    if how == "gzip":
        blob = layer[:len(layer) // 2] + b"\xff" * 64 + layer[len(layer) // 2 + 64:]
    if how == "truncated":
        blob = layer[:-1000]
    if how == "tail":
        blob = layer + b"garbage"
    diff = digest(tar if how != "diffid" else b"something else")
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
    if how == "count":
        config = config.replace(b'"diff_ids": [', b'"diff_ids": ["%s", ' % diff.encode())
    if how == "config":
        config = b"{" * 200
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(blob),
                            "size": len(blob) + (7 if how == "size" else 0)}]}
    lie = manifest["layers"][0]
    if how == "huge":
        manifest["annotations"] = {"x": "y" * (8 << 20)}
    elif how == "foreign":
        lie.update(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["http://127.0.0.1:1/x"])
    elif how == "type":
        lie["mediaType"] = "application/pdf"
    elif how in ("negative", "vast"):
        lie["size"] = -1 if how == "negative" else 2 ** 63 - 1
    elif how == "layers":
        manifest["layers"] *= 10000
    elif how == "schema1":
        manifest = {"schemaVersion": 1, "name": how, "tag": "1", "architecture": "amd64",
                    "fsLayers": [{"blobSum": digest(blob)}], "history": [{"v1Compatibility": "{}"}]}
    text = json.dumps(manifest).encode()
    if how == "nested":
        text = b"[" * 100000 + b"]" * 100000
    elif how == "page":
        text = b"<html><body>Please log in</body></html>"
    return text, {digest(config): config, digest(blob): blob}


INDEX = "application/vnd.oci.image.index.v1+json"
TYPES = {"schema1": "application/vnd.docker.distribution.manifest.v1+prettyjws", "page": "text/html", "loop": INDEX}


def indexes():
    """Five of them and the image, from the inside out."""
    text, kind, all_ = image("deep")[0], "application/vnd.oci.image.manifest.v1+json", {}
    for _ in range(5):
        all_[digest(text)] = (text, kind)
        text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": kind, "digest": digest(text), "size": len(text),
             "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
        kind = INDEX
    all_["1"] = (text, kind)
    return all_


def loop():
    itself = {"mediaType": INDEX, "digest": "sha256:" + "a" * 64, "size": 400, "platform": {"os": "linux", "architecture": "amd64"}}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [itself]}).ljust(400).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body, kind="application/octet-stream", status=200, to=None):
        self.send_response(status)
        if to:
            self.send_header("Location", to)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind.endswith("manifest.v1+json"):
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = lambda self: self.do_GET()

    def do_GET(self):
        global asked
        if self.path == "/wire":
            return self.answer(str(wire).encode())
        if self.path == "/asked":
            return self.answer(str(asked).encode())
        if self.path.rstrip("/") == "/v2":
            return self.answer(b"{}", "application/json")
        _, _, how, kind, name = self.path.split("/")
        manifest, blobs = image(how)
        asked += kind == "manifests"
        if how.startswith(kind[:-1]) and how[-3:].isdigit():
            return self.answer(b"{}", "application/json", int(how[-3:]))
        if kind == "manifests" and how == "endless":
            return self.endless()
        if kind == "manifests" and how == "deep":
            return self.answer(*indexes()[name])
        if kind == "manifests" and how == "loop":
            return self.answer(loop(), INDEX)
        if kind == "manifests" and how in TYPES:
            return self.answer(manifest, TYPES[how])
        if kind == "manifests":
            return self.answer(manifest, "application/vnd.oci.image.manifest.v1+json")
        body = blobs.get(name)
        if body is None:
            return self.answer(b"{}", "application/json", 404)
        if body.startswith(b"{"):
            return self.answer(body)
        if how in ("around", "local"):
            return self.answer(b"", status=307, to=self.path if how == "around" else "file:///etc/passwd")
        self.blob(how, body)

    def endless(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while self.command != "HEAD":
                self.wfile.write(b"[" * 65536)
        except OSError:
            pass
        self.close_connection = True

    def blob(self, how, body):
        global wire
        start, total = 0, len(body)
        asked = self.headers.get("Range")
        if asked:
            start = int(asked.split("=")[1].split("-")[0])
        if how == "digest":
            body = body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        part = body[start:]
        if how in ("short", "long"):
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(part)))
        if how == "twice":
            self.send_header("Content-Length", "5")
        self.end_headers()
        if how == "cut":
            part = part[:100000]
        elif how in ("short", "stall"):
            part = b"" if asked and how == "stall" else part[:len(part) // 2]
        try:
            self.wfile.write(part)
            self.wfile.flush()
            wire += len(part)
            while how == "long":
                self.wfile.write(b"\0" * 65536)
            if how == "stall":
                time.sleep(60)
        except OSError:
            pass
        if how in ("cut", "short", "long", "stall"):
            self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
pathlib.Path(sys.argv[1]).write_text(f"127.0.0.1:{server.server_port}")
server.serve_forever()
