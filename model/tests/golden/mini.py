"""Opens a checkpoint directory (the shipped mini) in transformers and compares the binary with it.

    python mini.py CHECKPOINT --binary target/release/more-r1 [--image F]... [--prompt T]...

Without pictures it draws some; without prompts it takes its own. Every prompt is asked with no,
one and two pictures. Exits 1 on any difference, as `compare.py` does.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import binary
import common

PROMPTS = [
    "What is the relation of the object to the entity in the headline?",
    "Captain Rossi of the Falcons lifts the trophy in Zürich, 2024. Entity: Falcons.",
]


def main() -> int:
    """Reads the arguments and runs every prompt with no, one and two pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--image", type=Path, action="append", default=[])
    parser.add_argument("--prompt", action="append", default=[])
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--kind", choices=binary.KINDS, help="the only kind that counts")
    arguments = parser.parse_args()
    model = common.open_model(arguments.checkpoint)
    processor = common.open_processor(arguments.checkpoint)
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        files = list(arguments.image)
        for number, (width, height) in enumerate([(320, 240), (97, 143)]):
            if len(files) <= number:
                files.append(Path(scratch) / f"{number}.png")
                common.draw_image(width, height, 100 + number).save(files[-1])
        for prompt in arguments.prompt or PROMPTS:
            for count in (0, 1, 2):
                images = [common.open_image(file) for file in files[:count]]
                encoded = common.encode(processor, common.user_message(prompt, count), images)
                expected = common.answer(
                    arguments.checkpoint,
                    model,
                    processor,
                    encoded,
                    arguments.max_new_tokens,
                    arguments.repetition_penalty,
                )
                label = f"{count} images, {prompt[:40]!r}"
                try:
                    got = binary.generate(
                        arguments.binary,
                        arguments.checkpoint,
                        files[:count],
                        prompt,
                        arguments.max_new_tokens,
                        arguments.repetition_penalty,
                    )
                except (RuntimeError, ValueError) as error:
                    print(f"FAIL {label}: {error}")
                    good = False
                    continue
                verdict = binary.judge(expected, got)
                print(binary.line(label, verdict, arguments.kind), flush=True)
                good &= verdict.good(arguments.kind)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
