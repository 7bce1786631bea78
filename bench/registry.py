"""Registries: ours beside docker-registry. CPU is the server's alone."""
import hashlib
import json
import os
import pathlib
import statistics
import subprocess

import peers
from measure import Row, both, measure
from peers import Account, have, sh, spawn, start_proa_registry, wait_for

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Server:
    """A registry under test. Its account holds the server alone, so CPU is the server's."""

    def __init__(self, name, start):
        self.name, self.account = name, Account(name, clients=False)
        self.at, self.pid = start(self.account)
        self.idle_mb = self.megabytes("VmRSS")

    def megabytes(self, key):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        return 0

    def upload(self, path, digest):
        where = sh(["curl", "-sf", "-o", "/dev/null", "-w", "%header{location}", "-X", "POST",
                    f"http://{self.at}/v2/bench/blobs/uploads/"])
        where = where if where.startswith("http") else f"http://{self.at}{where}"
        sh(["curl", "-sf", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-T", path,
            where + ("&" if "?" in where else "?") + f"digest={digest}"])

    def tag(self, path, tag):
        sh(["curl", "-sf", "-X", "PUT", "-H", f"Content-Type: {MANIFEST_TYPE}", "--data-binary", f"@{path}",
            f"http://{self.at}/v2/bench/manifests/{tag}"])


def start_docker_registry(account):
    d = peers.work / "peer-registry"
    d.mkdir()
    port = 20000 + os.getpid() % 20000
    (peers.work / "registry.yml").write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                                       f"storage: {{filesystem: {{rootdirectory: {d}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n")
    p = spawn(["docker-registry", "serve", peers.work / "registry.yml"], log=peers.work / "peer-registry.log", account=account)
    wait_for(lambda: sh(["curl", "-sf", f"http://127.0.0.1:{port}/v2/"]))
    return f"127.0.0.1:{port}", p.pid


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def registry_image(servers):
    """A config, a layer of 100 MB and their manifest on every server; the digests."""
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    (peers.work / "config").write_bytes(config)
    layer = sha256((peers.work / "blob").read_bytes())
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE,
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config), "size": len(config)},
                           "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 100 << 20}]}).encode()
    (peers.work / "manifest").write_bytes(manifest)
    for s in servers:
        s.upload(peers.work / "config", sha256(config))
        s.upload(peers.work / "blob", layer)
        s.tag(peers.work / "manifest", "t")
    return layer, sha256(manifest)


def requests(servers, path, connections, rounds=3):
    """Requests a second, and the server's CPU for each, by wrk."""
    def ask(s):
        before = s.account.ns()
        out = sh(["wrk", "-t1", f"-c{connections}", "-d2", "-H", f"Accept: {MANIFEST_TYPE}", f"http://{s.at}/v2/bench/{path}"])
        if "Non-2xx" in out:
            raise RuntimeError(f"{path} is refused")
        n = int(next(x.split()[0] for x in out.splitlines() if "requests in" in x))
        rate = float(next(x.split()[1] for x in out.splitlines() if x.startswith("Requests/sec")))
        return rate, (s.account.ns() - before) / 1e6 / n
    return measure(servers, rounds, ask, sample=tuple)


def start_servers():
    servers = [Server("proa-registry", lambda account: start_proa_registry("registry-measured", account))]
    if have("docker-registry"):
        servers.append(Server("docker-registry", start_docker_registry))
    return servers


class Blob:
    """100 MB that no server has seen."""

    def __init__(self):
        self.bytes, self.path, self.digest = bytearray(os.urandom(100 << 20)), peers.work / "blob", None

    def renew(self, _):
        self.bytes[:8] = os.urandom(8)
        self.path.write_bytes(self.bytes)
        self.digest = sha256(self.bytes)


def small_blobs(s):
    for _ in range(30):
        (peers.work / "small").write_bytes(os.urandom(4096))
        s.upload(peers.work / "small", sha256((peers.work / "small").read_bytes()))


def get(s, layer, parallel):
    """MB/s that arrive, and the server's CPU for each MB, in ms."""
    one = ["curl", "-sf", "-o", "/dev/null", "-w", "%{time_total}", f"http://{s.at}/v2/bench/blobs/{layer}"]
    before = s.account.ns()
    running = [subprocess.Popen(one, stdout=subprocess.PIPE) for _ in range(parallel)]
    seconds = [float(p.communicate()[0] or 0) for p in running]
    if any(p.returncode for p in running):
        raise RuntimeError("a GET failed")
    return 100 * parallel / max(seconds), (s.account.ns() - before) / 1e6 / (100 * parallel)


def w_registry_server(engines, n):
    del engines
    if not have("wrk"):
        print("bench: registry left out: it needs wrk")
        return
    servers, blob = start_servers(), Blob()
    yield Row("4e, push", "push of a 100 MB blob", measure(servers, min(n, 5), lambda s: s.upload(blob.path, blob.digest), before=blob.renew),
              note="Two calls of curl.")
    yield Row("4e, small", "push of 30 blobs of 4 KiB", measure(servers, min(n, 5), small_blobs), note="60 calls of curl.")
    layer, manifest = registry_image(servers)
    peak = {s.name: s.megabytes("VmHWM") for s in servers}
    rates = (("rate", "MB/s", max), ("CPU", "ms/MB", min))
    for number, parallel in (("4e", 1), ("4e, 8", 8)):
        yield Row(number, f"GET of 100 MB, {parallel} at once", measure(servers, n, lambda s: get(s, layer, parallel), sample=tuple),
                  metrics=rates, target={"rate": 1.3, "CPU": 0.3})
    rates = (("rate", "requests/s", max), ("CPU", "ms/request", min))
    for number, path, connections in (("4f", "manifests/t", 16), ("4f, digest", f"manifests/{manifest}", 16), ("4f, c=1", "manifests/t", 1)):
        yield Row(number, f"GET of a manifest by {'tag' if path.endswith('/t') else 'digest'}, {connections} connection{'s'[:connections > 1]}",
                  requests(servers, path, connections), metrics=rates,
                  target={"rate": 25} if connections > 1 else {}, limit={"CPU": 0.05})
    yield Row("4g", "the server's memory: when idle, at most after pushes, at most in all",
              {s.name: [(s.idle_mb, peak[s.name], s.megabytes("VmHWM"))] for s in servers},
              metrics=(("idle", "MB", min), ("pushes", "MB", min), ("all", "MB", min)), target={"idle": 0.2, "pushes": 0.15})
