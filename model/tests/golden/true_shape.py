"""Writes a random checkpoint of the true 3B shape, tensor by tensor, to measure loading memory.

    python true_shape.py --out DIR [--layers N]

bf16, two files, old keys, tied head: 3,754,622,976 elements, 7.5 GB on disk. The tokenizer is the
small one of the goldens, so the token ids in config.json are its own; every other number is the
published one. Needs some hundred MB of memory; the values are random, the answers mean nothing.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy

import checkpoint
import common

# The published config.json of Qwen2.5-VL-3B-Instruct, without the token ids.
CONFIG = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 128000,
    "model_type": "qwen2_5_vl",
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "max_window_layers": 70,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
    "vision_config": {
        "depth": 32,
        "hidden_act": "silu",
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "in_chans": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "tokens_per_second": 2,
        "out_hidden_size": 2048,
        "temporal_patch_size": 2,
    },
}
SHARDS = 2
NORMS = ("norm.weight", "norm1.weight", "norm2.weight", "ln_q.weight")
# Values are cut from one pool at changing places: fast to write, and no two tensors are equal.
POOL = 1 << 22


def shapes(config: dict) -> dict[str, list[int]]:
    """Every tensor of the checkpoint under its published name."""
    vision = config["vision_config"]
    d, ff = config["hidden_size"], config["intermediate_size"]
    head = d // config["num_attention_heads"]
    kv = head * config["num_key_value_heads"]
    v, vff, merge = vision["hidden_size"], vision["intermediate_size"], vision["hidden_size"] * 4
    found = {"visual.patch_embed.proj.weight": [v, 3, 2, 14, 14]}
    for n in range(vision["depth"]):
        block = f"visual.blocks.{n}."
        found |= {
            block + "norm1.weight": [v],
            block + "norm2.weight": [v],
            block + "attn.qkv.weight": [3 * v, v],
            block + "attn.qkv.bias": [3 * v],
            block + "attn.proj.weight": [v, v],
            block + "attn.proj.bias": [v],
            block + "mlp.gate_proj.weight": [vff, v],
            block + "mlp.gate_proj.bias": [vff],
            block + "mlp.up_proj.weight": [vff, v],
            block + "mlp.up_proj.bias": [vff],
            block + "mlp.down_proj.weight": [v, vff],
            block + "mlp.down_proj.bias": [v],
        }
    found |= {
        "visual.merger.ln_q.weight": [v],
        "visual.merger.mlp.0.weight": [merge, merge],
        "visual.merger.mlp.0.bias": [merge],
        "visual.merger.mlp.2.weight": [d, merge],
        "visual.merger.mlp.2.bias": [d],
        "model.embed_tokens.weight": [config["vocab_size"], d],
    }
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}."
        found |= {
            layer + "self_attn.q_proj.weight": [d, d],
            layer + "self_attn.q_proj.bias": [d],
            layer + "self_attn.k_proj.weight": [kv, d],
            layer + "self_attn.k_proj.bias": [kv],
            layer + "self_attn.v_proj.weight": [kv, d],
            layer + "self_attn.v_proj.bias": [kv],
            layer + "self_attn.o_proj.weight": [d, d],
            layer + "mlp.gate_proj.weight": [ff, d],
            layer + "mlp.up_proj.weight": [ff, d],
            layer + "mlp.down_proj.weight": [d, ff],
            layer + "input_layernorm.weight": [d],
            layer + "post_attention_layernorm.weight": [d],
        }
    found["model.norm.weight"] = [d]
    return found


def to_bf16(values: numpy.ndarray) -> numpy.ndarray:
    """The upper halves of f32 values (cut, not rounded: they are random)."""
    return (values.astype(numpy.float32).view(numpy.uint32) >> 16).astype(numpy.uint16)


def write_shard(path: Path, part: dict[str, list[int]], pools: dict, dice) -> int:
    """Writes one safetensors file front to back; returns the bytes of its tensors."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in part.items():
        size = 2 * int(numpy.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name, shape in part.items():
            pool = pools["norm" if name.endswith(NORMS) else "weight"]
            left = int(numpy.prod(shape))
            while left:
                start = int(dice.integers(0, POOL // 2))
                piece = pool[start : start + left]
                file.write(piece.tobytes())
                left -= len(piece)
    return at


def main() -> None:
    """Writes the directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=CONFIG["num_hidden_layers"])
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = checkpoint.build_tokenizer(130)
    checkpoint.write_tokenizer(tokenizer, out, "chat_template.json", pairs=False)
    checkpoint.write_processor(out, "min_max", 56 * 56, 12845056)
    checkpoint.write_generation_config(out, tokenizer, [])
    config = CONFIG | {
        "num_hidden_layers": arguments.layers,
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "vision_start_token_id": tokenizer.token_to_id("<|vision_start|>"),
        "vision_end_token_id": tokenizer.token_to_id("<|vision_end|>"),
        "vision_token_id": tokenizer.token_to_id("<|vision_pad|>"),
        "image_token_id": tokenizer.token_to_id("<|image_pad|>"),
        "video_token_id": tokenizer.token_to_id("<|video_pad|>"),
    }
    common.write_json(out / "config.json", config)
    dice = numpy.random.default_rng(3)
    noise = dice.standard_normal(POOL, dtype=numpy.float32)
    pools = {"weight": to_bf16(0.02 * noise), "norm": to_bf16(1.0 + 0.1 * noise)}
    tensors = shapes(config)
    elements = sum(int(numpy.prod(shape)) for shape in tensors.values())
    # The first file is filled to half of all elements, the rest goes to the second.
    parts, filled = [{}, {}], 0
    for name, shape in tensors.items():
        parts[0 if filled < elements / SHARDS else 1][name] = shape
        filled += int(numpy.prod(shape))
    table, total = {}, 0
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{SHARDS:05}.safetensors"
        total += write_shard(out / file, part, pools, dice)
        table |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total}, "weight_map": table}
    common.write_json(out / "model.safetensors.index.json", index)
    print(f"{len(tensors)} tensors, {elements:,} elements, {total:,} bytes")


if __name__ == "__main__":
    main()
