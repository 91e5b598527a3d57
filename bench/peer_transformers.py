"""transformers on the folder that `more-r1 bench --write-hf DIR` wrote, for the work that `more-r1 bench` does.

    python peer_transformers.py DIR --shape 7b [--device cuda:0] [--dtype bf16] [--out FILE]

Writes JSON lines with the keys of bench/src/line.rs; the same part and case mean the same work. It is given what helps it: prompts of
one length, so nothing is padded; keys and values of a batch copied, not computed; steps without `generate` around them, except in
whole samples. Attention is PyTorch's `sdpa`. Nothing is compiled (`torch.compile`), and nobody's work is reused.

Not here: attention and products alone, which are PyTorch's, and a gate: `report.py` compares the greedy ids.
"""

import time

START = time.perf_counter()

import argparse
import inspect
import json
import math
import os
import statistics
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoImageProcessor, DynamicCache, Qwen2_5_VLForConditionalGeneration

# bench/src/network.rs, bench/src/samples.rs
PHOTO, CROP = (640, 427), (150, 200)
PROMPT, GREEDY, PENALTY = 734, 32, 1.5
CONSTANT, TITLE, ENTITY, ANSWER = 300, 30, 20, 330
# Ids that the engine never says.
SILENT = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
MOST_REPEATS, MOST_STEPS = 50, 64


def ids(seed: int, count: int) -> list[int]:
    """The ids of bench/src/jobs.rs."""
    return [(at * 31 + seed * 101 + at * at % 97) % 256 for at in range(count)]


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """The picture of bench/src/jobs.rs."""
    width, height = size
    y, x, channel = numpy.ogrid[:height, :width, :3]
    mixed = x * 73 + y * 151 + x * y % 89 * 7 + channel * 59 + seed * 37
    return Image.fromarray((mixed % 256).astype(numpy.uint8))


class Peer:
    """A model, and lines about it."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[arguments.dtype]
        torch.backends.cuda.matmul.allow_tf32 = False
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        folder = arguments.folder
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=self.dtype)
        self.model = self.model.to(self.device).eval()
        self.processor = AutoImageProcessor.from_pretrained(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "config.json").read_text())
        self.image = config["image_token_id"]
        self.frame = [config["vision_start_token_id"], self.image, config["vision_end_token_id"]]
        self.merge = config["vision_config"]["spatial_merge_size"] ** 2
        self.out = arguments.out.open("w") if arguments.out else sys.stdout

    def line(self, part: str, case: str, unit: str, **figures) -> None:
        """Writes one line."""
        machine = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"{os.cpu_count()} cores"
        said = {
            "who": "transformers",
            "version": f"{transformers.__version__}, torch {torch.__version__}",
            "device": self.arguments.device,
            "machine": machine,
            "dtype": self.arguments.dtype,
            "shape": self.arguments.shape,
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "part": part,
            "case": case,
            "unit": unit,
        }
        print(json.dumps(said | figures, ensure_ascii=False), file=self.out, flush=True)

    def sync(self) -> None:
        """Waits for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def times(self, limit: float, work) -> list[float]:
        """Seconds of repeats of `work`, after two that do not count (one, where that alone takes longer than `limit`)."""

        def once() -> float:
            start = time.perf_counter()
            work()
            self.sync()
            return time.perf_counter() - start

        if once() < limit:
            once()
        times, start = [], time.perf_counter()
        while not times or (time.perf_counter() - start < limit and len(times) < MOST_REPEATS):
            times.append(once())
        return times

    def millis(self, part: str, case: str, times: list[float], note: str = "") -> None:
        """A line of times."""
        figures = {
            "median": statistics.median(times) * 1e3,
            "min": min(times) * 1e3,
            "max": max(times) * 1e3,
            "repeats": len(times),
        }
        self.line(part, case, "ms", **figures, **({"note": note} if note else {}))

    def inputs(self, texts: list[list[int]], pictures: list[Image.Image]) -> dict:
        """What the model takes of rows of ids, one placeholder a picture, all of one length, and their pictures in order."""
        made, grids = {}, iter(())
        if pictures:
            made = dict(self.processor(images=pictures, return_tensors="pt"))
            grids = iter(made["image_grid_thw"].tolist())
            made["pixel_values"] = made["pixel_values"].to(self.dtype)
        rows = []
        for text in texts:
            row = []
            for token in text:
                row += [token] * (math.prod(next(grids)) // self.merge if token == self.image else 1)
            rows.append(row)
        made["input_ids"] = torch.tensor(rows)
        made["attention_mask"] = torch.ones_like(made["input_ids"])
        if "mm_token_type_ids" in inspect.signature(self.model.forward).parameters:
            made["mm_token_type_ids"] = (made["input_ids"] == self.image).int()
        return {key: value.to(self.device) for key, value in made.items()}

    def generate(self, inputs: dict, count: int, **more) -> torch.Tensor:
        """So many greedy tokens behind each row, no fewer."""
        found = self.model.generate(
            **inputs,
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            **{"repetition_penalty": 1.0} | more,
        )
        return found[:, inputs["input_ids"].shape[1] :]

    def vision(self) -> None:
        """The tower over a photo, a crop, several photos."""
        cases = [("photo", PHOTO, 1), ("crop", CROP, 1), ("photo", PHOTO, 8)]
        for name, size, count in cases:
            made = self.processor(images=[noise(size, seed) for seed in range(count)], return_tensors="pt")
            pixels, grid = made["pixel_values"].to(self.device, self.dtype), made["image_grid_thw"].to(self.device)
            times = self.times(min(2, self.arguments.budget_seconds / 3), lambda: self.model.model.visual(pixels, grid_thw=grid))
            self.millis("vision", f"{name} {size[0]}×{size[1]}, {count} at once", times)

    def prefill(self) -> None:
        """Prompts up to their first token."""
        for count in (1, 8):
            inputs = self.inputs([ids(seed, PROMPT) for seed in range(count)], [])

            def work() -> None:
                self.model(**inputs, use_cache=True, logits_to_keep=1).logits.argmax(-1).cpu()

            times = self.times(min(2, self.arguments.budget_seconds / 2), work)
            rate = count * PROMPT / statistics.median(times)
            self.millis("prefill", f"{count} × {PROMPT} tokens", times, f"{rate:.0f} tokens/s")

    def decode(self) -> None:
        """Steps of one token for each of a batch."""
        end = time.perf_counter() + self.arguments.budget_seconds
        cases = [(context, batch) for context in self.arguments.contexts for batch in self.arguments.batches]
        for context, batch in cases:
            case = f"batch {batch}, context {context}"
            if time.perf_counter() > end:
                self.line("decode", case, "", note="not measured: the part's time was used up")
                continue
            try:
                times = self.steps(context, batch, self.arguments.budget_seconds / len(cases))
            except torch.OutOfMemoryError:
                self.line("decode", case, "", note="not measured: out of memory")
                continue
            self.millis("decode", case, times, f"{batch / statistics.median(times):.0f} tokens/s, no generate around it")

    def steps(self, context: int, batch: int, limit: float) -> list[float]:
        """Seconds of steps, after three that do not count."""
        cache = DynamicCache(config=self.model.config.get_text_config())
        logits = self.model(**self.inputs([ids(0, context)], []), past_key_values=cache, logits_to_keep=1).logits
        cache.batch_repeat_interleave(batch)
        token = logits[:, -1:].argmax(-1).repeat(batch, 1)
        times, start = [], time.perf_counter()
        while len(times) < 6 or (len(times) < MOST_STEPS and time.perf_counter() - start < min(2, limit)):
            begin = time.perf_counter()
            place = torch.full((3, batch, 1), cache.get_seq_length(), device=self.device)
            logits = self.model(input_ids=token, position_ids=place, past_key_values=cache).logits
            token = logits[:, -1:].argmax(-1)
            token.cpu()
            times.append(time.perf_counter() - begin)
        return times[3:]

    def samples(self) -> None:
        """Whole answers of static batches; the best of some sizes stands for it."""
        half = self.arguments.budget_seconds / 2
        end = time.perf_counter() + self.arguments.budget_seconds
        best = None
        for batch in sorted({1, *self.arguments.batches}):
            try:
                inputs = self.questions(batch)
                self.generate(inputs, 2)
                self.sync()
                start = time.perf_counter()
                self.generate(inputs, 1)
                self.sync()
                prompts = time.perf_counter() - start
                start = time.perf_counter()
                self.generate(inputs, 9)
                self.sync()
                step = max(time.perf_counter() - start - prompts, 0) / 8
                expected = prompts + step * (ANSWER - 1)
                if time.perf_counter() + expected > end and (best or expected > half):
                    break
                start = time.perf_counter()
                self.generate(inputs, ANSWER)
                self.sync()
                rate = batch / (time.perf_counter() - start)
            except torch.OutOfMemoryError:
                break
            self.line("samples", f"without reuse, batch {batch}", "samples/s", median=rate)
            best = max(best or (0, 0), (rate, batch))
        if best:
            self.line("samples", "without reuse", "samples/s", median=best[0], note=f"the best of its batches, {best[1]}")
        else:
            self.line("samples", "without reuse", "", note="not measured: an answer takes too long")

    def questions(self, count: int) -> dict:
        """Requests like those of bench/src/samples.rs, each with a photo and a crop."""
        texts = [
            ids(0, CONSTANT) + self.frame + ids(1000 + n, TITLE) + self.frame + ids(100_000 + n, ENTITY) for n in range(count)
        ]
        pictures = [noise(size, n) for n in range(count) for size in (PHOTO, CROP)]
        return self.inputs(texts, pictures)

    def greedy(self) -> None:
        """The tokens that `more-r1 bench greedy` gives too."""
        known = self.tokenizer.get_vocab(with_added_tokens=True)
        never = set(range(self.model.config.get_text_config().vocab_size)) - set(known.values())
        ends = self.model.generation_config.eos_token_id
        never |= {known[token] for token in SILENT if token in known} | set(ends if isinstance(ends, list) else [ends])
        before, behind = ids(1, 40), ids(2, 60)
        for case, text, pictures in [
            ("text", before + behind, []),
            ("photo and text", before + self.frame + behind, [noise(PHOTO, 0)]),
        ]:
            inputs = self.inputs([text], pictures)
            found = self.generate(inputs, GREEDY, repetition_penalty=PENALTY, suppress_tokens=sorted(never))
            self.line("greedy", case, "ids", ids=found[0].tolist())

    def ready(self) -> None:
        """From the start of this program to the first token."""
        self.generate(self.inputs([ids(0, 40)], []), 1)
        self.sync()
        self.line("ready", "load and first token", "s", median=time.perf_counter() - START)

    def memory(self) -> None:
        """What is held at most."""
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_reserved(self.device)
            self.line("memory", "device's allocator", "GiB", median=peak / 2**30, note="at most")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.line("memory", "process, at most", "GiB", median=int(line.split()[1]) / 2**20)


PARTS = ["ready", "greedy", "vision", "prefill", "decode", "samples", "memory"]


def numbers(text: str) -> list[int]:
    """`1,8` as a list."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Reads the arguments, runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a checkpoint in Hugging Face layout")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without it all")
    parser.add_argument("--shape", default="", help="what the lines call its sizes; without it the folder's name")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="bf16")
    parser.add_argument("--batches", type=numbers, default=numbers("1,8,32,64,128,256"))
    parser.add_argument("--contexts", type=numbers, default=numbers("734,2048"))
    parser.add_argument("--budget-seconds", type=float, default=60, help="of a part")
    parser.add_argument("--out", type=Path, help="where the lines go; without it to stdout")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}")
    arguments.shape = arguments.shape or arguments.folder.name
    peer = Peer(arguments)
    with torch.inference_mode():
        for part in arguments.parts or PARTS:
            getattr(peer, part)()


if __name__ == "__main__":
    main()
