#!/usr/bin/env python3
"""Clients that push beside collections and crashes: pushers.py ADDRESS N SECONDS

N processes push small images for SECONDS, sharing some layers with each other. A push that
is refused or cut is done again, as a client would. What was acknowledged is written down;
at the end every acknowledged manifest and each of its blobs is read and hashed.
Prints "pushed P again A lost L"; exits with 1 when anything was lost.
"""
import hashlib
import http.client
import json
import multiprocessing
import random
import sys
import time

address, n, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
TYPE = "application/vnd.oci.image.manifest.v1+json"


def digest(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


class Refused(Exception):
    pass


class Client:
    def __init__(self):
        self.c = None

    def ask(self, method, path, body=None, headers=None, want=()):
        try:
            if self.c is None:
                self.c = http.client.HTTPConnection(address, timeout=20)
            self.c.request(method, path, body, headers or {})
            r = self.c.getresponse()
            data = r.read()
        except (OSError, http.client.HTTPException) as e:
            self.c = None
            raise Refused(str(e)) from e
        if want and r.status not in want:
            raise Refused(f"{method} {path}: {r.status} {data[:200]!r}")
        return r, data

    def push_blob(self, repo, b):
        d = digest(b)
        if self.ask("HEAD", f"/v2/{repo}/blobs/{d}")[0].status == 200:
            return
        how = random.random()
        if how < 0.3:
            self.ask("POST", f"/v2/{repo}/blobs/uploads/?digest={d}", b, want=(201,))
            return
        at = self.ask("POST", f"/v2/{repo}/blobs/uploads/", b"", want=(202,))[0].getheader("Location")
        if how < 0.6:
            half = len(b) // 2
            self.ask("PATCH", at, b[:half], {"Content-Range": f"0-{half - 1}"}, want=(202,))
            self.ask("PUT", f"{at}?digest={d}", b[half:], {"Content-Range": f"{half}-{len(b) - 1}"}, want=(201,))
        else:
            self.ask("PUT", f"{at}?digest={d}", b, want=(201,))

    def push(self, repo, tag, config, layers):
        for b in (config, *layers):
            self.push_blob(repo, b)
        m = json.dumps({"schemaVersion": 2, "mediaType": TYPE,
                        "config": {"mediaType": "x/y", "digest": digest(config), "size": len(config)},
                        "layers": [{"mediaType": "x/z", "digest": digest(b), "size": len(b)} for b in layers]}).encode()
        self.ask("PUT", f"/v2/{repo}/manifests/{tag}", m, {"Content-Type": TYPE}, want=(201,))
        return m


def pusher(number, until, out):
    c, pushed, again = Client(), [], 0
    random.seed(number)
    while time.time() < until:
        repo, tag = f"load/p{number}", f"t{len(pushed)}"
        config = json.dumps({"pusher": number, "image": len(pushed)}).encode()
        layers = [b"shared %d " % random.randrange(20) * 300, random.randbytes(random.randrange(1, 20000))]
        while len(pushed) == int(tag[1:]):
            try:
                pushed.append((repo, tag, c.push(repo, tag, config, layers)))
                if random.random() < 0.2:  # something for the collector
                    c.push_blob(repo, random.randbytes(500))
                break
            except Refused:
                again += 1
                time.sleep(0.01)
                if time.time() > until + 60:
                    raise
    out.put((pushed, again))


def check(c, repo, reference, manifest):
    """What is missing of an acknowledged image, as text."""
    r, got = c.ask("GET", f"/v2/{repo}/manifests/{reference}")
    if r.status != 200 or got != manifest:
        yield f"{repo}:{reference}: {r.status}"
        return
    m = json.loads(manifest)
    for d in [m["config"]["digest"]] + [x["digest"] for x in m["layers"]]:
        r, got = c.ask("GET", f"/v2/{repo}/blobs/{d}")
        if r.status != 200 or digest(got) != d:
            yield f"{repo}:{reference} {d}: {r.status}"


def main():
    out, until = multiprocessing.Queue(), time.time() + seconds
    all_of_them = [multiprocessing.Process(target=pusher, args=(i, until, out)) for i in range(n)]
    for p in all_of_them:
        p.start()
    pushed, again = [], 0
    for _ in all_of_them:
        some, more = out.get(timeout=seconds + 90)
        pushed += some
        again += more
    for p in all_of_them:
        p.join()
    print("done", flush=True)
    sys.stdin.readline()  # whoever killed servers has stopped
    c, lost = Client(), []
    for repo, tag, manifest in pushed:
        lost += check(c, repo, tag, manifest)
        lost += check(c, repo, digest(manifest), manifest)
    for text in lost[:10]:
        print("lost", text)
    print(f"pushed {len(pushed)} again {again} lost {len(lost)}")
    sys.exit(1 if lost or not pushed else 0)


main()
