"""Runs `more-r1 generate` and holds its answer against the one of transformers.

Makes no checkpoint and no expectation: `compare.py` and `mini.py` bring those.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The kinds of log-probability that `common.answer` gives.
KINDS = ("raw", "masked", "processed")
# Log-probabilities may differ by this much (f32, other order of sums).
LOGPROB_TOLERANCE = 1e-3
# A step where the best two logits are closer than this may go either way in f32.
TIE = 2e-4


@dataclass
class Verdict:
    """How one answer compares. `drift` is the largest |dlogprob| for each kind of expectation."""

    prompt_equal: bool
    ids_equal: bool
    text_equal: bool
    reason_equal: bool
    drift: dict[str, float]
    note: str

    @property
    def kind(self) -> str:
        """The kind of log-probability the binary seems to report: the nearest one."""
        return min(self.drift, key=self.drift.get)

    def good(self, kind: str | None) -> bool:
        """Ids equal and log-probabilities of `kind` (or of any one kind) within tolerance."""
        near = self.drift[kind or self.kind] <= LOGPROB_TOLERANCE
        return self.prompt_equal and self.ids_equal and near


def generate(
    program: Path, model: Path, images: list[Path], prompt: str, tokens: int, penalty: float
) -> dict:
    """One call as a user would make it; raises with the program's own words if it fails."""
    command = [str(program), "generate", "--model", str(model)]
    for image in images:
        command += ["--image", str(image)]
    command += [f"--prompt={prompt}", "--max-new-tokens", str(tokens), "--temperature", "0"]
    command += ["--repetition-penalty", str(penalty), "--dtype", "f32", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)


def judge(expected: dict, got: dict) -> Verdict:
    """Compares one answer with the expected one."""
    want, have = expected["token_ids"], got["token_ids"]
    shorter = min(len(want), len(have))
    common_steps = next((i for i in range(shorter) if want[i] != have[i]), shorter)
    notes = []
    if got["prompt_token_ids"] != expected["prompt_token_ids"]:
        sizes = len(got["prompt_token_ids"]), len(expected["prompt_token_ids"])
        notes.append(f"prompt of {sizes[0]} tokens, not {sizes[1]}")
    if want != have:
        if common_steps < shorter:
            margin = expected["margins"][common_steps]
            tie = " (a tie)" if margin < TIE else ""
            step = f"step {common_steps}: {have[common_steps]} for {want[common_steps]}"
            notes.append(f"{step}, margin {margin:.2e}{tie}")
        else:
            notes.append(f"{len(have)} tokens for {len(want)}, equal as far as they go")
    drift = {}
    for kind in KINDS:
        pairs = zip(expected[f"logprobs_{kind}"][:common_steps], got["logprobs"][:common_steps])
        drift[kind] = max((abs(a - b) for a, b in pairs), default=float("inf"))
    return Verdict(
        prompt_equal=got["prompt_token_ids"] == expected["prompt_token_ids"],
        ids_equal=want == have,
        text_equal=got["text"] == expected["text"],
        reason_equal=got["finish_reason"] == expected["finish_reason"],
        drift=drift,
        note="; ".join(notes),
    )


def line(label: str, verdict: Verdict, kind: str | None) -> str:
    """One row of the printed table."""
    drift = " ".join(f"{kind} {value:.1e}" for kind, value in verdict.drift.items())
    flags = [
        word
        for word, wrong in (
            ("PROMPT", not verdict.prompt_equal),
            ("IDS", not verdict.ids_equal),
            ("text", not verdict.text_equal),
            ("reason", not verdict.reason_equal),
        )
        if wrong
    ]
    state = "ok  " if verdict.good(kind) else "FAIL"
    rest = f"differs: {' '.join(flags)} {verdict.note}" if flags else ""
    return f"{state} {label}: |dlogprob| {drift} {rest}".rstrip()
