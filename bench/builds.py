"""Builds: steps and stages, the workshop's application, large contexts."""
import os
import pathlib
import shutil

import peers
from measure import Row, both, measure
from peers import buildah, buildkit, give_busybox, sh

FROM = "FROM bench/busybox\n"


def builders(engines):
    """podman's build is buildah's."""
    return [p for p in engines if p.name != "podman"] + buildkit(engines) + buildah(engines)


def give_buildah(engines):
    """Its short names are resolved to nothing but localhost's here."""
    for p in engines:
        if p.name == "podman":
            p.do("tag", "bench/busybox", "docker.io/bench/busybox")


def build_dir(name, dockerfile):
    d = peers.work / f"build-{name}"
    d.mkdir(exist_ok=True)
    (d / "Dockerfile").write_text(dockerfile)
    return d


def build(p, d, *flags):
    p.do("build", "-q", "-t", "bench/built", *flags, str(d))


class Stamp:
    """Another number for each build that must find nothing in the cache."""
    serial = 0

    @classmethod
    def next(cls):
        cls.serial += 1
        return str(cls.serial)


def stamped(d, flags=lambda p: ()):
    return lambda p: build(p, d, "--build-arg", f"STAMP={Stamp.next()}", *flags(p))


def w_build(engines, n):
    give_busybox(engines)
    give_buildah(engines)
    all_of_them, n = builders(engines), max(1, n // 3)
    twenty = build_dir("twenty", FROM + "ARG STAMP\n" + "".join(f"RUN echo $STAMP {i} > /f{i}\n" for i in range(20)))
    stages = build_dir("stages", "".join(f"FROM bench/busybox AS s{i}\nARG STAMP\nRUN echo $STAMP; sleep 1; echo {i} > /f{i}\n"
                                         for i in range(4)) +
                       FROM + "".join(f"COPY --from=s{i} /f{i} /\n" for i in range(4)))
    yield Row("3d", "20 RUN steps, nothing cached", measure(all_of_them, n, stamped(twenty)), target={"wall": 0.1, "CPU": 0.12})

    def fixed(p):
        build(p, twenty, "--build-arg", "STAMP=fixed")
    for p in all_of_them:
        fixed(p)
    yield Row("3e", "the same, all cached", measure(all_of_them, n * 2, fixed), target=both(0.12))
    yield Row("3f", "four independent stages of sleep 1",
              measure(all_of_them, n, stamped(stages, lambda p: ("--jobs", "4") if p.name == "buildah" else ())),
              target={"wall": 0.55, "CPU": 0.12})


def node_app():
    """The workshop's Dockerfile upon an application with what it needs in the context: no network in the figures."""
    app = peers.work / "app"
    shutil.copytree(peers.root / "examples/workshop/app", app)
    for i in range(20):
        lib = app / f"lib/l{i}"
        lib.mkdir(parents=True)
        (lib / "package.json").write_text(f'{{"name": "l{i}", "version": "1.0.0", "main": "f0.js"}}\n')
        for j in range(25):
            (lib / f"f{j}.js").write_text("module.exports = 1;\n" * 200)
    needs = ", ".join(f'"l{i}": "file:lib/l{i}"' for i in range(20))
    (app / "package.json").write_text(f'{{"name": "app", "version": "1.0.0", "dependencies": {{{needs}}}}}\n')
    return app


def give_node(engines):
    """Whether the workshop's base image is there."""
    tar = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "proa/base-images/node.tar"
    if not tar.exists():
        print("bench: node left out: its base image is made by ./run demo")
        return False
    for p in engines:
        if "CLI" in p.name:
            continue
        p.do("import", "--change", "ENV npm_config_offline=true npm_config_audit=false npm_config_fund=false",
             str(tar), "node:15.12.0-slim")
        if p.name == "podman":
            p.do("tag", "node:15.12.0-slim", "docker.io/library/node:15.12.0-slim")
    return True


def w_node(engines, n):
    if not give_node(engines):
        return
    app, all_of_them, n = node_app(), builders(engines), max(1, n // 3)
    yield Row("3a", "the workshop's Node application, nothing cached",
              measure(all_of_them, n, lambda p: build(p, app, "--no-cache")), target=both(0.5),
              note="Its own 20 packages instead of the network's.")
    for p in all_of_them:
        build(p, app)
    yield Row("3b", "the same, all cached", measure(all_of_them, n * 2, lambda p: build(p, app)),
              target=both(0.15), limit={"wall": 25, "CPU": 24})
    yield Row("3c", "the same, one source file changed",
              measure(all_of_them, n, lambda p: build(p, app),
                      before=lambda p: (app / "index.js").write_text(f"// {Stamp.next()}\n")), target=both(0.5))


def big_context(name, dockerfile):
    """500 MB in 10,000 files."""
    d = build_dir(name, dockerfile)
    noise = os.urandom(1 << 20)
    for i in range(10000):
        f = d / f"dir{i % 100}/file{i}"
        f.parent.mkdir(exist_ok=True)
        at = i * 7919 % (len(noise) - 50000)
        f.write_bytes(noise[at:at + 50000])
    return d


def w_context(engines, n):
    """A context that no builder has seen is another directory for each build."""
    give_busybox(engines)
    give_buildah(engines)
    all_of_them, n = builders(engines), max(1, n // 4)
    for cold, changed, title, dockerfile, less in (
            ("3g", "3h", "COPY of one file", FROM + "COPY dir7/file7 /app/\n", 0.15),
            ("3i", "3j", "COPY . of it all", FROM + "COPY . /app\n", 0.25)):
        source = big_context(cold, dockerfile)

        def fresh(p):
            p.context = peers.work / f"context-{Stamp.next()}"
            sh(["cp", "-r", source, p.context])
            os.sync()  # what cp left to be written is not the build's
            (p.context / "dir7/file7").write_text(Stamp.next())

        def drop(p):
            shutil.rmtree(p.context)
        yield Row(cold, f"500 MB in 10,000 files, {title}, cold",
                  measure(all_of_them, n, lambda p: build(p, p.context, "--no-cache"), before=fresh, after=drop), target=both(0.15))
        for p in all_of_them:
            build(p, source)
        yield Row(changed, "the same, that file changed" if cold == "3g" else "the same, one file changed",
                  measure(all_of_them, n, lambda p: build(p, source),
                          before=lambda p: (source / "dir7/file7").write_text(Stamp.next())), target=both(less))
        shutil.rmtree(source)
