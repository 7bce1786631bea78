#!/usr/bin/env python3
"""Send to every endpoint of the Engine API what it does not expect, and look at what becomes of the engine.

    hostile_api.py SOCKET PID [WORD...]     only requests that contain one of the words
    hostile_api.py --table SWAGGER.yaml     print tests/lib/engine-api.txt from the specification

Each member of each body and each query parameter gets a value of each wrong type, and of its own type the
worst: numbers that overflow, NUL, 1 MB, invalid UTF-8, deep nesting. The image bb:1 must be there.

An answer always comes. Input is never the engine's failure (5xx): a wrong type is 400, with a short message.
Nothing is left: no object, file descriptor or thread. What may differ stands in EXCEPT with its reason; a reason
that is not needed any more is an error.
"""
import io, json, os, re, socket, sys, tarfile, time
from urllib.parse import quote_from_bytes

HERE = os.path.dirname(os.path.abspath(__file__))
MB = 1 << 20
DEEP = 5000
KEPT = 4  # descriptors of idle connections to registries

# (request, member) as regular expressions, statuses that are right: why.
EXCEPT = {
    (r"POST /(containers/create|commit)", r"\.(Cmd|Entrypoint)", (201,)): "one string stands for a list, as with dockerd",
    (r"POST /containers/\{id\}/unpause", r"body", (500,)): "not paused; dockerd says 500",
}

WRONG = {"string": b'"x"', "integer": b"7", "number": b"1.5", "boolean": b"true", "array": b'["x"]', "object": b'{"x":"y"}'}
WORST = {
    "string": [b'""', b'"a\\u0000b"', b'"\xff\xfe"', b'"\\ud800"', b'"../../../x"', b'"a\\nb"', b'"' + b"A" * MB + b'"'],
    "integer": [b"-1", b"0", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
                b"-9223372036854775809", b"4294967296", b"1" + b"0" * 400, b"1e30", b"1.5", b"-0"],
    "number": [b"-1", b"1e308", b"1e400", b"1" + b"0" * 400],
    "boolean": [b"1", b'"true"'],
    "array": [b"[" * DEEP + b"]" * DEEP, b"[" + b"null," * 10000 + b"null]", b"[[]]"],
    "object": [b'{"a":' * DEEP + b"1" + b"}" * DEEP, b'{"' + b"K" * MB + b'":1}', b'{"":""}'],
}
QUERY = [b"", b"x", b"-1", b"1.5", b"99999999999999999999", b"9223372036854775807", b"a\0b", b"\xff\xfe", b"null", b"[]", b"{}",
         b'{"a":1}', b'{"label":{"a":1}}', b'{"label":["\\ud800"]}', b'{"label":"a"}', b"[" * DEEP, b'{"a":' * DEEP, b"A" * 5000,
         b"A" * MB, b"../../x", b"a\r\nX: y", b"%", b"true"]
BODIES = [b"", b"null", b"[]", b"7", b'"x"', b"{", b'{"a":1', b"{}{}", b"{} x", b"\0", b"\xff\xfe", b"[" * 200000, b'{"a":' * 200000,
          b'{"a":"' + b"A" * MB + b'"}', b'{"a":1,"a":2}', b" " * MB, b"{" + b'"k":1,' * 100000 + b'"z":1}']
SEGMENTS = [b"a%00b", b"%ff%fe", b"..%2f..%2fetc", b"%2e%2e", b"A" * 5000, b"%zz", b"%20", b"-", b"@", b"x%0d%0aY:%20z"]


# ---- the specification's table ----

def table(path):
    import yaml
    spec = yaml.load(open(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    def follow(s):
        while "$ref" in s:
            s = spec["definitions"][s["$ref"].split("/")[-1]]
        return s

    def members(s, at, seen, out):
        s = follow(s)
        for part in s.get("allOf", []):
            members(part, at, seen, out)
        kind = s.get("type") or ("object" if "properties" in s else None)
        if at and kind and not s.get("allOf"):
            out.setdefault(at, kind)
        elif at and s.get("allOf"):
            out.setdefault(at, "object")
        if id(s) in seen or at.count(".") > 5:
            return
        seen = seen | {id(s)}
        for name, sub in s.get("properties", {}).items():
            members(sub, f"{at}.{name}", seen, out)
        if isinstance(s.get("additionalProperties"), dict):
            members(s["additionalProperties"], at + "{}", seen, out)
        if kind == "array":
            members(s.get("items", {}), at + "[]", seen, out)

    for path, ops in spec["paths"].items():
        for method, op in ops.items():
            print(method.upper(), path)
            for p in op.get("parameters", []):
                if p["in"] == "query":
                    print(f"\t?{p['name']}\t{p['type']}")
                schema = follow(p.get("schema", {}))
                if p["in"] == "body" and not re.match("/(swarm|nodes|services|tasks|secrets|configs|plugins)", path) and schema.get("type") != "string" and "binary" not in str(schema.get("format")):
                    out = {}
                    members(schema, "", frozenset(), out)
                    for at, kind in out.items():
                        print(f"\t{at}\t{kind}")


def read_table():
    ops = []
    for line in open(os.path.join(HERE, "engine-api.txt")):
        if line.startswith("#"):
            continue
        words = line.split()
        if not line.startswith("\t"):
            ops.append((words[0], words[1], [], []))
        elif words[0].startswith("?"):
            ops[-1][2].append(words[0][1:])
        else:
            ops[-1][3].append((words[0], words[1]))
    return ops


# ---- one request ----

class Engine:
    def __init__(self, path, pid):
        self.path, self.pid, self.n = path, pid, 0

    def send(self, method, target, body=None, headers=(), most=65536):
        """Status and the answer, `most` bytes of it; of a stream what came in the first moment."""
        self.n += 1
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.path)
        head = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: x", b"Connection: close", *headers]
        if body is not None:
            head += [b"Content-Length: %d" % len(body)]
            if not any(h.lower().startswith(b"content-type") for h in headers):
                head += [b"Content-Type: application/json"]
        try:
            s.sendall(b"\r\n".join(head) + b"\r\n\r\n" + (body or b""))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it said no before it had read all
        got = b""
        try:
            while len(got) < most:
                more = s.recv(65536)
                if not more:
                    break
                got += more
                if b"\r\n\r\n" in got:
                    s.settimeout(20 if most > 65536 else 0.05 if got.startswith(b"HTTP/1.1 2") else 5)
                    if b"HTTP/1.1 101" in got or b".docker.raw-stream" in got:
                        break
        except (TimeoutError, ConnectionResetError):
            pass
        s.close()
        m = re.match(rb"HTTP/1\.1 (\d{3}) ", got)
        status = int(m[1]) if m else 0
        text = got.partition(b"\r\n\r\n")[2]
        if b"chunked" in got.partition(b"\r\n\r\n")[0]:
            rest, text = text, b""
            while m := re.match(rb"([0-9a-f]+)\r\n", rest):
                text += rest[m.end():m.end() + int(m[1], 16)]
                rest = rest[m.end() + int(m[1], 16) + 2:]
        return status, text

    def json(self, method, target, body=None):
        status, text = self.send(method, target.encode(), None if body is None else json.dumps(body).encode(), most=64 * MB)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, None

    def counts(self):
        proc = f"/proc/{self.pid}"
        rss = next(int(l.split()[1]) for l in open(f"{proc}/status") if l.startswith("VmRSS"))
        return len(os.listdir(f"{proc}/fd")), len(os.listdir(f"{proc}/task")), rss

    def settled(self):
        """counts() when a second has not changed them: the pools of namespaces and shims are full."""
        last, since, end = self.counts()[:2], time.time(), time.time() + 20
        while time.time() < min(since + 1, end):
            time.sleep(0.1)
            now = self.counts()[:2]
            if now != last:
                last, since = now, time.time()
        return self.counts()

    def objects(self):
        """Names of all that a request could have made."""
        out = set()
        for kind, where, key in (("container", "/containers/json?all=1", "Names"), ("network", "/networks", "Name"),
                                 ("image", "/images/json?all=1", "RepoTags")):
            for x in self.json("GET", where)[1]:
                out |= {f"{kind} {name}" for name in ([x[key]] if isinstance(x[key], str) else x[key] or [x["Id"]])}
        return out | {f"volume {v['Name']}" for v in self.json("GET", "/volumes")[1]["Volumes"] or []}

    # ---- what the requests are about ----

    def ensure(self):
        """A container that runs, one that does not, an exec, a network and a volume, as they were."""
        if self.json("GET", "/containers/run/json")[1].get("State", {}).get("Status") != "running":
            self.send("DELETE", b"/containers/run?force=1")
            self.json("POST", "/containers/create?name=run", {"Image": "bb:1", "Cmd": ["sleep", "9999"], "HostConfig": {"NetworkMode": "none"}})
            self.send("POST", b"/containers/run/start")
        if self.send("GET", b"/containers/idle/json")[0] != 200:
            self.json("POST", "/containers/create?name=idle", {"Image": "bb:1", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}})
        self.send("POST", b"/images/bb:1/tag?repo=victim&tag=1")
        if self.send("GET", b"/networks/net")[0] != 200:
            self.json("POST", "/networks/create", {"Name": "net"})
        if self.send("GET", b"/volumes/vol")[0] != 200:
            self.json("POST", "/volumes/create", {"Name": "vol"})
        self.exec_id = self.json("POST", "/containers/run/exec", {"Cmd": ["true"]})[1]["Id"]

    def clean(self, before):
        for thing in self.objects() - before:
            kind, name = thing.split(" ", 1)
            name = name.lstrip("/")
            where = {"container": "/containers/%s?force=1", "network": "/networks/%s", "volume": "/volumes/%s", "image": "/images/%s?force=1"}
            self.send("DELETE", (where[kind] % name).encode())


# ---- all of them ----

def tar_of(name, text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        t.addfile(info, io.BytesIO(text))
    return out.getvalue()


CONTEXT = tar_of("Dockerfile", b"FROM bb:1\nLABEL a=b\n")
BASE = {
    "POST /containers/create": {"Image": "bb:1"}, "POST /networks/create": {"Name": "made"},
    "POST /containers/{id}/exec": {"Cmd": ["true"]}, "POST /networks/{id}/connect": {"Container": "idle"},
    "POST /networks/{id}/disconnect": {"Container": "idle", "Force": True}, "POST /exec/{id}/start": {"Detach": True},
}
FIXED = {"GET /events": {"until": "1"}, "GET /containers/{id}/stats": {"stream": "0", "one-shot": "1"},
         "POST /images/create": {"fromSrc": "-", "repo": "made"},
         "POST /containers/{id}/stop": {"t": "0"}, "POST /containers/{id}/restart": {"t": "0"}, "POST /commit": {"container": "idle"},
         "GET /containers/{id}/archive": {"path": "/etc"}, "HEAD /containers/{id}/archive": {"path": "/etc"},
         "PUT /containers/{id}/archive": {"path": "/tmp"}, "POST /containers/{id}/rename": {"name": "idle"}}
MADE = {"POST /containers/create": ("/containers/%s?v=1", "Id"), "POST /commit": ("/images/%s?force=1", "Id"),
        "POST /networks/create": ("/networks/%s", "Id"), "POST /volumes/create": ("/volumes/%s", "Name")}
MAKES = "POST /(containers/.*/rename|build$|images/(create|load)|images/.*/tag)"
BREAKS = "DELETE|prune|disconnect|/containers/{id}/(start|stop|restart|kill|rename|pause|connect)|/exec/{id}/start"
RUNNING = ("exec", "top", "stats", "pause", "unpause", "kill", "resize", "update")


def put(doc, at, value, raw):
    """doc with the member `at` set to a token that `raw` later becomes; None where there is no place for it."""
    doc, here = json.loads(json.dumps(doc)), None
    parts = re.findall(r"\.[^.\[\]{}]+|\[\]|\{\}", at)
    top = here = {"": doc}
    key = ""
    for part in parts:
        kind = {"[]": list, "{}": dict}.get(part, dict)
        if not isinstance(here[key], kind):
            here[key] = kind()
        here = here[key]
        if part == "[]":
            here[:] = [None]
            key = 0
        else:
            key = "k" if part == "{}" else part[1:]
            here.setdefault(key, None)
    here[key] = "\x01"
    return json.dumps(top[""]).encode().replace(b'"\\u0001"', value)


def requests(engine):
    """(name of the request, member, value, wrong type?, method, target, body)"""
    for method, path, query, members in read_table():
        name = f"{method} {path}"
        running = path.split("/")[-1] in RUNNING
        ids = {"{id}": "run" if running else "idle", "{name}": "victim:1" if method == "DELETE" else "bb:1"}
        if path.startswith("/networks/"):
            ids["{id}"] = "net"
        if path.startswith("/volumes/"):
            ids["{name}"] = "vol"

        def target(extra=None, at=path, ids=ids, name=name):
            if path.startswith("/exec/"):
                ids["{id}"] = engine.exec_id
            for word, value in ids.items():
                at = at.replace(word, value)
            args = {**FIXED.get(name, {}), **(extra or {})}
            tail = "&".join(f"{k}={quote_from_bytes(v.encode() if isinstance(v, str) else v)}" for k, v in args.items())
            return (at + ("?" + tail if tail else "")).encode()

        for param in query:
            for value in QUERY:
                body = CONTEXT if path in ("/build", "/images/create") else b"{}" if method == "POST" else None
                yield name, "?" + param, value, False, method, target({param: value}), body
        for segment in SEGMENTS if "{" in path else []:
            where = re.sub(r"\{\w+\}", segment.decode(), path)
            yield name, "/", segment, False, method, target(at=where), b"{}" if method == "POST" else None
        if members or method in ("POST", "PUT"):
            for value in BODIES:
                yield name, "body", value, False, method, target(), value
        for member, kind in members:
            base = BASE.get(name, {})
            for other, value in WRONG.items():
                if other != kind and not (kind == "number" and other == "integer"):
                    yield name, member, value, True, method, target(), put(base, member, value, None)
            for value in WORST[kind]:
                yield name, member, value, False, method, target(), put(base, member, value, None)


def short(value):
    return (value[:40] + (b"..." if len(value) > 40 else b"")).decode("latin-1").encode("unicode_escape").decode()


def fault(wrong, status, text):
    """Why this answer is wrong, or None."""
    if status == 0:
        return "no answer"
    if status >= 500 and status not in (501, 503):
        return f"{status} {text[:200]!r}"
    if wrong and status not in (400, 404, 501, 503):
        return f"a wrong type gets {status} {text[:120]!r}"
    if status < 400 or status == 404 and not text:
        return None
    if status == 431 or text.startswith(b"400 Bad Request: "):
        return None  # it is no HTTP, and answered as Go's server does
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return f"{status} is not an error's document: {text[:120]!r}"
    if not message or len(message) > 2000:
        return f"{status} the message is {len(message)} long: {message[:100]!r}"
    return None


def main():
    engine = Engine(sys.argv[1], int(sys.argv[2]))
    words = sys.argv[3:]
    engine.ensure()
    # What is made once and kept: the shim that waits for the next container, connections to registries.
    engine.send("DELETE", b"/containers/run?force=1")
    engine.send("POST", b"/images/bb:1/push")
    engine.send("GET", b"/images/search?term=x")
    engine.send("POST", b"/images/create?fromImage=x&tag=1")
    engine.send("POST", b"/build", CONTEXT)
    engine.ensure()
    before, counts = engine.objects(), engine.settled()
    needed, bad, started = set(), 0, time.time()
    for name, member, value, wrong, method, target, body in requests(engine):
        if words and not any(w in f"{name} {member}" for w in words):
            continue
        status, text = engine.send(method, target, body)
        why = fault(wrong, status, b"" if method == "HEAD" else text) if method != "HEAD" or status >= 500 or status == 0 else None
        if why:
            rule = next((k for k in EXCEPT if re.fullmatch(k[0], name) and re.fullmatch(k[1], member) and status in k[2]), None)
            needed.add(rule)
            if rule is None:
                bad += 1
                print(f"{name} {member}={short(value)}: {why}")
        if status == 201 and name in MADE:
            where, key = MADE[name]
            engine.send("DELETE", (where % json.loads(text)[key]).encode())
        elif 200 <= status < 300:
            if re.search(MAKES, name):
                engine.clean(before)
            if re.search(BREAKS, name):
                engine.ensure()
    if not words:
        for rule in set(EXCEPT) - needed:
            bad += 1
            print("not needed any more:", rule, EXCEPT[rule])
    engine.clean(before)
    engine.send("DELETE", b"/containers/idle")  # and the clients that wait for its start
    engine.ensure()
    left = engine.objects() - before
    for _ in range(10):
        after = engine.settled()
        if after[0] <= counts[0] + KEPT and after[1] <= counts[1]:
            break
    print(f"{engine.n} requests in {time.time() - started:.0f} s; fds {counts[0]} -> {after[0]}, threads {counts[1]} -> "
          f"{after[1]}, memory {counts[2]} -> {after[2]} kB; left: {sorted(left)}")
    if after[0] > counts[0] + KEPT:
        print("open:", [os.readlink(f"/proc/{engine.pid}/fd/{n}") for n in os.listdir(f"/proc/{engine.pid}/fd")])
    sys.exit(bool(bad or left or after[0] > counts[0] + KEPT or after[1] > counts[1]))


if __name__ == "__main__":
    if sys.argv[1] == "--table":
        table(sys.argv[2])
    else:
        main()
