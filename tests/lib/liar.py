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
GET /wire answers the bytes of blobs sent since the start.
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
wire = 0


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
    diff = digest(tar if how != "diffid" else b"something else")
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
    if how == "config":
        config = b"{" * 200
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(blob),
                            "size": len(blob) + (7 if how == "size" else 0)}]}
    if how == "huge":
        manifest["annotations"] = {"x": "y" * (8 << 20)}
    return json.dumps(manifest).encode(), {digest(config): config, digest(blob): blob}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body, kind="application/octet-stream", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind.endswith("manifest.v1+json"):
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = lambda self: self.do_GET()

    def do_GET(self):
        if self.path == "/wire":
            return self.answer(str(wire).encode())
        if self.path.rstrip("/") == "/v2":
            return self.answer(b"{}", "application/json")
        _, _, how, kind, name = self.path.split("/")
        manifest, blobs = image(how)
        if kind == "manifests":
            return self.answer(manifest, "application/vnd.oci.image.manifest.v1+json")
        body = blobs.get(name)
        if body is None:
            return self.answer(b"{}", "application/json", 404)
        if body.startswith(b"{"):
            return self.answer(body)
        self.blob(how, body)

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
        self.end_headers()
        if how == "cut":
            part = part[:100000]
        elif how in ("short", "stall"):
            part = part[:len(part) // 2]
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
