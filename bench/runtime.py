"""The runtimes alone, from a bundle, and the floor."""
import json

import peers
from measure import Row, both, measure
from peers import Peer, have, sh


def make_bundle():
    bundle = peers.work / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    sh(["tar", "-C", bundle / "rootfs", "-xf", peers.busybox_tar()])
    sh([peers.build / "src/main/proa-runtime", "spec", "--bundle", bundle])
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=["/bin/true"])
    spec["root"] = {"path": "rootfs"}
    spec["ociVersion"] = "1.0.2"  # crun 1.8 knows no newer one
    (bundle / "config.json").write_text(json.dumps(spec))
    return bundle, spec


def w_runtime(engines, n):
    del engines
    bundle, spec = make_bundle()
    runtimes = [Peer(name, [path]) for name, path in
                [("proa-runtime", str(peers.build / "src/main/proa-runtime")), ("crun", "crun"), ("runc", "runc")] if have(path)]
    peers.compile_c("floor", peers.work / "floor")
    floor = Peer("floor", [str(peers.work / "floor")])

    def do(p, verb, *words):
        sh([p.cli[0], "--root", str(peers.work / f"run/{p.name}"), verb, *words], account=p.account)

    def run(p):
        if p is floor:
            sh([p.cli[0], str(bundle / "rootfs"), "/bin/true"], account=p.account)
        else:
            do(p, "run", "--bundle", str(bundle), f"bench-{p.name}")
    yield Row("1a", "run of true in a bundle, all namespaces", measure([*runtimes, floor], n * 5, run), target=both(0.5))

    def life(p):
        do(p, "create", "--bundle", str(bundle), f"bench-{p.name}")
        do(p, "start", f"bench-{p.name}")
        do(p, "delete", "--force", f"bench-{p.name}")
    yield Row("1c", "create, start and delete, in sum", measure(runtimes, n * 3, life), target=both(0.5))
    spec["linux"]["namespaces"] = [x for x in spec["linux"]["namespaces"] if x["type"] != "network"]
    (bundle / "config.json").write_text(json.dumps(spec))
    yield Row("1b", "run of true, the host's network namespace", measure(runtimes, n * 5, run), target=both(0.5))
