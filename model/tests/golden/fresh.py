"""Makes one checkpoint nobody has seen before, with prompts, pictures and the expected answers.

    python fresh.py --seed 7 --out DIR

Shape, config style, key scheme, dtype, shards, head, processor and template file are drawn from
the seed. `DIR/expected.json` lists the cases in the words of `more-r1 generate`; `compare.py`
runs the binary against it.
"""

import argparse
import random
from pathlib import Path

import torch

import checkpoint
import common

NEW_TOKENS = 24

WORDS = (
    "the captain of team city lifts trophy banner crowd who is what in and image object entity "
    "relation don't they're we've 2024 3.14 café naïve 東京 北京 Москва 👍 /per/org (x) -- ... {y}"
).split()


def draw_shape(dice: random.Random) -> dict:
    """A random but valid shape and layout."""
    kv = dice.choice([1, 2, 3])
    heads = kv * dice.choice([1, 2, 4])
    head_dim = dice.choice([12, 16, 20, 32])
    section = draw_section(dice, head_dim // 2)
    vision_heads = dice.choice([1, 2, 3, 4])
    depth = dice.choice([2, 3, 4, 5])
    full = sorted(dice.sample(range(depth), dice.randint(0, depth)))
    return {
        "config": dice.choice(["flat", "parameters", "scaling"]),
        "keys": dice.choice(["old", "new"]),
        "tied": dice.random() < 0.5,
        "dtype": dice.choice(["float32", "float16", "bfloat16"]),
        "shards": dice.choice([1, 1, 2, 3, 5]),
        "template_in": dice.choice(
            ["tokenizer_config.json", "chat_template.jinja", "chat_template.json"]
        ),
        "merge_pairs": dice.random() < 0.5,
        "processor": dice.choice(["min_max", "size", "processor"]),
        "min_pixels": dice.choice([28 * 28 * 4, 28 * 28 * 16]),
        "max_pixels": dice.choice([28 * 28 * 24, 28 * 28 * 48, 28 * 28 * 1280]),
        "merges": dice.choice([0, 60, 200]),
        "spare_ids": dice.choice([0, 1, 7, 50]),
        "rope_theta": dice.choice([10000.0, 500000.0, 1000000.0]),
        "mrope_section": section,
        "text": {
            "hidden_size": heads * head_dim,
            "intermediate_size": dice.randint(40, 200),
            "num_hidden_layers": dice.randint(1, 5),
            "num_attention_heads": heads,
            "num_key_value_heads": kv,
            "rms_norm_eps": dice.choice([1e-6, 1e-5]),
        },
        "vision": {
            "depth": depth,
            "hidden_size": vision_heads * dice.choice([8, 12, 16, 20]),
            "intermediate_size": dice.randint(20, 120),
            "num_heads": vision_heads,
            "window_size": dice.choice([112, 112, 56, 84]),
            "fullatt_block_indexes": full,
        },
    }


def draw_section(dice: random.Random, total: int) -> list[int]:
    """Three numbers, none zero, that add up to half the head."""
    first, second = sorted(dice.sample(range(1, total), 2))
    return [first, second - first, total - second]


def draw_prompt(dice: random.Random) -> str:
    """A few words of several scripts; never a special token, never empty."""
    count = dice.choice([1, 5, 12, 80])
    start = dice.choice(["", " "])
    return start + " ".join(dice.choice(WORDS) for _ in range(count)) + dice.choice("?.! ")


def draw_size(dice: random.Random) -> tuple[int, int]:
    """Width and height: ordinary, long strips, tiny ones."""
    kind = dice.random()
    if kind < 0.6:
        return dice.randint(60, 330), dice.randint(60, 330)
    if kind < 0.8:
        long, short = dice.randint(200, 500), dice.randint(10, 60)
        return dice.choice([(long, short), (short, long)])
    return dice.randint(5, 60), dice.randint(5, 60)


def make(seed: int, out: Path) -> dict:
    """Writes everything and gives the content of expected.json back."""
    dice = random.Random(seed)
    shape = draw_shape(dice)
    out.mkdir(parents=True, exist_ok=True)
    folder, pictures = out / "model", out / "images"
    pictures.mkdir(exist_ok=True)
    tokenizer = checkpoint.write_checkpoint(folder, shape, seed)
    if dice.random() < 0.4:
        # An ordinary token ends the answer as well, so that some of them stop early.
        checkpoint.write_generation_config(folder, tokenizer, [dice.randrange(256)])
    model, processor = common.open_model(folder), common.open_processor(folder)
    cases = []
    for number, count in enumerate([0, 1, 2, dice.choice([0, 1, 3])]):
        files, images = [], []
        for index in range(count):
            width, height = draw_size(dice)
            file = pictures / f"{number}_{index}.png"
            common.draw_image(width, height, dice.randrange(1 << 30)).save(file)
            files.append(str(file.relative_to(out)))
            images.append(common.open_image(file))
        prompt = draw_prompt(dice)
        penalty = dice.choice([1.0, 1.0, 1.1, 1.3])
        encoded = common.encode(processor, common.user_message(prompt, count), images)
        result = common.answer(folder, model, processor, encoded, NEW_TOKENS, penalty)
        del result["logits"]
        cases.append(
            {
                "images": files,
                "prompt": prompt,
                "max_new_tokens": NEW_TOKENS,
                "repetition_penalty": penalty,
                **result,
            }
        )
    expected = {
        "seed": seed,
        "made_with": f"transformers {common.transformers_version()}, torch {torch.__version__}",
        "shape": shape,
        "cases": cases,
    }
    common.write_json(out / "expected.json", expected)
    return expected


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    made = make(arguments.seed, arguments.out)
    margin = min(min(case["margins"]) for case in made["cases"])
    print(f"seed {arguments.seed}: {len(made['cases'])} cases, smallest margin {margin:.4f}")
