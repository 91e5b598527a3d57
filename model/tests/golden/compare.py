"""Runs the binary on fresh random checkpoints and prints how it agrees with transformers.

    python compare.py --binary target/release/more-r1 --seeds 1000:1010 [--keep DIR]

Exits 1 if a prompt or an id differs, or a log-probability by more than 1e-3. Text and finish
reason are printed when they differ, and counted, but do not fail the run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import binary
import fresh


def run_seed(program: Path, seed: int, out: Path, kind: str | None) -> list[binary.Verdict | None]:
    """The verdicts of one checkpoint; `None` where the program failed."""
    expected = fresh.make(seed, out)
    shape = expected["shape"]
    print(
        f"seed {seed}: {shape['config']} config, {shape['keys']} keys, "
        f"{'tied' if shape['tied'] else 'own'} head, {shape['dtype']}, {shape['shards']} files, "
        f"{shape['processor']}, {shape['template_in']}"
    )
    verdicts = []
    for number, case in enumerate(expected["cases"]):
        penalty = case["repetition_penalty"]
        label = f"{seed}/{number} ({len(case['images'])} images, penalty {penalty})"
        try:
            got = binary.generate(
                program,
                out / "model",
                [out / file for file in case["images"]],
                case["prompt"],
                case["max_new_tokens"],
                penalty,
            )
        except (RuntimeError, ValueError) as error:
            print(f"FAIL {label}: {error}")
            verdicts.append(None)
            continue
        verdicts.append(binary.judge(case, got))
        print(binary.line(label, verdicts[-1], kind), flush=True)
    return verdicts


def main() -> int:
    """Reads the arguments, runs all seeds, prints the sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--seeds", default="1000:1010", help="first:end, the end left out")
    parser.add_argument("--keep", type=Path, help="keep the checkpoints here")
    parser.add_argument("--kind", choices=binary.KINDS, help="the only kind that counts")
    arguments = parser.parse_args()
    first, end = map(int, arguments.seeds.split(":"))
    verdicts = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(first, end):
            out = (arguments.keep or Path(scratch)) / str(seed)
            verdicts += run_seed(arguments.binary, seed, out, arguments.kind)
    answered = [verdict for verdict in verdicts if verdict]
    kinds = {kind: sum(v.kind == kind for v in answered) for kind in binary.KINDS}
    worst = max((v.drift[v.kind] for v in answered), default=float("nan"))
    print(
        f"{len(verdicts)} prompts: {sum(v.ids_equal for v in answered)} ids equal, "
        f"{sum(v.prompt_equal for v in answered)} prompts equal, "
        f"{sum(v.text_equal for v in answered)} texts, {sum(v.reason_equal for v in answered)} "
        f"reasons; max |dlogprob| {worst:.2e} (nearest kind: {kinds})"
    )
    return 0 if verdicts and all(v and v.good(arguments.kind) for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
