"""Containers: run, exec, the API, lists, logs, cp, memory."""
import http.client
import json
import os
import pathlib
import socket
import time

import peers
from measure import Row, both, measure
from peers import give_busybox, sh

IMAGE = "bench/busybox"


def w_run(engines, n):
    give_busybox(engines)
    targets = {"bridge": ("2a", {"wall": 45, "CPU": 35}), "none": ("2b", {"wall": 30, "CPU": 25}), "host": ("2c", {})}
    for net, (number, limit) in targets.items():
        yield Row(number, f"run --rm busybox true, network {net}",
                  measure(engines, n, lambda p: p.do("run", "--rm", f"--network={net}", IMAGE, "true")),
                  target={"CPU": 0.12}, limit=limit)
    yield Row("2e", "version: what the client costs", measure(engines, n * 3, lambda p: p.do("version")), target=both(0.1),
              note="podman's has no engine to ask.")


def w_exec(engines, n):
    give_busybox(engines)
    for p in engines:
        p.do("run", "-d", "--name", f"exec-{p.key}", IMAGE, "sleep", "10000")
    yield Row("2k", "exec true", measure(engines, n, lambda p: p.do("exec", f"exec-{p.key}", "true")), target=both(0.12))
    for p in engines:
        p.do("rm", "-f", f"exec-{p.key}")


class Unix(http.client.HTTPConnection):
    """HTTP over an engine's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))

    def ask(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        r = self.getresponse()
        data = r.read()
        if r.status >= 300:
            raise RuntimeError(f"{path}: {r.status} {data[:60]!r}")
        return json.loads(data) if data[:1] == b"{" else data


def w_api(engines, n):
    give_busybox(engines)
    served = [p for p in engines if p.sock and "CLI" not in p.name]

    def ping(p):
        c = Unix(p.sock)
        for _ in range(1000):
            c.ask("GET", "/_ping")
        c.close()
    yield Row("2l", "1,000 × GET /_ping on one connection", measure(served, n, ping), target=both(0.3),
              note="The wall clock holds the client's part, which is Python's.")
    for net, number in (("bridge", "2d"), ("none", "2d, none")):
        def life(p):
            c = Unix(p.sock)
            cid = c.ask("POST", "/v1.41/containers/create", {"Image": IMAGE, "Cmd": ["true"],
                                                             "HostConfig": {"NetworkMode": net}})["Id"]
            c.ask("POST", f"/v1.41/containers/{cid}/start")
            c.ask("POST", f"/v1.41/containers/{cid}/wait")
            c.ask("DELETE", f"/v1.41/containers/{cid}")
            c.close()
        yield Row(number, f"API: create, start, wait, remove; network {net}", measure(served, n, life), target=both(0.1))


def field(pid, name, file="status"):
    for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def w_memory(engines, n):
    """Engines at rest and the process beside each container."""
    del n
    give_busybox(engines)
    metrics = (("RSS", "MB", min), ("PSS", "MB", min))

    def resident(pid):
        return field(pid, "VmRSS") / 1024, field(pid, "Pss", "smaps_rollup") / 1024
    engines = [p for p in engines if "CLI" not in p.name]
    served = {p.name: [resident(p.pid)] for p in engines if p.pid}
    # dockerd's containerd is a part of its engine.
    for p in engines:
        if p.name == "docker":
            child = int(sh(["pgrep", "-P", str(p.pid), "containerd"]).split()[0])
            served["docker"] = [tuple(a + b for a, b in zip(served["docker"][0], resident(child)))]
    yield Row("2h", "the engine when idle", served, metrics=metrics, limit={"RSS": 8}, note="docker: dockerd and its containerd.")
    helpers = {}
    for p in engines:
        p.do("run", "-d", "--name", f"mem-{p.key}", IMAGE, "sleep", "10000")
        time.sleep(0.5)
        helpers[p.name] = [resident(field(p.do("inspect", "-f", "{{.State.Pid}}", f"mem-{p.key}").strip(), "PPid"))]
        p.do("rm", "-f", f"mem-{p.key}")
    yield Row("2i", "the process beside a running container", helpers, metrics=metrics, target={"PSS": 0.5})


def w_parallel(engines, n):
    give_busybox(engines)

    def at_once(count):
        def run(p):
            jobs = [p.start("run", "--rm", IMAGE, "true") for _ in range(count)]
            failed = sum(os.waitpid(j, 0)[1] != 0 for j in jobs)
            if failed:
                raise RuntimeError(f"{failed} of {count} failed")
        return run
    yield Row("2f", "10 × run --rm in parallel", measure(engines, max(1, n // 3), at_once(10)), target=both(0.12))
    yield Row("2g", "50 × run --rm in parallel", measure(engines, max(1, n // 4), at_once(50)), target=both(0.12))
    names = [f"seq-{i}" for i in range(50)]

    def one_by_one(p):
        for name in names:
            p.do("run", "-d", "--name", f"{name}-{p.key}", IMAGE, "sleep", "10000")

    def remove(p):
        p.do("rm", "-f", *(f"{name}-{p.key}" for name in names))
    yield Row("2j", "50 × run -d, one after the other", measure(engines, 1, one_by_one), target=both(0.12))
    yield Row("2j, rm", "rm -f of the 50", measure(engines, 1, remove), target=both(0.12))


def w_lists(engines, n):
    give_busybox(engines)
    few = max(1, n // 3)
    for p in engines:
        if "CLI" in p.name:
            continue  # the same engine's
        for i in range(200):
            p.do("import", str(tiny_tar(i)), f"bench/many:{i}")
            p.do("create", "--name", f"many-{i}", "--network=none", IMAGE, "true")
    yield Row("6e", "images, 200 of them", measure(engines, few, lambda p: p.do("images")), target=both(0.08))
    yield Row("6f", "ps -a, 200 containers", measure(engines, n, lambda p: p.do("ps", "-a")), target=both(0.08))
    yield Row("6g", "inspect of one of 200", measure(engines, n, lambda p: p.do("inspect", "many-77")), target=both(0.12))
    for p in engines:
        if "CLI" not in p.name:
            p.do("rm", *(f"many-{i}" for i in range(200)))
            p.do("rmi", *(f"bench/many:{i}" for i in range(200)), check=False)


def tiny_tar(i):
    path = peers.work / f"tiny-{i}.tar"
    if not path.exists():
        (peers.work / "tiny").write_text(str(i))
        sh(["tar", "-C", peers.work, "-cf", path, "tiny"])
    return path


def w_logs(engines, n):
    give_busybox(engines)
    n = max(1, n // 3)
    long_line = "x" * 99
    for number, title, command, written, read in (
            ("6i", "1,000,000 short lines", ["seq", "1000000"], 0.4, 0.08),
            ("6k", "1,000,000 lines of 100 bytes", ["sh", "-c", f"yes {long_line} | head -n 1000000"], 0.4, 0.08)):
        def run(p, command=command):
            p.do("run", "--name", f"log-{p.key}", "-d", IMAGE, *command)
            p.do("wait", f"log-{p.key}")
        yield Row(number, f"a container prints {title}",
                  measure(engines, n, run, before=lambda p: p.do("rm", "-f", f"log-{p.key}", check=False)), target=both(written))
        yield Row("6j" if number == "6i" else "6k, logs", f"logs of {title}",
                  measure(engines, n, lambda p: p.do("logs", f"log-{p.key}")), target=both(read))
    for p in engines:
        p.do("rm", "-f", f"log-{p.key}", check=False)


def w_cp(engines, n):
    give_busybox(engines)
    n = max(1, n // 3)
    big = peers.work / "200MB"
    with open("/dev/urandom", "rb") as noise, open(big, "wb") as f:
        for _ in range(200):
            f.write(noise.read(1 << 20))
    for p in engines:
        p.do("run", "-d", "--name", f"cp-{p.key}", IMAGE, "sleep", "10000")
    yield Row("6h", "cp of 200 MB into a container", measure(engines, n, lambda p: p.do("cp", str(big), f"cp-{p.key}:/big")),
              target=both(0.4))
    out = peers.work / "out"

    def same(p):
        sh(["cmp", big, out])
        out.unlink()
        del p
    yield Row("6h, out", "cp of 200 MB out of it", measure(engines, n, lambda p: p.do("cp", f"cp-{p.key}:/big", str(out)), after=same),
              target=both(0.4))
    for p in engines:
        p.do("rm", "-f", f"cp-{p.key}")
    big.unlink()
