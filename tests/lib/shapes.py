#!/usr/bin/env python3
"""The same requests to dockerd and to proad: status, headers and the shape of every answer.

    shapes.py DOCKERD.sock PROAD.sock [FLOW...]

A flow is a list of steps; a step is (method, path, body, what to remember). A shape is the tree of
keys and types; of a list the first element counts. Both engines need the image busybox:latest.
What may differ stands in EXCEPT with its reason; a reason that is not needed any more is an error.
"""
import base64, http.client, io, json, re, socket, sys, tarfile, time

V = "/v1.41"
HEADERS = ("content-type", "x-docker-container-path-stat", "api-version", "ostype", "docker-experimental")
# Keys below these are names of the user's or the machine's.
FREE = ("Labels", "Networks", "Ports", "Options", "Containers", "Volumes", "IndexConfigs", "Attributes", "Runtimes",
        "ExposedPorts", "Data", "stats", "networks", "DriverOpts", "Sysctls")

# (flow, path of the request, path in the answer) as regular expressions: why.
TIMING = "sometimes: "
LATER = "400 in later dockerds, and here"
EXCEPT = {
    (r".*", r".*", r"header api-version"): "proad speaks 1.51, dockerd 20.10 speaks 1.41",
    (r".*", r".*", r".*\.(GwPriority|DNSNames)"): "members of later APIs, which clients skip",
    (r".*", r"/containers/.*", r"\.HostConfig\.KernelMemory(TCP)?"): "kernel memory limits went with API 1.42",
    (r"system", r"/info", r"\.KernelMemory(TCP)?"): "kernel memory limits went with API 1.42",
    (r"system", r"/info", r"\.CDISpecDirs"): "a member of API 1.43",
    (r"system", r"/info", r"\.DriverStatus"): "proa's snapshots have no status of their own",
    (r"system", r"/system/df", r"\.BuildCache"): "[] when there is none, as in later dockerds",
    (r".*", r"/networks.*", r".*\.EnableIPv4"): "a member of API 1.47",
    (r"bare", r".*", r"\.HostConfig\.Runtime"): "dockerd names the runtime only where a HostConfig came",
    (r"system", r"/nosuch", r"header (ostype|docker-experimental)"): "proad has them on every answer",
    (r"system", r"/containers/json\?.*", r"status"): LATER,
    (r"images", r"/build\?version=1", r"status"): LATER,
    (r"networks", r"/networks/shape-net/disconnect", r"status"): "not connected is 403 as in later dockerds, not 500",
    (r"events", r"/events\?since=0.*", r"status"): "an unknown filter is an error everywhere",
    (r"full", r"/containers/\{c\}/json", r"\.State\.Health\.Log|\.ExecIDs"): TIMING + "how often it was probed until then",
    (r"absent", r"/containers/absent/attach.*", r".*"): "proad says 404 before it takes the connection over",
    (r"absent", r"/images/absent/push", r"status"): "a push without X-Registry-Auth is anonymous, as in later dockerds",
    (r"images", r"/images/shape-built:1/json", r"\.ContainerConfig\..*"): "no container is committed by a build",
}


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("x", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def tar_of(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class Engine:
    def __init__(self, sock):
        self.sock, self.names = sock, {"since": str(int(time.time()) - 600)}

    def ask(self, method, path, body):
        self.names["until"] = str(int(time.time()) + 1)
        path = re.sub(r"\{(\w+)\}", lambda m: self.names.get(m[1], "absent"), path)
        if isinstance(body, (dict, list)):
            body = re.sub(r"\{(\w+)\}", lambda m: self.names.get(m[1], m[0]), json.dumps(body)).encode()
            kind = {"Content-Type": "application/json"}
        elif isinstance(body, str):
            body, kind = body.encode(), {"Content-Type": "application/json"}
        else:
            kind = {"Content-Type": "application/x-tar"} if body is not None else {}
        c = Unix(self.sock)
        c.request(method, path if path.startswith("/_") else V + path, body=body, headers=kind)
        r = c.getresponse()
        data = r.read()
        heads = {k.lower(): v for k, v in r.getheaders()}
        c.close()
        return r.status, heads, data


def decoded(heads, data):
    """JSON, or a list of the objects of a stream, or None."""
    text = data.decode("utf-8", "replace").strip()
    if not text or text[0] not in "{[":
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return None


def type_of(v):
    return {type(None): "null", bool: "bool", int: "number", float: "number", str: "string", list: "list", dict: "object"}[type(v)]


def compare(a, b, path, out):
    ta, tb = type_of(a), type_of(b)
    if ta != tb:
        out.append((path, "%s in dockerd, %s in proad" % (ta, tb)))
    elif ta == "object":
        free = path.split(".")[-1] in FREE
        for k in sorted(set(a) | set(b)):
            if k in a and k in b:
                compare(a[k], b[k], path + "." + k, out)
            elif not free:
                out.append((path + "." + k, "only in " + ("dockerd" if k in a else "proad")))
    elif ta == "list":
        if a and b:
            compare(a[0], b[0], path + "[]", out)
        elif bool(a) != bool(b):
            out.append((path, "%d elements in dockerd, %d in proad" % (len(a), len(b))))


def compare_stream(a, b, out):
    def kinds(objects):
        return {tuple(sorted(o)) + ((o.get("Type", ""), o.get("Action", "").split(":")[0]) if "Action" in o else ())
                for o in objects}
    for k in sorted(kinds(a) ^ kinds(b), key=str):
        out.append(("stream", "only in %s: %s" % ("dockerd" if k in kinds(a) else "proad", " ".join(k))))


def differences(step, a, b):
    out = []
    if a[0] != b[0]:
        out.append(("status", "%d in dockerd, %d in proad: %s | %s" % (a[0], b[0], a[2][:200], b[2][:200])))
    for h in HEADERS:
        if (h in a[1]) != (h in b[1]):
            out.append(("header " + h, "only in " + ("dockerd" if h in a[1] else "proad")))
        elif h in a[1] and h != "x-docker-container-path-stat" and a[1][h] != b[1][h]:
            out.append(("header " + h, "%s in dockerd, %s in proad" % (a[1][h], b[1][h])))
    if "x-docker-container-path-stat" in a[1] and "x-docker-container-path-stat" in b[1]:
        compare(*(json.loads(base64.b64decode(x[1]["x-docker-container-path-stat"])) for x in (a, b)), "stat", out)
    if a[0] != b[0]:
        return out
    ja, jb = decoded(*a[1:]), decoded(*b[1:])
    if (ja is None) != (jb is None):
        out.append(("body", "%r in dockerd, %r in proad" % (a[2][:100], b[2][:100])))
    elif ja is not None and "stream" in step[3:]:
        compare_stream(ja if isinstance(ja, list) else [ja], jb if isinstance(jb, list) else [jb], out)
    elif ja is not None:
        compare(ja, jb, "", out)
    return out


BARE = {"Image": "busybox", "Cmd": ["sleep", "100"]}
FULL = {
    "Hostname": "h", "User": "0", "Env": ["A=b"], "Cmd": ["sh", "-c", "echo out; echo err >&2; sleep 100"], "Image": "busybox",
    "Labels": {"shape": "1"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/anon": {}}, "WorkingDir": "/tmp", "Entrypoint": None,
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000, "Timeout": None},
    "HostConfig": {"Binds": ["shapevol:/data"], "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
                   "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "default", "Dns": [], "DnsOptions": [], "DnsSearch": [],
                   "ConsoleSize": [0, 0], "MemorySwappiness": -1, "OomKillDisable": False, "PidsLimit": 0, "Memory": 33554432,
                   "CapAdd": ["NET_ADMIN"], "CapDrop": None, "Links": None, "ShmSize": 0, "Ulimits": None,
                   "Tmpfs": {"/t": ""}, "Init": True},
    "NetworkingConfig": {"EndpointsConfig": {"default": {}}},
}

FLOWS = {
    "system": [
        ("GET", "/_ping", None), ("HEAD", "/_ping", None), ("GET", "/version", None), ("GET", "/info", None),
        ("GET", "/system/df", None), ("GET", "/nosuch", None), ("GET", "/plugins", None), ("GET", "/plugins/x/json", None),
        ("GET", "/containers/json?filters=%7B%22nosuch%22%3A%5B%221%22%5D%7D", None),
        ("GET", "/containers/json?filters=nonsense", None), ("GET", "/containers/json?limit=x", None),
    ],
    "bare": [
        ("POST", "/containers/create?name=shape-bare", BARE, "c=Id"), ("POST", "/containers/create?name=shape-bare", BARE),
        ("GET", "/containers/{c}/json", None), ("GET", "/containers/json?all=1&filters=%7B%22id%22%3A%5B%22{c}%22%5D%7D", None),
        ("POST", "/containers/{c}/pause", None), ("POST", "/containers/{c}/kill", None), ("GET", "/containers/{c}/top", None),
        ("POST", "/containers/{c}/stop", None), ("POST", "/containers/{c}/exec", {"Cmd": ["true"]}),
        ("GET", "/containers/{c}/changes", None), ("POST", "/containers/{c}/start", None), ("POST", "/containers/{c}/start", None),
        ("GET", "/containers/{c}/json?size=1", None),
        ("GET", "/containers/json?size=1&filters=%7B%22id%22%3A%5B%22{c}%22%5D%7D", None),
        ("DELETE", "/containers/{c}", None), ("POST", "/containers/{c}/kill?signal=NOSUCH", None),
        ("POST", "/containers/{c}/kill", None), ("POST", "/containers/{c}/wait", None), ("GET", "/containers/{c}/json", None),
        ("DELETE", "/containers/{c}", None), ("GET", "/containers/{c}/json", None),
    ],
    "full": [
        ("POST", "/containers/create?name=shape-full", FULL, "c=Id"), ("GET", "/containers/{c}/json", None),
        ("POST", "/containers/{c}/start", None), ("GET", "/containers/{c}/json", None),
        ("GET", "/containers/json?filters=%7B%22label%22%3A%7B%22shape%3D1%22%3Atrue%7D%7D", None),
        ("GET", "/containers/{c}/top", None), ("GET", "/containers/{c}/top?ps_args=-o%20pid,cmd", None),
        ("GET", "/containers/{c}/logs?stdout=1&stderr=1", None), ("GET", "/containers/{c}/logs", None),
        ("GET", "/containers/{c}/stats?stream=0", None),
        ("POST", "/containers/{c}/exec", {"Cmd": ["true"], "AttachStdout": True}, "x=Id"), ("GET", "/exec/{x}/json", None),
        ("POST", "/exec/{x}/start", {"Detach": True, "Tty": False}), ("POST", "/exec/absent/start", {}),
        ("HEAD", "/containers/{c}/archive?path=/etc/passwd", None), ("HEAD", "/containers/{c}/archive?path=/nope", None),
        ("GET", "/containers/{c}/archive?path=/etc/passwd", None), ("GET", "/containers/{c}/archive", None),
        ("PUT", "/containers/{c}/archive?path=/tmp", tar_of(f="x")), ("PUT", "/containers/{c}/archive?path=/nope", tar_of(f="x")),
        ("GET", "/containers/{c}/changes", None), ("POST", "/containers/{c}/update", {"Memory": 67108864, "MemorySwap": -1}),
        ("POST", "/containers/{c}/pause", None), ("POST", "/containers/{c}/pause", None), ("GET", "/containers/{c}/json", None),
        ("POST", "/containers/{c}/unpause", None), ("POST", "/containers/{c}/rename?name=shape-renamed", None),
        ("POST", "/containers/{c}/rename?name=shape-renamed", None), ("POST", "/containers/{c}/rename", None),
        ("POST", "/commit?container={c}&repo=shape&tag=1&comment=c&author=a", {}, "i=Id"), ("GET", "/images/shape:1/json", None),
        ("POST", "/containers/{c}/restart?t=0", None), ("POST", "/containers/{c}/stop?t=0", None),
        ("POST", "/containers/{c}/stop?t=0", None), ("GET", "/containers/{c}/json", None), ("GET", "/volumes/shapevol", None),
        ("DELETE", "/volumes/shapevol", None), ("DELETE", "/images/shape:1", None), ("DELETE", "/containers/{c}?v=1", None),
        ("DELETE", "/volumes/shapevol", None),
    ],
    "absent": [
        (m, "/containers/absent" + p, b) for m, p, b in (
            ("GET", "/json", None), ("GET", "/logs?stdout=1", None), ("GET", "/top", None), ("GET", "/stats?stream=0", None),
            ("GET", "/changes", None), ("GET", "/export", None), ("POST", "/start", None), ("POST", "/stop", None),
            ("POST", "/restart", None), ("POST", "/kill", None), ("POST", "/pause", None), ("POST", "/unpause", None),
            ("POST", "/rename?name=x", None), ("POST", "/update", {}), ("POST", "/wait", None), ("POST", "/resize?h=1&w=1", None),
            ("POST", "/attach?stream=1", None), ("POST", "/exec", {"Cmd": ["x"]}), ("HEAD", "/archive?path=/", None),
            ("GET", "/archive?path=/", None), ("PUT", "/archive?path=/", tar_of(f="x")), ("DELETE", "", None))
    ] + [
        ("GET", "/images/absent/json", None), ("GET", "/images/absent/history", None), ("GET", "/images/absent/get", None),
        ("POST", "/images/absent/tag?repo=x", None), ("DELETE", "/images/absent", None), ("POST", "/images/absent/push", None),
        ("GET", "/networks/absent", None), ("DELETE", "/networks/absent", None),
        ("POST", "/networks/absent/connect", {"Container": "x"}), ("GET", "/volumes/absent", None), ("DELETE", "/volumes/absent", None),
        ("GET", "/exec/absent/json", None), ("POST", "/exec/absent/resize?h=1&w=1", None), ("POST", "/commit?container=absent", {}),
        ("POST", "/containers/create", {"Image": "absent:1"}), ("POST", "/containers/create", {"Image": ""}),
        ("POST", "/containers/create?name=a/b", BARE),
    ],
    "images": [
        ("GET", "/images/json", None), ("GET", "/images/json?filters=%7B%22reference%22%3A%5B%22busybox%22%5D%7D&digests=1", None),
        ("GET", "/images/json?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D", None), ("GET", "/images/busybox/json", None),
        ("GET", "/images/busybox/history", None), ("POST", "/images/busybox/tag?repo=shape/two&tag=1", None),
        ("DELETE", "/images/shape/two:1", None),
        ("POST", "/build?t=shape-built:1&q=False&rm=True&version=1",
         tar_of(Dockerfile="FROM busybox\nENV A=b\nRUN echo built\nLABEL x=y\n"), "stream"),
        ("GET", "/images/shape-built:1/json", None), ("GET", "/images/shape-built:1/history", None),
        ("POST", "/build?version=1", tar_of(Dockerfile="FROM busybox\nRUN exit 7\n"), "stream"),
        ("POST", "/build?version=1", tar_of(Dockerfile="FROM busybox\nNONSENSE\n")),
        ("POST", "/build?version=1", tar_of(other="x")),
        ("DELETE", "/images/shape-built:1", None), ("POST", "/images/load", tar_of(x="no image"), "stream"),
        ("POST", "/images/prune?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D", None),
    ],
    "networks": [
        ("GET", "/networks?filters=%7B%22name%22%3A%5B%22bridge%22%5D%7D", None), ("GET", "/networks/bridge", None), ("GET", "/networks/none", None),
        ("POST", "/networks/create", {"Name": "shape-net", "CheckDuplicate": True, "Labels": {"a": "b"},
                                      "IPAM": {"Config": [{"Subnet": "10.197.3.0/24"}]}}, "n=Id"),
        ("POST", "/networks/create", {"Name": "shape-net", "CheckDuplicate": True}), ("POST", "/networks/create", {"Name": "host"}),
        ("POST", "/networks/create", {"Name": "shape-bad", "Driver": "nosuch"}), ("GET", "/networks/shape-net", None),
        ("POST", "/containers/create?name=shape-netted", {**BARE, "HostConfig": {"NetworkMode": "shape-net"}, "NetworkingConfig": {
            "EndpointsConfig": {"shape-net": {"Aliases": ["al"], "IPAMConfig": {"IPv4Address": "10.197.3.9"}}}}}, "c=Id"),
        ("GET", "/containers/{c}/json", None), ("POST", "/containers/{c}/start", None), ("GET", "/containers/{c}/json", None),
        ("GET", "/networks/shape-net", None), ("GET", "/networks/shape-net?verbose=true", None),
        ("DELETE", "/networks/shape-net", None), ("POST", "/networks/shape-net/connect", {"Container": "{c}"}),
        ("POST", "/networks/shape-net/disconnect", {"Container": "{c}"}),
        ("POST", "/networks/shape-net/disconnect", {"Container": "{c}"}),
        ("POST", "/networks/shape-net/connect", {"Container": "{c}", "EndpointConfig": {"Aliases": ["z"]}}),
        ("GET", "/containers/{c}/json", None), ("DELETE", "/containers/{c}?force=1", None), ("DELETE", "/networks/shape-net", None),
        ("POST", "/networks/prune?filters=%7B%22label%22%3A%5B%22shape-none%22%5D%7D", None),
    ],
    "volumes": [
        ("POST", "/volumes/create", {"Name": "shape-v", "Labels": {"a": "b"}}), ("POST", "/volumes/create", {"Name": "shape-v"}),
        ("POST", "/volumes/create", {"Name": "bad/name"}), ("POST", "/volumes/create", {"Name": "shape-w", "Driver": "nosuch"}),
        ("GET", "/volumes", None), ("GET", "/volumes/shape-v", None),
        ("GET", "/volumes?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D", None), ("DELETE", "/volumes/shape-v", None),
        ("POST", "/volumes/prune?filters=%7B%22label%22%3A%5B%22shape-none%22%5D%7D", None),
    ],
    "events": [
        ("POST", "/containers/create?name=shape-ev", {**BARE, "Labels": {"shape": "ev"}}, "c=Id"),
        ("POST", "/containers/{c}/start", None), ("POST", "/containers/{c}/pause", None), ("POST", "/containers/{c}/unpause", None),
        ("POST", "/containers/{c}/rename?name=shape-ev2", None), ("POST", "/containers/{c}/kill", None),
        ("POST", "/containers/{c}/wait", None), ("DELETE", "/containers/{c}", None),
        ("GET", "/events?since=0&until=1&filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D", None),
        ("GET", "/events?since={since}&until={until}&filters=%7B%22container%22%3A%5B%22{c}%22%5D%7D", None, "stream"),
    ],
}


def main():
    peer, proa = Engine(sys.argv[1]), Engine(sys.argv[2])
    wanted, failed, used, asked = sys.argv[3:] or list(FLOWS), 0, set(), 0
    for flow in wanted:
        for step in FLOWS[flow]:
            a, b = peer.ask(*step[:3]), proa.ask(*step[:3])
            asked += 1
            for save in (s for s in step[3:] if "=" in s):
                name, key = save.split("=")
                for e, answer in ((peer, a), (proa, b)):
                    e.names[name] = (decoded(*answer[1:]) or {}).get(key, "absent")
            for where, what in differences(step, a, b):
                known = [k for k in EXCEPT if all(re.fullmatch(p, t) for p, t in zip(k, (flow, step[1], where)))]
                used.update(known)
                if not known:
                    failed += 1
                    print("%s: %s %s: %s: %s" % (flow, step[0], step[1], where, what))
    if not sys.argv[3:]:
        for k in sorted(k for k in EXCEPT.keys() - used if not EXCEPT[k].startswith(TIMING)):
            failed += 1
            print("not needed any more: %s" % (k,))
    print("%d requests, %d differences" % (asked, failed))
    return failed > 0


sys.exit(main())
