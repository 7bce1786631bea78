"""What the ways to a container carry (bench/net.c)."""
import signal
import time

import peers
from measure import Row, measure
from peers import sh

RATES = (("stream", "Gbit/s", max), ("round trips", "1/s", max), ("connections", "1/s", max))
PARITY = dict.fromkeys((m[0] for m in RATES), 0.9)  # a tenth is this machine's noise
MODES = ("stream", "rr", "connect")
PORT = "5001"
SECONDS = "1"


class Loopback:
    """The bench's own loopback: what the kernel gives without a container."""
    name = "loopback"

    def __init__(self):
        self.account = peers.Account(self.name)
        self.address, self.port = "127.0.0.1", "5999"
        self.server = peers.spawn([peers.work / "busybox/bin/net", "serve", self.port], peers.work / "net.log")

    def end(self):
        peers.processes.remove(self.server)
        self.server.send_signal(signal.SIGTERM)
        self.server.wait()


def start(p, port):
    """A server in a container, published, and a second container for clients."""
    for name in (f"net-{p.key}", f"from-{p.key}"):
        p.do("rm", "-f", name, check=False)
    p.do("run", "-d", "--name", f"net-{p.key}", "-p", f"{port}:{PORT}", "bench/busybox", "net", "serve", PORT)
    p.do("run", "-d", "--name", f"from-{p.key}", "bench/busybox", "sleep", "10000")
    p.address, p.gateway = p.do("inspect", "-f", "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}",
                                f"net-{p.key}").split()
    p.published = str(port)
    time.sleep(0.2)


def w_network(engines, n):
    engines = [p for p in engines if "CLI" not in p.name]
    peers.give_busybox(engines)
    n = max(1, n // 2)
    for i, p in enumerate(engines):
        start(p, 18000 + i)
    own = Loopback()

    def three(where, by=None):
        """A function that measures all modes to where(peer), from the host or by a container."""
        def run(p):
            rates = []
            for mode in MODES:
                host, port = where(p)
                if by:
                    rates.append(float(p.do("exec", by(p), "net", mode, host, port, SECONDS)))
                else:
                    rates.append(float(sh([peers.work / "busybox/bin/net", mode, host, port, SECONDS], timeout=20)))
            return rates
        return run

    def row(number, title, run, extra=()):
        return Row(number, title, measure([*engines, *extra], n, run, sample=tuple), metrics=RATES, target=PARITY)
    yield row("7a", "from the host to the container's address",
              three(lambda p: (p.address, PORT) if p is not own else (own.address, own.port)), extra=[own])
    yield row("7b", "to a published port at 127.0.0.1", three(lambda p: ("127.0.0.1", p.published)))
    yield row("7c", "to a published port at the bridge's address", three(lambda p: (p.gateway, p.published)))
    yield row("7d", "from a container to another", three(lambda p: (p.address, PORT), lambda p: f"from-{p.key}"))
    own.end()
    for p in engines:
        p.do("rm", "-f", f"net-{p.key}", f"from-{p.key}", check=False)
