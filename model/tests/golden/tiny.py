"""Makes the golden checkpoints `a`, `b`, `c` and what transformers answers on them.

    python tiny.py [a] [b] [c]

Each variant is a directory a user could have downloaded, with random weights; `README.md` lists
what is written beside it. Nothing here measures mistakes: `mistakes.py` does.
"""

import sys
from pathlib import Path

import torch
from PIL import Image

import checkpoint
import common

HERE = Path(__file__).parent
NEW_TOKENS = 24
# Logits are kept for the last prompt position and for the steps after it, as far as this.
LOGIT_ROWS = 6

# width, height, seed. The limits below leave `small` alone, shrink `photo` by max_pixels, enlarge
# `dot` by min_pixels; `tall` and `wide` have windows cut at the edge.
IMAGES = {
    "tall": (150, 170, 1),
    "wide": (197, 60, 2),
    "small": (84, 84, 3),
    "photo": (260, 200, 4),
    "dot": (40, 31, 5),
}
MIN_PIXELS, MAX_PIXELS = 56 * 56, 28 * 28 * 36

VARIANTS = {
    # As the published 3B file: flat config, old keys, tied head, one file, bf16.
    "a": {
        "seed": 1,
        "config": "flat",
        "keys": "old",
        "tied": True,
        "dtype": "bfloat16",
        "shards": 1,
        "template_in": "tokenizer_config.json",
        "merge_pairs": False,
        "processor": "min_max",
        "merges": 130,
        "spare_ids": 16,
        "rope_theta": 1000000.0,
        "mrope_section": [2, 3, 3],
        "text": {
            "hidden_size": 64,
            "intermediate_size": 76,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-06,
        },
        "vision": {
            "depth": 4,
            "hidden_size": 48,
            "intermediate_size": 68,
            "num_heads": 4,
            "window_size": 112,
            "fullatt_block_indexes": [1, 3],
        },
    },
    # As transformers 5 keeps it in memory: nested config, new keys, own head, three files, f32.
    "b": {
        "seed": 7,
        "config": "parameters",
        "keys": "new",
        "tied": False,
        "dtype": "float32",
        "shards": 3,
        "template_in": "chat_template.jinja",
        "merge_pairs": True,
        "processor": "size",
        "merges": 100,
        "spare_ids": 6,
        "rope_theta": 10000.0,
        "mrope_section": [2, 3, 3],
        "text": {
            "hidden_size": 48,
            "intermediate_size": 60,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-05,
        },
        "vision": {
            "depth": 4,
            "hidden_size": 24,
            "intermediate_size": 36,
            "num_heads": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1, 3],
        },
    },
    # As releases in between wrote it: text_config with rope_scaling, tie said inside, f16.
    "c": {
        "seed": 7,
        "config": "scaling",
        "keys": "old",
        "tied": True,
        "dtype": "float16",
        "shards": 1,
        "template_in": "chat_template.json",
        "merge_pairs": True,
        "processor": "processor",
        "merges": 120,
        "spare_ids": 0,
        "rope_theta": 500000.0,
        "mrope_section": [4, 3, 5],
        "text": {
            "hidden_size": 72,
            "intermediate_size": 52,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "rms_norm_eps": 1e-06,
        },
        "vision": {
            "depth": 4,
            "hidden_size": 40,
            "intermediate_size": 54,
            "num_heads": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1, 3],
        },
    },
}

LONG = " ".join(
    f"{n}. The captain of team {n * 7} lifts the trophy; the crowd at the city's gate isn't far."
    for n in range(1, 13)
)


def cases() -> list[dict]:
    """Name, messages, images and repetition penalty of every case."""
    talk = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Who lifts the trophy?"},
        {"role": "assistant", "content": "The captain."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And here:"},
                {"type": "image"},
                {"type": "text", "text": " the same person?"},
            ],
        },
    ]
    plain = [
        ("no_image", "What is the relation of the object to the entity?", [], 1.0),
        ("one_image", "Describe the image.", ["tall"], 1.0),
        ("two_images", "Are they the same team?", ["tall", "wide"], 1.0),
        ("two_images_swapped", "Are they the same team?", ["wide", "tall"], 1.0),
        ("shrunk_and_enlarged", "café 東京, 2024!", ["photo", "dot"], 1.0),
        ("long_text", LONG, [], 1.0),
        ("long_text_image", LONG[:200], ["small"], 1.0),
        ("penalty", "The captain of the team.", [], 1.3),
        ("penalty_image", "The captain of the team.", ["wide"], 1.3),
    ]
    made = [
        {
            "name": name,
            "messages": common.user_message(prompt, len(images)),
            "prompt": prompt,
            "images": images,
            "repetition_penalty": penalty,
        }
        for name, prompt, images, penalty in plain
    ]
    made.append(
        {
            "name": "conversation",
            "messages": talk,
            "prompt": None,
            "images": ["small"],
            "repetition_penalty": 1.0,
        }
    )
    return made


def make_images() -> dict[str, Image.Image]:
    """Writes the pictures once; the tests read the same files."""
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    images = {}
    for name, (width, height, seed) in IMAGES.items():
        images[name] = common.draw_image(width, height, seed)
        images[name].save(folder / f"{name}.png", optimize=True)
    return images


def patch_bytes(processor, name: str, pixels: torch.Tensor) -> torch.Tensor:
    """The resized bytes behind `pixel_values`, half as wide because both frames are equal.

    `(byte - mean * 255) / (std * 255)` in f32 gives the floats back bit by bit; that is asserted.
    """
    settings = processor.image_processor
    mean = torch.tensor(settings.image_mean, dtype=torch.float32)[:, None] * 255
    std = torch.tensor(settings.image_std, dtype=torch.float32)[:, None] * 255
    frames = pixels.reshape(len(pixels), 3, 2, 196)
    assert torch.equal(frames[:, :, 0], frames[:, :, 1]), name
    values = (frames[:, :, 0] * std + mean).round().clamp(0, 255)
    again = (values - mean) / std
    assert torch.equal(again, frames[:, :, 0]), f"{name}: {(again - frames[:, :, 0]).abs().max()}"
    return values.to(torch.uint8).reshape(len(pixels), 588)


def make_pixels(processor, images: dict) -> None:
    """Writes images.safetensors: what every variant's processor gives for the pictures."""
    tensors = {}
    for name, image in images.items():
        out = processor.image_processor(images=[image], return_tensors="pt")
        tensors[f"{name}.patches_u8"] = patch_bytes(processor, name, out["pixel_values"])
        tensors[f"{name}.grid_thw"] = out["image_grid_thw"]
        if name == "small":
            tensors[f"{name}.pixel_values"] = out["pixel_values"][:4].contiguous()
    common.write_blob(HERE / "images.safetensors", tensors)


@torch.no_grad()
def make_case(folder: Path, model, processor, images: dict, case: dict) -> tuple[dict, dict]:
    """What goes into the JSON and what goes into the blob for one case."""
    name = case["name"]
    encoded = common.encode(processor, case["messages"], [images[i] for i in case["images"]])
    result = common.answer(
        folder, model, processor, encoded, NEW_TOKENS, case["repetition_penalty"]
    )
    logits = result.pop("logits")
    full = torch.cat([encoded["input_ids"], torch.tensor([result["token_ids"]])], dim=1)
    inputs = common.model_inputs(encoded) | {"input_ids": full}
    length = encoded["input_ids"].shape[1]
    inputs["attention_mask"] = torch.ones_like(full)
    types = torch.zeros_like(full)
    if case["images"]:
        types[:, :length] = encoded["mm_token_type_ids"]
        positions, delta = model.model.get_rope_index(
            encoded["input_ids"],
            mm_token_type_ids=encoded["mm_token_type_ids"],
            image_grid_thw=encoded["image_grid_thw"],
            attention_mask=encoded["attention_mask"],
        )
        delta = int(delta)
    else:
        positions, delta = torch.arange(length).expand(3, 1, -1), 0
    inputs["mm_token_type_ids"] = types
    model.model.rope_deltas = None
    forced = model(**inputs, use_cache=False).logits[0, length - 1 : -1]
    # Generation with the cache and one pass over everything are one computation.
    assert (forced - logits).abs().max() < 5e-4, (name, (forced - logits).abs().max())
    tensors = {
        f"{name}.position_ids": positions[:, 0].to(torch.int32),
        f"{name}.logits": forced[:LOGIT_ROWS].contiguous(),
    }
    if case["images"]:
        tensors[f"{name}.image_grid_thw"] = encoded["image_grid_thw"]
        embeds = model.model.get_image_features(
            encoded["pixel_values"], encoded["image_grid_thw"], return_dict=True
        ).pooler_output
        tensors[f"{name}.image_embeds"] = torch.cat(embeds).contiguous()
    spread = float(logits.std())
    record = {
        **case,
        "rendered": encoded["text"],
        "rope_delta": delta,
        **result,
        "min_margin": min(result["margins"]),
        "logit_std": spread,
    }
    del record["margins"]
    print(
        f"{folder.name} {name}: {length} tokens, std {spread:.1f}, margin "
        f"{record['min_margin']:.3f}, distinct {len(set(result['token_ids']))}, "
        f"{result['finish_reason']}"
    )
    return record, tensors


@torch.no_grad()
def make_stages(model, processor, images: dict) -> dict:
    """The insides of one picture and one prompt, to find the place of a difference."""
    tensors = {}

    def keep(name: str):
        def hook(_module, _inputs, output):
            value = output[0] if isinstance(output, tuple) else output
            tensors[name] = value.detach().reshape(-1, value.shape[-1]).clone()

        return hook

    visual, text = model.model.visual, model.model.language_model
    hooks = [visual.patch_embed.register_forward_hook(keep("stages.vision.patch_embed"))]
    for n, block in enumerate(visual.blocks):
        hooks.append(block.register_forward_hook(keep(f"stages.vision.block.{n}")))
    hooks.append(visual.merger.register_forward_hook(keep("stages.vision.merger")))
    for n, layer in enumerate(text.layers):
        hooks.append(layer.register_forward_hook(keep(f"stages.text.layer.{n}")))
    hooks.append(text.norm.register_forward_hook(keep("stages.text.norm")))
    encoded = common.encode(processor, common.user_message("Hi", 1), [images["wide"]])
    model.model.rope_deltas = None
    logits = model(**common.model_inputs(encoded), use_cache=False).logits[0]
    for hook in hooks:
        hook.remove()
    tensors["stages.input_ids"] = encoded["input_ids"][0]
    tensors["stages.last_logits"] = logits[-1].clone()
    return tensors


def make_variant(name: str, images: dict) -> None:
    """Writes one checkpoint directory, its cases and its blob."""
    shape = VARIANTS[name] | {"min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS}
    folder = HERE / name
    tokenizer = checkpoint.write_checkpoint(folder, shape, shape["seed"])
    model, processor = common.open_model(folder), common.open_processor(folder)
    made = [make_case(folder, model, processor, images, case) for case in cases()]
    if name == "c":
        # One more end, taken from what the network says, so that a case stops at it.
        extra = early_end([record for record, _ in made])
        checkpoint.write_generation_config(folder, tokenizer, [extra])
        model = common.open_model(folder)
        made = [make_case(folder, model, processor, images, case) for case in cases()]
        assert any(record["finish_reason"] == "stop" for record, _ in made)
    tensors = {key: value for _, part in made for key, value in part.items()}
    if name == "a":
        make_pixels(processor, images)
        tensors |= make_stages(model, processor, images)
    header = {
        "made_with": f"transformers {common.transformers_version()}, torch {torch.__version__}",
        "suppressed_token_ids": common.suppressed(folder, model),
        "max_new_tokens": NEW_TOKENS,
        "cases": [record for record, _ in made],
    }
    common.write_json(HERE / f"{name}.json", header)
    common.write_blob(HERE / f"{name}.safetensors", tensors)


def early_end(records: list[dict]) -> int:
    """An ordinary token that ends the fewest cases, one of them between step 4 and 20."""
    usable = {}
    for record in records:
        for step, token in enumerate(record["token_ids"]):
            usable.setdefault(token, []).append((record["name"], step))
    fair = {
        token: {name for name, _ in places}
        for token, places in usable.items()
        if all(4 <= step for _, step in places) and any(step <= 20 for _, step in places)
    }
    return min(fair, key=lambda token: (len(fair[token]), token))


if __name__ == "__main__":
    drawn = make_images()
    for variant in sys.argv[1:] or VARIANTS:
        make_variant(variant, drawn)
