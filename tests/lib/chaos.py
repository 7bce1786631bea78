#!/usr/bin/env python3
"""Six clients that do with one engine whatever comes to their mind, and then look at what is left.

    chaos.py SOCKET PID      the engine must live through it as PID
    chaos.py SOCKET killed   somebody kills and starts it meanwhile: clients try again when they are cut off

Each client draws its operations from a seed of its own. CHAOS_SEED (printed) repeats the draws, though not their
order among the clients; CHAOS_SECONDS is how long they go on; CHAOS_LOG names a file for every request.
The image bb:1 must be there, and is not at the end. CHAOS_IDS names a file for the ids of all containers.

What must hold: every answer comes within 10 s (what is a stream is cut), no answer is the engine's failure (5xx)
but for EXCEPT, what is JSON can be read, what inspect says of a process is true. At the end all objects can be
removed, the store is sound, and the engine holds no more descriptors and threads than before.
"""
import http.client, io, json, os, random, re, socket, sys, tarfile, threading, time
from urllib.parse import quote

from hostile_api import KEPT, Engine

CLIENTS, MOST = 6, 10.0
SECONDS = float(os.environ.get("CHAOS_SECONDS", "5"))
SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 31))
KILLED = sys.argv[2] == "killed"
CUT = (ConnectionError, FileNotFoundError, http.client.HTTPException)

# request, message: why an answer of 5xx is right
EXCEPT = [
    ("/unpause$", "^Container [0-9a-f]{64} is not paused$", "dockerd says 500 too"),
    ("/(start|restart|connect)", "port is already allocated$", "dockerd says 500 too"),
]


def tar_of(*files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, text in files:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text))
    return out.getvalue()


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("x", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Shared:
    """What all clients see: the faults, the log, the ids, the counts."""

    def __init__(self):
        self.lock, self.faults, self.requests, self.again, self.longest = threading.Lock(), [], 0, 0, (0, "")
        self.statuses = {}
        self.log = open(os.environ["CHAOS_LOG"], "w") if os.environ.get("CHAOS_LOG") else None
        self.ids = open(os.environ.get("CHAOS_IDS", os.devnull), "w")
        self.saved = b""

    def fault(self, text):
        with self.lock:
            self.faults.append(text)
            print(f"{time.time():.3f} {text}", flush=True)

    def made(self, container):
        with self.lock:
            print(container, file=self.ids, flush=True)

    def note(self, who, request, status, seconds, text, body):
        kind = re.sub(r"/(containers|images|networks|volumes|exec)/[^/?]+(?=/|\?|$)", r"/\1/x", request).split("?")[0]
        with self.lock:
            self.requests += 1
            self.statuses[kind, status] = self.statuses.get((kind, status), 0) + 1
            self.longest = max(self.longest, (seconds, request))
            if self.log:
                print(f"{time.time():.3f} {who} {request} {status} {seconds:.2f} {text[:200]!r} {(body or b'')[:400]!r}", file=self.log, flush=True)


def documents(text):
    """The JSON documents that follow each other in `text`; ValueError when something else does."""
    text, at, out = text.decode().strip(), 0, []
    while at < len(text):
        one, at = json.JSONDecoder().raw_decode(text, at)
        out.append(one)
        while at < len(text) and text[at] in "\r\n ":
            at += 1
    return out


class Client:
    def __init__(self, path, name, shared, seed):
        self.path, self.name, self.shared, self.r = path, name, shared, random.Random(seed)
        self.execs = []

    # ---- one request ----

    def once(self, method, target, body, headers, bound, say):
        c = Connection(self.path)
        until = time.monotonic() + (bound or 0)
        whole, got = True, b""
        try:
            c.request(method, target, body, headers)
            if bound:
                c.sock.settimeout(max(bound, 0.01))
            sock = c.sock
            try:
                r = c.getresponse()
            except TimeoutError:
                if bound:
                    return 0, b"", False, ""
                raise
            if bound and r.status < 300:
                whole = False
                try:
                    if say:
                        sock.sendall(say)
                    while time.monotonic() < until:
                        sock.settimeout(max(until - time.monotonic(), 0.01))
                        more = r.fp.read1(65536) if r.status == 101 else r.read1(65536)
                        if not more:
                            whole = r.status != 101
                            break
                        got += more
                except TimeoutError:
                    pass
                except ConnectionError:
                    if r.status != 101:
                        raise
                    # It has ended while what we said lay there unread.
            elif r.status == 101:
                whole = False
            else:
                got = r.read()
            return r.status, got, whole, r.getheader("Content-Type") or ""
        finally:
            c.close()

    def ask(self, method, target, body=None, bound=0, headers=None, say=b""):
        """Status and body; with `bound` what came in so many seconds, then it is cut off."""
        headers = dict(headers or {})
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif body is not None:
            headers["Content-Type"] = "application/x-tar"
        request = f"{method} {target}"
        for _ in range(200):
            began = time.monotonic()
            try:
                status, text, whole, kind = self.once(method, "/v1.47" + target, body, headers, bound, say)
                break
            except CUT as e:
                if not KILLED:
                    self.shared.fault(f"{request}: {e!r}")
                    return 0, b""
                self.shared.again += 1
                time.sleep(0.05)
            except TimeoutError:
                self.shared.fault(f"{request}: no answer in 60 s")
                return 0, b""
        else:
            self.shared.fault(f"{request}: no engine for 10 s")
            return 0, b""
        took = time.monotonic() - began
        self.shared.note(self.name, request, status, took, text, body)
        self.judge(request, status, text, whole, kind, took - bound)
        return status, text

    def judge(self, request, status, text, whole, kind, seconds):
        if seconds > MOST:
            self.shared.fault(f"{request}: {status} after {seconds:.1f} s")
        if status >= 400 and not request.startswith("HEAD"):
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                self.shared.fault(f"{request}: {status} {text[:300]!r}")
                return
            if status >= 500 and not any(re.search(a, request) and re.search(m, message) for a, m, why in EXCEPT):
                self.shared.fault(f"{request}: {status} {message}")
        elif whole and "json" in kind:
            try:
                documents(text)
            except ValueError as e:
                self.shared.fault(f"{request}: {status} {e}: {text[:300]!r}")

    def json(self, *what, **more):
        status, text = self.ask(*what, **more)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {}

    # ---- what it picks ----

    def pick(self, *what):
        return self.r.choice(what)

    def some(self, chance):
        return self.r.random() < chance

    def container(self):
        return f"c{self.r.randrange(8)}"

    def network(self):
        return f"n{self.r.randrange(3)}"

    def volume(self):
        return f"v{self.r.randrange(3)}"

    def image(self):
        return f"im:{self.r.randrange(4)}"

    def flag(self):
        return self.pick("0", "1")

    # ---- what it does ----

    def do_create(self):
        host = {"RestartPolicy": self.pick({}, {}, {}, {"Name": "always"}, {"Name": "on-failure", "MaximumRetryCount": 2},
                                           {"Name": "unless-stopped"})}
        host["NetworkMode"] = self.pick("none", "bridge", "bridge", "host", "container:" + self.container(), *[self.network() for _ in range(4)])
        body = {"Image": self.image() if self.some(0.2) else "bb:1", "HostConfig": host, "Tty": self.some(0.2), "OpenStdin": self.some(0.3)}
        body["Cmd"] = self.pick(["sleep", "1000"], ["sleep", "1000"], ["true"], ["sh", "-c", "exit 3"], ["nosuch"],
                                ["sh", "-c", "trap 'exit 5' TERM; while :; do echo tick; sleep 0.05; done"],
                                ["sh", "-c", "trap '' TERM; echo > /anon/x; sleep 1000"], ["cat"])
        if not host["RestartPolicy"]:
            host["AutoRemove"] = self.some(0.2)
        if self.some(0.3):
            body["Volumes"] = {"/anon": {}}
        if self.some(0.3):
            host["Binds"] = [self.volume() + ":/named"]
        if self.some(0.2):
            host["Mounts"] = [{"Type": self.pick("tmpfs", "volume"), "Target": "/more"}]
        if self.some(0.3) and not host["NetworkMode"].startswith(("container", "host")):
            host["PortBindings"] = {"80/tcp": [{"HostPort": self.pick("0", "0", "18099")}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
        if self.some(0.1):
            host["IpcMode"] = self.pick("shareable", "container:" + self.container())
        if self.some(0.1):
            host["PidMode"] = "container:" + self.container()
        if self.some(0.1):
            body["Healthcheck"] = {"Test": ["CMD", "true"], "Interval": 100000000, "Retries": 1}
        host["Init"] = self.some(0.2)
        status, made = self.json("POST", "/containers/create" + ("?name=" + self.container() if self.some(0.9) else ""), body)
        if status == 201:
            self.shared.made(made["Id"])
        if status == 201 and self.some(0.8):
            self.ask("POST", f"/containers/{made['Id']}/start")

    def do_start(self):
        self.ask("POST", f"/containers/{self.container()}/start")

    def do_stop(self):
        self.ask("POST", f"/containers/{self.container()}/stop?t={self.flag()}")

    def do_kill(self):
        self.ask("POST", f"/containers/{self.container()}/kill?signal={self.pick('KILL', 'TERM', 'USR1', 'STOP', 'CONT')}")

    def do_restart(self):
        self.ask("POST", f"/containers/{self.container()}/restart?t={self.flag()}")

    def do_pause(self):
        self.ask("POST", f"/containers/{self.container()}/pause")

    def do_unpause(self):
        self.ask("POST", f"/containers/{self.container()}/unpause")

    def do_rename(self):
        self.ask("POST", f"/containers/{self.container()}/rename?name={self.container()}")

    def do_update(self):
        self.ask("POST", f"/containers/{self.container()}/update", self.pick(
            {"Memory": 64 << 20, "MemorySwap": 64 << 20}, {"CpuShares": 512}, {"PidsLimit": 100},
            {"RestartPolicy": {"Name": "no"}}, {"RestartPolicy": {"Name": "always"}}))

    def do_rm(self):
        self.ask("DELETE", f"/containers/{self.container()}?force={self.pick('0', '1', '1')}&v={self.flag()}")

    def do_wait(self):
        self.ask("POST", f"/containers/{self.container()}/wait?condition={self.pick('not-running', 'next-exit', 'removed')}", bound=self.r.random())

    def do_exec(self):
        at = self.container()
        status, made = self.json("POST", f"/containers/{at}/exec", {
            "Cmd": self.pick(["true"], ["sh", "-c", "echo out; echo err >&2; exit 4"], ["sleep", "2"], ["cat"], ["nosuch"]),
            "AttachStdin": self.some(0.3), "AttachStdout": True, "AttachStderr": True, "Tty": self.some(0.3)})
        if status != 201:
            return
        self.execs = self.execs[-5:] + [made["Id"]]
        if self.some(0.3):
            self.ask("POST", f"/exec/{made['Id']}/start", {"Detach": True})
        else:
            self.ask("POST", f"/exec/{made['Id']}/start", {"Detach": False}, bound=self.r.random(),
                     headers={"Connection": "Upgrade", "Upgrade": "tcp"}, say=b"hello\n")
        self.ask("GET", f"/exec/{self.pick(*self.execs)}/json")
        if self.some(0.3):
            self.ask("POST", f"/exec/{self.pick(*self.execs)}/resize?h=20&w=70")

    def do_attach(self):
        self.ask("POST", f"/containers/{self.container()}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs={self.flag()}", bound=self.r.random(),
                 headers={"Connection": "Upgrade", "Upgrade": "tcp"}, say=b"hello\n" * self.r.randrange(2000))

    def do_logs(self):
        follow = self.flag()
        self.ask("GET", f"/containers/{self.container()}/logs?stdout=1&stderr=1&follow={follow}&tail={self.pick('all', '3')}",
                 bound=self.pick(0.001, 0.3, 1) if follow == "1" else 0)

    def do_look(self):
        at = f"/containers/{self.container()}"
        self.ask("GET", self.pick(at + "/stats?stream=0&one-shot=1", at + "/top", at + "/changes", at + "/json?size=1", "/containers/json?all=1&size=1",
                                  "/images/json", "/networks", "/volumes", f"/networks/{self.network()}", f"/volumes/{self.volume()}",
                                  f"/images/{self.image()}/json", f"/images/{self.image()}/history", "/system/df", "/info"))

    def do_stats(self):
        self.ask("GET", f"/containers/{self.container()}/stats", bound=self.r.random())

    def do_put(self):
        self.ask("PUT", f"/containers/{self.container()}/archive?path={self.pick('/tmp', '/named', '/anon', '/nosuch')}",
                 tar_of(("in", b"x" * self.r.randrange(100000)), ("more/in", b"y")))

    def do_get(self):
        self.ask(self.pick("GET", "GET", "HEAD"), f"/containers/{self.container()}/archive?path={self.pick('/etc', '/bin', '/named', '/tmp/in')}",
                 bound=self.pick(0, 0, 0.01))

    def do_export(self):
        self.ask("GET", f"/containers/{self.container()}/export", bound=self.pick(0, 0, 0.01))

    def do_commit(self):
        repo, tag = self.image().split(":")
        self.ask("POST", f"/commit?container={self.container()}&repo={repo}&tag={tag}&pause={self.flag()}", {"Labels": {"chaos": "1"}})

    def do_tag(self):
        repo, tag = self.image().split(":")
        self.ask("POST", f"/images/{self.pick('bb:1', self.image())}/tag?repo={repo}&tag={tag}")

    def do_rmi(self):
        self.ask("DELETE", f"/images/{self.image()}?force={self.flag()}")

    def do_prune(self):
        what = self.pick("containers", "images", "images", "volumes", "networks", "build")
        where = {"containers": "/containers/prune", "images": "/images/prune", "build": "/build/prune", "networks": "/networks/prune",
                 "volumes": "/volumes/prune?filters=" + quote(json.dumps({"all": [self.pick("true", "false")]}))}[what]
        self.ask("POST", where)

    def do_prune_all_images(self):
        self.ask("POST", "/images/prune?filters=" + quote(json.dumps({"dangling": ["false"]})))
        self.load()

    def do_network(self):
        at = self.network()
        self.ask("POST", "/networks/create", {"Name": at, "EnableIPv6": self.some(0.2), "Internal": self.some(0.2)})

    def do_network_rm(self):
        self.ask("DELETE", f"/networks/{self.network()}")

    def do_connect(self):
        self.ask("POST", f"/networks/{self.network()}/connect", {"Container": self.container(), "EndpointConfig": {"Aliases": ["al"]}})

    def do_disconnect(self):
        self.ask("POST", f"/networks/{self.pick('bridge', self.network())}/disconnect", {"Container": self.container(), "Force": self.some(0.5)})

    def do_volume(self):
        self.ask("POST", "/volumes/create", {"Name": self.volume()} if self.some(0.8) else {})

    def do_volume_rm(self):
        self.ask("DELETE", f"/volumes/{self.volume()}?force={self.flag()}")

    def do_events(self):
        self.ask("GET", f"/events?since={int(time.time()) - self.r.randrange(3)}", bound=self.r.random())

    def do_build(self):
        step = self.pick("COPY a /b", "RUN echo %d >/f" % self.r.randrange(3), "RUN sleep 0.3; echo %d >/g" % self.r.random(), "LABEL a=b", "RUN exit 3")
        self.ask("POST", f"/build?t={self.image()}&networkmode=none&nocache={self.flag()}&rm=1&labels=%7B%22chaos%22%3A%221%22%7D",
                 tar_of(("Dockerfile", f"FROM {self.pick('bb:1', 'bb:1', self.image())}\n{step}\n".encode()), ("a", self.r.randbytes(1000))),
                 bound=self.pick(0, 0, 0.2))

    def do_save(self):
        self.ask("GET", f"/images/{self.pick('bb:1', self.image())}/get", bound=self.pick(0, 0, 0.01))

    def load(self):
        self.ask("POST", "/images/load?quiet=1", self.shared.saved)

    def do_load(self):
        self.load()


WEIGHTS = {"create": 14, "start": 6, "stop": 4, "kill": 4, "restart": 3, "pause": 2, "unpause": 3, "rename": 3, "update": 3, "rm": 9,
           "wait": 2, "exec": 6, "attach": 3, "logs": 4, "look": 6, "stats": 1, "put": 2, "get": 2, "export": 1, "commit": 2, "tag": 2, "rmi": 2,
           "prune": 2, "prune_all_images": 0.5, "network": 4, "network_rm": 2, "connect": 3, "disconnect": 3, "volume": 2, "volume_rm": 2,
           "events": 1, "build": 2, "save": 0.5, "load": 0.5}


def live(c, until):
    names, weights = zip(*WEIGHTS.items())
    try:
        while time.monotonic() < until and len(c.shared.faults) < 20:
            getattr(c, "do_" + c.r.choices(names, weights)[0])()
    except Exception as e:  # a fault of this script is one too
        c.shared.fault(f"client {c.name}: {e!r}")
        raise


# ---- afterwards ----

def wrong_states(c):
    """Containers of which inspect says what is not so."""
    out = []
    for x in c.json("GET", "/containers/json?all=1")[1]:
        state = c.json("GET", f"/containers/{x['Id']}/json")[1].get("State", {})
        alive = bool(state.get("Pid")) and os.path.exists(f"/proc/{state['Pid']}")
        if state and (state["Running"] and state["Status"] != "restarting") != alive:
            out.append((x["Id"][:12], x["Names"], state))
    return out


def remove_all(c):
    for x in c.json("GET", "/containers/json?all=1")[1]:
        status, text = c.ask("DELETE", f"/containers/{x['Id']}?force=1&v=1")
        if status != 204 and status != 404 and status != 409:
            c.shared.fault(f"rm -f of {x['Names']}: {status} {text!r}")
    for _ in range(100):  # with --rm one may be on its way out
        left = c.json("GET", "/containers/json?all=1")[1]
        if not left:
            break
        time.sleep(0.1)
    for x in left:
        c.shared.fault(f"a container stays: {x}")
    for x in c.json("GET", "/networks")[1]:
        if x["Name"] in ("bridge", "host", "none"):
            if ends := c.json("GET", f"/networks/{x['Id']}")[1]["Containers"]:
                c.shared.fault(f"network {x['Name']} has {ends}")
            continue
        status, text = c.ask("DELETE", f"/networks/{x['Id']}")
        if status != 204:
            c.shared.fault(f"network rm: {status} {text!r}")
    for x in c.json("GET", "/volumes")[1]["Volumes"] or []:
        status, text = c.ask("DELETE", f"/volumes/{x['Name']}")
        if status != 204:
            c.shared.fault(f"volume rm: {status} {text!r}")
    for _ in range(50):  # a build that was cut off has what it needs until it has noticed
        c.ask("POST", "/build/prune?all=1")
        c.ask("POST", "/images/prune?filters=" + quote(json.dumps({"dangling": ["false"]})))
        status, found = c.json("POST", "/store/check")
        if status != 200 or found["Problems"] or not any(found[k] for k in ("Blobs", "Layers", "Images", "Snapshots")):
            break
        time.sleep(0.1)
    if status != 200 or any(found.values()):
        c.shared.fault(f"store check: {status} {found}")


def main():
    print(f"CHAOS_SEED={SEED}", flush=True)
    shared, path = Shared(), sys.argv[1]
    last = Client(path, "last", shared, SEED)
    shared.saved = last.ask("GET", "/images/bb:1/get")[1]
    if not KILLED:
        engine = Engine(path, int(sys.argv[2]))
        engine.ensure()
        remove_all(last)
        last.load()
        before = engine.settled()
    until = time.monotonic() + SECONDS
    clients = [Client(path, str(i), shared, SEED * CLIENTS + i) for i in range(CLIENTS)]
    threads = [threading.Thread(target=live, args=(c, until)) for c in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("done", flush=True)
    if KILLED:
        sys.stdin.readline()  # whoever killed engines has stopped
    for _ in range(100):
        if not (wrong := wrong_states(last)):
            break
        time.sleep(0.1)
    for x in wrong:
        shared.fault(f"inspect lies: {x}")
    remove_all(last)
    if not KILLED:
        for _ in range(10):
            after = engine.settled()
            if after[0] <= before[0] + KEPT and after[1] <= before[1]:
                break
        print(f"fds {before[0]} -> {after[0]}, threads {before[1]} -> {after[1]}, memory {before[2]} -> {after[2]} kB")
        if after[0] > before[0] + KEPT or after[1] > before[1]:
            shared.fault("descriptors or threads stay: " + str(
                [os.readlink(f"/proc/{engine.pid}/fd/{n}") for n in os.listdir(f"/proc/{engine.pid}/fd")]))
    good = sum(n for (_, status), n in shared.statuses.items() if status < 300)
    print(f"{shared.requests} requests, {good} with success, {shared.again} again, the longest {shared.longest[0]:.1f} s: {shared.longest[1]}; "
          f"{len(shared.faults)} faults")
    if os.environ.get("CHAOS_STATUSES"):
        for (kind, status), n in sorted(shared.statuses.items()):
            print(f"  {kind} {status} {n}")
    sys.exit(bool(shared.faults))


if __name__ == "__main__":
    main()
