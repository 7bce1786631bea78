"""docs/benchmarks.md and a plot for each of its sections."""
import os
import pathlib
import platform
import re

from measure import NO_PEER
from peers import have, sh


def number(x):
    return f"{x:.0f}" if x >= 1000 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def times(x):
    return "" if x is None else f"{x:.1f}×" if x >= 10 else f"{x:.2f}×"


def samples(row, name, at, better):
    values = [s[at] for s in row.results[name]]
    middle = row.median(name, row.metrics[at][0])
    return number(middle) if len(values) == 1 else f"{number(middle)} ({number(better(values))})"


def table(row):
    heads = [f"{m}, {unit}: median ({'least' if better is min else 'most'})" for m, unit, better in row.metrics]
    against = [f"{m} against the best peer" for m, _, _ in row.metrics]
    lines = [f"### {row.number} {row.title}\n", "| | n | " + " | ".join(heads + against) + " |",
             "|---|---|" + "---|" * (2 * len(row.metrics))]
    for name, v in row.results.items():
        if isinstance(v, str):
            lines.append(f"| {name} | 0 | failed: {v} |" + " |" * (2 * len(row.metrics) - 1))
            continue
        cells = [samples(row, name, i, m[2]) for i, m in enumerate(row.metrics)]
        cells += [times(row.ratio(name, m[0])) for m in row.metrics]
        lines.append(f"| {name} | {len(v)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{verdict(row)}\n" + (f"{row.note}\n" if row.note else "")


def judge(row):
    """[(what was aimed at, what came out, whether that is reached)] for our program."""
    ours, out = row.ours(), []
    if ours is None:
        return out
    for metric, unit, better in row.metrics:
        for aims, got, form in ((row.target, row.ratio(ours, metric), times),
                                (row.limit, row.median(ours, metric), lambda x, u=unit: f"{number(x)} {u}")):
            if metric in aims and got is not None:
                sign = "≤" if better is min else "≥"
                reached = got <= aims[metric] if better is min else got >= aims[metric]
                out.append((f"{metric} {sign} {form(aims[metric])}", form(got), reached))
    return out


def verdict(row):
    said = [f"{aim}: {got}, {'reached' if ok else '**missed**'}" for aim, got, ok in judge(row)]
    return "Target: " + "; ".join(said) + "." if said else "No target."


def summary(sections):
    """A line for each row that has a target."""
    lines = ["| | workload | target | measured | |", "|---|---|---|---|---|"]
    for rows in sections.values():
        for row in rows:
            for aim, got, ok in judge(row):
                lines.append(f"| {row.number} | {row.title} | {aim} | {got} | {'reached' if ok else '**missed**'} |")
    return "\n".join(lines) + "\n"


def svg(rows):
    """Bars of the first metric's median, each row scaled to its longest."""
    out, y = [], 10
    for row in rows:
        metric, unit, _ = row.metrics[0]
        out.append(f'<text x="10" y="{y + 14}" font-weight="bold">{escape(row.number + " " + row.title)}</text>')
        y += 22
        medians = {n: m for n in row.results if (m := row.median(n, metric)) is not None}
        longest = max(medians.values(), default=1) or 1
        for name, value in medians.items():
            colour = "#2a7ab0" if name.startswith("proa") else "#dddddd" if name in NO_PEER else "#b0b0b0"
            width = max(1, 400 * value / longest)
            out.append(f'<text x="150" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
                       f'<rect x="158" y="{y}" width="{width:.0f}" height="15" fill="{colour}"/>'
                       f'<text x="{164 + width:.0f}" y="{y + 12}">{number(value)} {unit}</text>')
            y += 19
        y += 10
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="720" height="{y}" fill="white"/>' + "".join(out) + "</svg>\n")


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def machine():
    cpu = next((x.split(":")[1].strip() for x in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if x.startswith("model name")), "?")
    mem = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // 1048576
    versions = [sh([p, "--version"], check=False).split("\n")[0].removesuffix(" ")
                for p in ("dockerd", "podman", "buildah", "skopeo", "crun", "runc", "docker-registry") if have(p)]
    return (f"{cpu}, {os.cpu_count()} cores, {mem} GiB, Linux {platform.release()}; load at the start "
            f"{os.getloadavg()[0]:.1f}. Peers: {'; '.join(versions)}.")


def section(name, rows, load):
    return (f"## {name}\n\nLoad at its start: {load:.1f}.\n\n" + "\n".join(table(r) for r in rows) + f"\n![{name}](bench-{name}.svg)\n")


HEAD = """# Benchmarks

Made by `make bench`: every peer in the same run, taking turns. CPU is what client, engine, shims,
runtime and containers spent together. Trust ratios more than milliseconds. Each ratio is against the
best peer in that metric, be it another one for CPU than for the clock; the floor, `skopeo` where it
unpacks nothing, and our engine asked by the docker CLI are no peers. The numbers are those of our
paper on performance, whose targets are judged as they came out.
"""


def findings():
    """What profiles said of the targets that were missed; by hand."""
    return (pathlib.Path(__file__).parent / "findings.md").read_text()


def page(sections, loads, where):
    return (f"{HEAD}\nMachine: {where}\n\n## Targets\n\n{summary(sections)}\n## Findings\n\n{findings()}\n" +
            "\n".join(section(n, rows, loads[n]) for n, rows in sections.items()))


def merged(text, sections, loads, where):
    """The page that is there with these sections in the place of their older ones; the targets' lines too."""
    head, *old = ("\n" + text).split("\n## ")
    have_now = {"Targets": "Targets\n", "Findings": ""} | {s.split("\n")[0]: s for s in old}
    for name, rows in sections.items():
        s = section(name, rows, loads[name]).removeprefix("## ")
        have_now[name] = s.replace("\n\n", f"\n\nMeasured on: {where} ", 1)
    have_now["Targets"] = merged_targets(have_now["Targets"], sections)
    have_now["Findings"] = f"Findings\n\n{findings()}"
    return "\n## ".join([head, *(s.rstrip("\n") + "\n" for s in have_now.values())])[1:]


def merged_targets(old, sections):
    new = summary(sections).splitlines()
    measured = {row.number for rows in sections.values() for row in rows}
    lines = new[2:] + [x for x in old.splitlines() if x.startswith("| ") and x.split("|")[1].strip() not in measured | {""}]
    lines.sort(key=lambda x: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", x.split("|")[1].strip())])
    return "Targets\n\n" + "\n".join(new[:2] + lines) + "\n"
