"""The lines of one run of bench/gpu.sh as report.json and report.md: ours beside the peer's, the targets, what failed.

    python report.py FOLDER            reads FOLDER/*.jsonl; ends with 1 if something failed
    python report.py --peaks FILE      prints the ceilings in FILE as flags of `more-r1 bench`

Needs nothing but Python. Measures nothing and leaves nothing out: a step that did not run stands in the report too.
"""

import json
import sys
from pathlib import Path

# Of the issue, for one H200 and the 7B: part, case, floor, target, what of the line is meant.
TARGETS = [
    ("samples/s without reuse", "samples", "without reuse", 7.2, 20, "median"),
    ("samples/s with MORE's reuse", "samples", "with reuse", 14, 36, "median"),
    ("ms of a token at batch 1", "decode", "batch 1, context 734", 13, 5.2, "median"),
    ("% of bandwidth, products of 8 rows (down)", "matmul", "down [8, ", 50, 80, "gbs"),
    ("% of peak, prefill", "prefill", "8 × 734 tokens", 25, 60, "operations"),
    ("% of bandwidth, attention at batch 128", "attention", "batch 128, context 734, together", 40, 75, "gbs"),
    ("% idle between steps at batch 64", "decode", "batch 64, context 734", 20, 3, "idle"),
    ("s to ready, warm cache", "ready", "serve, again", 120, 30, "median"),
]


def read(path: Path) -> list[dict]:
    """The lines of a file; one that was cut off in the middle is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            print(f"{path.name}: a line was cut off", file=sys.stderr)
    return lines


def ceilings(lines: list[dict]) -> tuple[float, float]:
    """The most TFLOP/s and GB/s of any shape, as our lines say; the last word counts."""
    found = {line["case"]: line["median"] for line in lines if line["case"].startswith("most of any shape")}
    return found.get("most of any shape, operations", 0), found.get("most of any shape, bytes", 0)


def short(figure: float | None) -> str:
    """Three digits that count."""
    if figure is None:
        return ""
    digits = 0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2 if abs(figure) >= 1 else 4
    return f"{figure:.{digits}f}"


def share(line: dict) -> str:
    """How near the roof a line is."""
    if "predicted" not in line or "median" not in line:
        return ""
    rate = line["unit"].endswith("/s")
    part = line["median"] / line["predicted"] if rate else line["predicted"] / line["median"]
    return f"{100 * part:.0f} %"


def times(line: dict, peer: dict | None) -> str:
    """How many times as fast as the peer."""
    if not peer or "median" not in peer or "median" not in line or line["unit"] not in ("ms", "samples/s"):
        return ""
    rate = line["unit"].endswith("/s")
    return f"{line['median'] / peer['median'] if rate else peer['median'] / line['median']:.2f}×"


def table(ours: list[dict], peers: list[dict]) -> list[str]:
    """Rows by part and case."""
    theirs = {(line["part"], line["case"]): line for line in peers}
    rows = [
        "| part | case | unit | more-r1 | from–to | roof | of it | TFLOP/s | GB/s | transformers | faster | remark |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    seen = set()
    for line in ours:
        key = (line["part"], line["case"])
        seen.add(key)
        peer = theirs.get(key)
        ends = f"{short(line['min'])}–{short(line['max'])}" if "min" in line else ""
        busy = f"GPU busy {line['busy']:.0f} %; " if "busy" in line else ""
        cells = [
            line["part"],
            line["case"],
            line["unit"],
            short(line.get("median")),
            ends,
            short(line.get("predicted")),
            share(line),
            short(line.get("tflops")),
            short(line.get("gbs")),
            short(peer.get("median")) if peer else "",
            times(line, peer),
            busy + line.get("note", ""),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    for key, line in theirs.items():
        if key not in seen:
            cells = [*key, line["unit"], "", "", "", "", "", "", short(line.get("median")), "", line.get("note", "")]
            rows.append("| " + " | ".join(cells) + " |")
    return rows


def targets(ours: list[dict]) -> list[dict]:
    """What of the targets was reached."""
    operations, gbs = ceilings(ours)
    found = []
    for name, part, case, floor, target, of in TARGETS:
        lines = [it for it in ours if it["part"] == part and it["case"].startswith(case)]
        # Of several ways of one thing the best counts.
        line = min((it for it in lines if "median" in it), key=lambda it: it["median"], default=None)
        value = None
        if line and of == "median":
            value = line["median"]
        elif line and of == "gbs" and gbs:
            value = 100 * line["gbs"] / gbs
        elif line and of == "operations" and operations:
            value = 100 * line["tflops"] / operations
        elif line and of == "idle" and "busy" in line:
            value = 100 - line["busy"]
        found.append({"name": name, "floor": floor, "target": target, "value": value})
    return found


def agreement(ours: list[dict], peers: list[dict]) -> list[dict]:
    """How far the greedy ids of both programs go together. In f32 all have to; in 16 bits the first rounding may part them."""
    theirs = {line["case"]: line for line in peers if line["part"] == "greedy"}
    found = []
    for line in ours:
        peer = theirs.get(line["case"])
        if line["part"] != "greedy" or not peer:
            continue
        pairs = list(zip(line["ids"], peer["ids"]))
        equal = next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
        exact = line["dtype"] == peer["dtype"] == "f32"
        passed = not exact or line["ids"] == peer["ids"]
        found.append({"case": line["case"], "equal": equal, "of": len(line["ids"]), "dtype": line["dtype"], "passed": passed})
    return found


def markdown(report: dict) -> str:
    """The report for people."""
    first = next(iter(report["lines"]), {})
    text = [
        f"# {first.get('shape', '?')}, {first.get('dtype', '?')}, {first.get('machine', 'nothing was measured')}",
        "",
        f"{first.get('date', '')}, more-r1 {first.get('version', '?')} {first.get('revision', '')}".rstrip(),
        "",
        "| step | seconds | outcome |",
        "|---|---|---|",
        *(f"| {step['step']} | {step['seconds']} | {step['outcome']} |" for step in report["steps"]),
        "",
        "## Gate",
        "",
        "| type | check | found | allowed | |",
        "|---|---|---|---|---|",
    ]
    for line in report["gate"]:
        word = "ok" if line["passed"] else "**missed**"
        note = line.get("note", "")
        text.append(f"| {line['dtype']} | {line['case']} | {line['median']:.3g} {line['unit']} | {line['limit']:g} | {word}; {note} |")
    for it in report["agreement"]:
        word = "ok" if it["passed"] else "**missed**"
        text.append(f"| {it['dtype']} | greedy ids equal transformers' ({it['case']}) | {it['equal']} | {it['of']} in f32 | {word} |")
    if report["targets"]:
        text += ["", "## Targets", "", "| what | floor | target | found |", "|---|---|---|---|"]
        for it in report["targets"]:
            found = short(it["value"]) if it["value"] is not None else "not measured"
            text.append(f"| {it['name']} | {it['floor']} | {it['target']} | {found} |")
    operations, gbs = report["ceilings"]
    text += ["", "## Figures", "", f"Ceilings found here: {short(operations)} TFLOP/s, {short(gbs)} GB/s.", ""]
    text += table(report["lines"], report["peer"])
    return "\n".join(text) + "\n"


def main() -> int:
    """Writes both reports."""
    if sys.argv[1:2] == ["--peaks"]:
        operations, gbs = ceilings(read(Path(sys.argv[2])))
        if operations and gbs:
            print(f"--peak-tflops {operations:.6g} --peak-gbs {gbs:.6g}")
        return 0
    folder = Path(sys.argv[1])
    files = {path.stem: read(path) for path in sorted(folder.glob("*.jsonl"))}
    # Steps may have been run one by one; of one that was run again the last counts.
    steps = list({step["step"]: step for step in files.pop("steps", [])}.values())
    lines = [line for name in files for line in files[name]]
    lines.sort(key=lambda line: line["date"])
    ours = [line for line in lines if line["who"] == "more-r1" and line["part"] != "gate"]
    peers = [line for line in lines if line["who"] != "more-r1"]
    published = any(line["shape"] == "7b" and line["device"] != "cpu" for line in ours)
    report = {
        "steps": steps,
        "gate": [line for line in lines if line["part"] == "gate"],
        "agreement": agreement(ours, peers),
        "targets": targets(ours) if published else [],
        "ceilings": ceilings(ours),
        "lines": ours,
        "peer": peers,
    }
    (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    passed = all(it["passed"] for it in report["gate"] + report["agreement"])
    done = all(step["outcome"] in ("done", "not run") for step in steps)
    return 0 if passed and done else 1


if __name__ == "__main__":
    sys.exit(main())
