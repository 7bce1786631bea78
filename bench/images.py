"""Images: pull, push, save, load, import, export, over loopback registries of ours."""
import os
import shutil

import peers
from measure import Row, both, measure
from peers import Peer, have, sh, start_proa_registry


def big_tree():
    """About 400 MB in 20,000 files."""
    d = peers.work / "big"
    noise = os.urandom(1 << 20)
    for i in range(20000):
        f = d / f"d{i % 200}" / f"f{i}"
        f.parent.mkdir(parents=True, exist_ok=True)
        at = (i * 7919) % (len(noise) - 10240)
        f.write_bytes(noise[at:at + 10240] + b"\0" * 10240)
    return d


def layered_tree():
    """Thirty directories of about 1 MB in 30 files each, and a layer for each."""
    d = peers.work / "layered"
    for i in range(30):
        (d / f"l{i}").mkdir(parents=True)
        for j in range(30):
            (d / f"l{i}/f{j}").write_bytes(os.urandom(17000) + b"0" * 17000)
    (d / "Dockerfile").write_text("FROM scratch\n" + "".join(f"COPY l{i} /l{i}\n" for i in range(30)))
    return d


def seed(proa, registry):
    """big:1, one layer of 400 MB in 20,000 files, and layered:1, thirty of 1 MB, into a registry."""
    tar = peers.work / "big.tar"
    sh(["tar", "-C", big_tree(), "--owner=0", "--group=0", "--sort=name", "-cf", tar, "."])
    proa.do("import", str(tar), f"{registry}/big:1")
    proa.do("build", "-q", "-t", f"{registry}/layered:1", str(layered_tree()))
    for name in ("big", "layered"):
        proa.do("push", "-q", f"{registry}/{name}:1")
        proa.do("rmi", "-f", f"{registry}/{name}:1")
    proa.do("builder", "prune", "-af")
    proa.do("image", "prune", "-af")


class Skopeo(Peer):
    """It copies into a directory and unpacks nothing."""

    def __init__(self):
        super().__init__("skopeo", ["skopeo"])

    def move(self, verb, ref):
        d = peers.work / ("skopeo-" + ref.split("/")[-1].replace(":", "-"))
        if verb == "pull":
            self.do("copy", "-q", "--src-tls-verify=false", f"docker://{ref}", f"dir:{d}")
        elif verb == "push":
            self.do("copy", "-q", "--dest-tls-verify=false", f"dir:{d}", f"docker://{ref}")
        else:
            shutil.rmtree(d, ignore_errors=True)

    def tag(self, ref, new):
        to, d = (peers.work / ("skopeo-" + r.split("/")[-1].replace(":", "-")) for r in (new, ref))
        to.symlink_to(d)


class Store:
    """An engine's images."""

    def __init__(self, peer):
        self.peer, self.name, self.account = peer, peer.name, peer.account

    def move(self, verb, ref):
        flags = ["--tls-verify=false"] if self.name == "podman" and verb in ("pull", "push") else []
        self.peer.do(verb, *flags, *(["-f"] if verb == "rmi" else []), ref, check=verb != "rmi")

    def tag(self, ref, new):
        self.peer.do("tag", ref, new)


def w_images(engines, n):
    source, _ = start_proa_registry()
    seed(engines[0], source)
    n = max(1, n // 4)
    engines = [p for p in engines if "docker CLI" not in p.name]
    stores = [Store(p) for p in engines]
    movers = stores + ([Skopeo()] if have("skopeo") else [])
    for m in movers:
        # Of its own: whoever comes second would find the first one's blobs.
        m.sink, _ = start_proa_registry(f"sink-{m.name}")
    yield from pulls(movers, source, n)
    yield from pushes(movers, source)
    yield from archives(engines, f"{source}/big:1", n)


def pulls(movers, source, n):
    for number, name, title, less in (("4b", "big", "400 MB in 20,000 files, one layer", 0.25),
                                      ("4d", "layered", "30 layers of 1 MB", 0.15)):
        ref = f"{source}/{name}:1"
        results = measure(movers, n, lambda m: m.move("pull", ref), before=lambda m: m.move("rmi", ref))
        # Not a peer to be measured against: it unpacks nothing.
        yield Row(number, f"pull and unpack: {title}", {"skopeo (blobs only)" if k == "skopeo" else k: v for k, v in results.items()},
                  target=both(less))


def pushes(movers, source):
    def retag(m, ref, name):
        m.push_as = f"{m.sink}/{name}:1"
        m.tag(ref, m.push_as)
    for number, name, title, less in (("4a, held", "big", "400 MB in one layer, which was pulled", 0.05),
                                      ("4c", "layered", "30 layers of 1 MB, which were pulled", 0.25)):
        yield Row(number, f"push of {title}",
                  measure(movers, 1, lambda m: m.move("push", m.push_as),
                          before=lambda m: retag(m, f"{source}/{name}:1", f"pushed-{name}")),
                  target=both(less), note="One round, each into a registry of its own.")
    stores = [m for m in movers if m.name != "skopeo"]
    tar = new_layer()

    def imported(s):
        s.push_as = f"{s.sink}/imported:1"
        s.peer.do("import", str(tar), s.push_as)
    yield Row("4a", "first push of 400 MB in one layer, which was imported",
              measure(stores, 1, lambda s: s.move("push", s.push_as), before=imported), target=both(0.35),
              note="One round, into an empty place of the registry: compression is in it, unless import has done it (6c).")
    tar.unlink()
    for s in stores:
        for name in ("pushed-big", "pushed-layered", "imported"):
            s.move("rmi", f"{s.sink}/{name}:1")


def new_layer():
    """The large tar with one more file: a layer that no store and no registry knows."""
    tar, more = peers.work / "new.tar", peers.work / "more"
    more.write_bytes(os.urandom(4096))
    shutil.copy(peers.work / "big.tar", tar)
    sh(["tar", "-C", peers.work, "--owner=0", "--group=0", "-rf", tar, "more"])
    return tar


def archives(engines, ref, n):
    saved = {p.name: peers.work / f"saved-{p.name}.tar" for p in engines}

    def unlink(p):
        saved[p.name].unlink(missing_ok=True)
    yield Row("6a", "save of 400 MB to a file",
              measure(engines, n, lambda p: p.do("save", "-o", str(saved[p.name]), ref), before=unlink), target=both(0.15))
    yield Row("6d", "load of it",
              measure(engines, n, lambda p: p.do("load", "-q", "-i", str(saved[p.name])),
                      before=lambda p: p.do("rmi", "-f", ref, check=False)), target=both(0.15))
    for p in engines:
        unlink(p)
        p.do("create", "--name", f"export-{p.key}", "--network=none", ref, "true")
    yield Row("6b", "export of a container of it",
              measure(engines, n, lambda p: p.do("export", "-o", str(saved[p.name]), f"export-{p.key}"), after=unlink),
              target=both(0.35))
    for p in engines:
        p.do("rm", f"export-{p.key}")
    yield Row("6c", "import of the tar",
              measure(engines, n, lambda p: p.do("import", str(peers.work / "big.tar"), "bench/imported:1"),
                      before=lambda p: p.do("rmi", "-f", "bench/imported:1", check=False)), target=both(0.25))
