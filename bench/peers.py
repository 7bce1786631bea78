"""The engines beside each other: how each is started, asked and accounted for."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
build = None  # pathlib.Path of a release build
work = None  # pathlib.Path of this run
processes = []
ACCOUNT = "/sys/fs/cgroup/cpuacct" if os.path.isdir("/sys/fs/cgroup/cpuacct") else "/sys/fs/cgroup"


def have(name):
    return shutil.which(name) is not None


class Account:
    """A control group of a peer's own: client, engine, shims, runtime and containers spend into it.

    The bench itself goes there before it starts what belongs to it: to be moved takes the kernel milliseconds, and a
    fork of Python to do it in the child is dearer than many a command that is measured.
    Beside names a group that the peer uses whatever parent it is given; it must be nobody else's. Of a server that
    is measured alone, clients is False: what asks it stays outside."""
    here = None

    def __init__(self, name, beside=None, clients=True):
        self.clients = clients
        self.path = f"/proa-bench-{os.getpid()}-{''.join(c if c.isalnum() else '-' for c in name)}"
        self.dirs = [pathlib.Path(ACCOUNT + p) for p in (self.path, beside) if p]
        (self.dirs[0] / "self").mkdir(parents=True)
        self.containers = self.path + "/containers"

    def enter(self):
        if Account.here is not self:
            (self.dirs[0] / "self/cgroup.procs").write_text("0")
            Account.here = self

    @classmethod
    def leave(cls):
        if cls.here is not None:
            pathlib.Path(ACCOUNT + HOME + "/cgroup.procs").write_text("0")
            cls.here = None

    def ns(self):
        return sum(spent(d) for d in self.dirs)


def spent(group):
    """CPU time of a group and all that was ever below it, in ns."""
    try:
        return int((group / "cpuacct.usage").read_text())
    except FileNotFoundError:
        pass
    try:
        return int((group / "cpu.stat").read_text().split()[1]) * 1000
    except FileNotFoundError:
        return 0  # not made yet


def home():
    """The group that the bench was started in."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(",") or (number == "0" and not ACCOUNT.endswith("cpuacct")):
            return path
    return "/"


HOME = home()


def started(argv, env, out, err, account):
    """The pid of a child that writes to the files out and err. By posix_spawn: the cheapest that Python has."""
    if account:
        account.enter()
    argv = [str(a) for a in argv]
    files = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    return os.posix_spawnp(argv[0], argv, {**os.environ, **(env or {})}, file_actions=files, setsigdef=[signal.SIGPIPE])


def taken(fd):
    """What was written to a memfd, which is closed."""
    with open(fd, "rb") as f:
        f.seek(0)
        return f.read().decode(errors="replace")


def too_long(*_):
    raise TimeoutError


def sh(argv, env=None, check=True, account=None, timeout=300):
    """Run a command to its end; what it wrote. RuntimeError when it fails, or does not end."""
    signal.signal(signal.SIGALRM, too_long)
    out, err = os.memfd_create("out"), os.memfd_create("err")
    pid = started(argv, env, out, err, account)
    try:
        signal.alarm(timeout)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        signal.alarm(0)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise RuntimeError(f"not ended after {timeout} s") from None
    finally:
        text, error = taken(out), taken(err)
    if check and status != 0:
        said = " / ".join(error.strip().split("\n")[-2:])
        raise RuntimeError(f"status {status}: {said or ' '.join(map(str, argv))}"[:200])
    return text


def spawn(argv, log, account=None):
    """A server, to be ended with this run; outside of all accounts when it has none."""
    Account.leave()
    if account:
        account.enter()
    with open(log, "ab") as f:
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT)
    Account.leave()
    processes.append(p)
    return p


def wait_for(fn, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if fn():
                return
        except (RuntimeError, OSError):
            pass
        time.sleep(0.05)
    raise RuntimeError("a server did not start")


class Peer:
    """A client and, behind it, an engine. `cli` takes the docker CLI's words; pid is the engine's.

    What Docker's words do not say the same way in podman and buildah stands in `do`."""

    def __init__(self, name, cli, env=None, pid=None, account=None, sock=None):
        self.name, self.cli, self.env, self.pid, self.sock = name, cli, env or {}, pid, sock
        self.account = account or Account(name)
        self.key = name.split()[-1].lower()

    def argv(self, *words):
        if self.name == "podman" and words[0] in ("run", "create"):
            words = (words[0], "--cgroup-parent", self.account.containers, *words[1:])
        if self.name == "podman" and words[:2] == ("rm", "-f"):
            words = ("rm", "-f", "-t", "0", *words[2:])  # Docker's -f kills at once
        if self.name == "buildah" and words[0] == "build":
            # The parent is the very group of its steps: nobody else's, and not that of several steps at once.
            parent = () if "--jobs" in words else ("--cgroup-parent", self.account.path + "/steps")
            words = ("build", "--layers", *parent, *words[1:])
        return [*self.cli, *words]

    def do(self, *words, check=True):
        return sh(self.argv(*words), self.env, check, self.account)

    def start(self, *words):
        """The pid of a client that goes on."""
        with open(os.devnull, "wb") as nothing:
            return started(self.argv(*words), self.env, nothing.fileno(), nothing.fileno(), self.account)


def start_proad():
    d = work / "proa"
    d.mkdir()
    sock = d / "proa.sock"
    (d / "engine.json").write_text('{"insecure-registries": ["127.0.0.0/8"]}')
    account = Account("proad")
    p = spawn([build / "src/main/proad", "--cgroup-parent", account.containers, "--data-root", d / "data",
               "--exec-root", work / "run/proa", "--pidfile", d / "pid", "-H", f"unix://{sock}",
               "--bridge-name", f"prb{os.getpid()}", "--config-file", d / "engine.json"], d / "log", account)
    env = {"DOCKER_HOST": f"unix://{sock}", "DOCKER_CONFIG": str(work / "client"), "DOCKER_BUILDKIT": "0"}
    proa = Peer("proa", [str(build / "src/main/proa")], env, p.pid, account, sock)
    wait_for(lambda: proa.do("version"))
    return [proa, *([Peer("proad + docker CLI", ["docker"], env, p.pid, account, sock)] if have("docker") else [])]


def start_dockerd():
    if not (have("dockerd") and have("docker")):
        return []
    d = work / "docker"
    d.mkdir()
    sock, bridge = d / "docker.sock", f"dkb{os.getpid()}"
    # In the network namespace of this run: it goes with that.
    sh(["ip", "link", "add", bridge, "type", "bridge"])
    sh(["ip", "addr", "add", "172.29.77.1/24", "dev", bridge])
    sh(["ip", "link", "set", bridge, "up"])
    (d / "daemon.json").write_text("{}")
    # RUN of a build is in /docker, whatever --cgroup-parent says.
    account = Account("dockerd", "/docker")
    p = spawn(["dockerd", "--cgroup-parent", account.containers, "--data-root", d / "data", "--exec-root", work / "run/docker",
               "--pidfile", d / "pid", "-H", f"unix://{sock}", "--bridge", bridge, "--config-file", d / "daemon.json"],
              d / "log", account)
    env = {"DOCKER_HOST": f"unix://{sock}", "DOCKER_CONFIG": str(work / "client"), "DOCKER_BUILDKIT": "0"}
    docker = Peer("docker", ["docker"], env, p.pid, account, sock)
    try:
        wait_for(lambda: docker.do("version"), 60)
    except RuntimeError as e:
        print(f"dockerd: {e}: left out", file=sys.stderr)
        return []
    return [docker]


def start_podman():
    if not have("podman"):
        return []
    d = work / "podman"
    # Its default raises a limit, which needs CAP_SYS_RESOURCE; machines without it still compare.
    conf = work / "containers.conf"
    conf.write_text("[containers]\ndefault_ulimits = []\n")
    return [Peer("podman", ["podman", "--root", str(d / "data"), "--runroot", str(work / "run/podman"), "--events-backend", "none",
                            "--cgroup-manager", "cgroupfs"], {"CONTAINERS_CONF": str(conf)})]


def start_engines():
    return start_proad() + start_dockerd() + start_podman()


def buildkit(peers):
    """dockerd's BuildKit, which needs a CLI of its age (or buildx); it is the same engine's."""
    cli, docker = pathlib.Path("/usr/bin/docker"), next((p for p in peers if p.name == "docker"), None)
    if docker is None or not cli.exists() or " 20." not in sh([cli, "--version"], check=False):
        return []
    return [Peer("docker BuildKit", [str(cli)], {**docker.env, "DOCKER_BUILDKIT": "1"}, None, docker.account)]


def buildah(peers):
    """Its store is podman's."""
    podman = next((p for p in peers if p.name == "podman"), None)
    if podman is None or not have("buildah"):
        return []
    return [Peer("buildah", ["buildah", *podman.cli[1:5]], podman.env, None, podman.account)]


def start_proa_registry(name="registry", account=None):
    """The address and the pid of a new proa-registry on loopback."""
    d, log = work / name, work / f"{name}.log"
    d.mkdir(exist_ok=True)
    p = spawn([build / "src/main/proa-registry", "serve", "--data", d, "--listen", "127.0.0.1:0"], log, account)

    def address():
        for line in log.read_text().splitlines():
            if "listening address=" in line:
                return line.split("address=")[1].strip()
        return None
    wait_for(address)
    return address(), p.pid


def busybox_tar():
    """A root of busybox and of net (bench/net.c)."""
    path = work / "busybox.tar"
    if not path.exists():
        d = work / "busybox"
        for sub in ("bin", "etc", "tmp"):
            (d / sub).mkdir(parents=True, exist_ok=True)
        shutil.copy(shutil.which("busybox"), d / "bin/busybox")
        for applet in sh(["busybox", "--list"]).split():
            if not (d / "bin" / applet).exists():
                (d / "bin" / applet).symlink_to("busybox")
        compile_c("net", d / "bin/net")
        (d / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        sh(["tar", "-C", d, "--owner=0", "--group=0", "-cf", path, "."])
    return path


def compile_c(name, to):
    sh(["gcc", "-O2", "-static", "-D_GNU_SOURCE", "-o", to, root / f"bench/{name}.c"])


def give_busybox(peers):
    """bench/busybox to every peer; one that can run no container here is dropped from the list."""
    for p in list(peers):
        try:
            if not p.do("images", "-q", "bench/busybox").strip():
                p.do("import", str(busybox_tar()), "bench/busybox")
                p.do("run", "--rm", "--network=none", "bench/busybox", "true")
        except RuntimeError as e:
            print(f"{p.name} cannot run a container here, left out: {e}", file=sys.stderr)
            peers.remove(p)


# ---- the run's own places ----

def private_namespaces():
    """A network of the run's own: the peers' tables, bridges and links go with it. A mount namespace of its own,
    without an empty cgroup2 beside v1: crun 1.8 refuses such mixtures."""
    if os.environ.get("PROA_BENCH_INSIDE"):
        if os.path.ismount("/sys/fs/cgroup/unified"):
            sh(["umount", "/sys/fs/cgroup/unified"], check=False)
        sh(["ip", "link", "set", "lo", "up"])
        return
    os.environ["PROA_BENCH_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-mn", "--propagation", "private", sys.executable, *sys.argv])


def begin(build_dir):
    global build, work
    build, work = build_dir.resolve(), pathlib.Path(tempfile.mkdtemp(prefix="proa-bench-"))
    (work / "client").mkdir()
    # What all of them have below /run is in memory here, too. It goes with this mount namespace.
    (work / "run").mkdir()
    sh(["mount", "-t", "tmpfs", "run", work / "run"])


def shared_parents():
    """What dockerd, podman and buildah make in every hierarchy, whatever parent they were given; where a hierarchy
    is not mounted, a plain folder."""
    groups = pathlib.Path("/sys/fs/cgroup")
    return {g for name in ("docker", "buildah*", "libpod_parent") for pattern in (name, f"*/{name}") for g in groups.glob(pattern)}


def remove_group(group):
    """Unless somebody is in it."""
    try:
        os.rmdir(group)
    except OSError:
        if sh(["stat", "-f", "-c", "%T", group]).strip() == "tmpfs":
            shutil.rmtree(group)


def end(peers, parents):
    """Everything that this run made; parents: the shared ones that were there before."""
    for peer in peers:
        if peer.key in ("proa", "docker", "podman"):
            for cid in peer.do("ps", "-aq", check=False).split():
                peer.do("rm", "-f", cid, check=False)
    Account.leave()
    for proc in processes:
        proc.send_signal(signal.SIGTERM)
    for proc in processes:
        try:
            proc.wait(20)
        except subprocess.TimeoutExpired:
            proc.kill()
    for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
        if str(work) in line.split()[4]:
            sh(["umount", "-l", line.split()[4]], check=False)
    for group in [*pathlib.Path("/sys/fs/cgroup").glob(f"**/proa-bench-{os.getpid()}-*"), *(shared_parents() - parents)]:
        for parent, _, _ in os.walk(group, topdown=False):
            remove_group(parent)
    shutil.rmtree(work, ignore_errors=True)
