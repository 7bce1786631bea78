"""One row of the tables: what was measured, for whom, and what was aimed at."""
import dataclasses
import statistics
import time

# Ours, and what does less than the work: no peers to be measured against.
NO_PEER = ("proa", "proa-runtime", "proa-registry", "proad + docker CLI", "floor", "loopback", "skopeo (blobs only)")


@dataclasses.dataclass
class Row:
    """results: {peer: [sample]} or {peer: why it failed}. A sample holds a number for each metric.

    metrics: (name, unit, which is better). target: {metric: ratio to the best peer}; limit: {metric: number}."""
    number: str
    title: str
    results: dict
    note: str = ""
    target: dict = dataclasses.field(default_factory=dict)
    limit: dict = dataclasses.field(default_factory=dict)
    metrics: tuple = (("wall", "ms", min), ("CPU", "ms", min))

    def median(self, name, metric):
        samples = self.results[name]
        if isinstance(samples, str) or not samples:
            return None
        at = [m[0] for m in self.metrics].index(metric)
        return statistics.median(s[at] for s in samples)

    def best(self, metric):
        """The best peer's median in this metric, or None."""
        better = next(m[2] for m in self.metrics if m[0] == metric)
        return better((v for n in self.results if n not in NO_PEER and (v := self.median(n, metric))), default=None)

    def ratio(self, name, metric):
        mine, best = self.median(name, metric), self.best(metric)
        return mine / best if mine is not None and best else None

    def ours(self):
        return next((n for n in self.results if n in ("proa", "proa-runtime", "proa-registry")), None)


def both(ratio):
    """A target for the wall clock and for CPU."""
    return {"wall": ratio, "CPU": ratio}


def measure(peers, rounds, run, before=None, after=None, sample=None):
    """{peer: [(wall ms, CPU ms)]}, or why the peer cannot do it; in each round every peer has its turn.

    With sample, what that makes of run's result instead of the two times."""
    results = {p.name: [] for p in peers}
    for _ in range(rounds):
        for p in peers:
            if not isinstance(results[p.name], str):
                measure_once(results, p, run, before, after, sample)
    return results


def measure_once(results, p, run, before, after, sample):
    try:
        if before:
            before(p)
        if p.account.clients:
            p.account.enter()
        c, t = p.account.ns(), time.monotonic()
        got = run(p)
        wall = time.monotonic() - t
        results[p.name].append(sample(got) if sample else (wall * 1e3, (p.account.ns() - c) / 1e6))
    except (RuntimeError, OSError) as e:
        results[p.name] = str(e).strip().split("\n")[-1][:90]
    finally:
        if after:
            after(p)
