"""Makes quantized.safetensors: weights in eight and four bits as `--quantize` rounds them, and what they make of some rows.

    python quantized.py

Needs numpy and safetensors only, and reads no checkpoint: what a block is stands here once more, in f64 except where f32 decides.
`KIND` is int8 or int4; a block is 32 neighbours along the input.

    weight         f32 [out, in]
    x              f32 [rows, in]
    KIND.values    i8 [out, in], from -127 to 127 or from -7 to 7
    KIND.scales    f32 [out, in / 32], numbers that bf16 has
    KIND.y         f32 [rows, out], x times the dequantised weight, added in f64
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
BLOCK = 32
HIGHEST = {"int8": 127, "int4": 7}
OUT, IN, ROWS = 77, 160, 5


def weights() -> np.ndarray:
    """Blocks as networks have them, and every kind that could go wrong."""
    rng = np.random.default_rng(18)
    weight = (rng.standard_normal((OUT, IN)) * 0.02).astype(np.float32)
    weight[0, :BLOCK] = 0.0  # nothing to scale
    weight[1, :BLOCK] = 0.0
    weight[1, 7] = -1.0  # one value alone
    weight[2, :BLOCK] *= 1e-30  # far below what f16 has
    weight[3, :BLOCK] *= 1e30
    weight[4, :BLOCK] = 1e-42  # subnormal
    weight[5, :BLOCK] = np.arange(BLOCK) - 15.5  # halves, and a peak that no scale in bf16 divides evenly
    weight[6, :BLOCK] = np.where(np.arange(BLOCK) % 2, 127.0, 0.5)  # the scale of int8 is 1: ties
    weight[7, :BLOCK] = np.where(np.arange(BLOCK) % 2, -7.0, 2.5)  # the scale of int4 is 1: ties
    weight[8, :] *= np.geomspace(1e-6, 1e6, IN).astype(np.float32)  # blocks side by side that differ
    return weight


def up_to_bf16(scale: np.ndarray) -> np.ndarray:
    """The lowest number of bf16 that is not below `scale`, and not below the smallest normal one."""
    f64 = np.maximum(scale.astype(np.float64), 2.0**-126)
    step = np.exp2(np.floor(np.log2(f64)) - 7)  # bf16 has eight significant bits
    return (np.ceil(f64 / step) * step).astype(np.float32)


def halves_away(x: np.ndarray) -> np.ndarray:
    """Rounds to the nearest whole number, halves away from zero."""
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def rounded(weight: np.ndarray, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and scales: the largest of a block becomes the highest value, and zero stays zero."""
    blocks = weight.reshape(OUT, IN // BLOCK, BLOCK)
    peak = np.abs(blocks).max(axis=2)
    scales = up_to_bf16(peak / np.float32(highest))
    # A product with the reciprocal in f32, not a division: that is what the values are defined by.
    scaled = blocks * (np.float32(1) / scales)[:, :, None]
    values = np.clip(halves_away(scaled.astype(np.float64)), -highest, highest)
    return values.astype(np.int8).reshape(OUT, IN), scales


if __name__ == "__main__":
    weight = weights()
    x = np.random.default_rng(19).standard_normal((ROWS, IN)).astype(np.float32)
    tensors = {"weight": weight, "x": x}
    for kind, highest in HIGHEST.items():
        values, scales = rounded(weight, highest)
        dequantised = values.astype(np.float64) * np.repeat(scales, BLOCK, axis=1)
        # No value of a block is further from its own than half a step, but for f32's rounding.
        off = np.abs(dequantised - weight) / np.repeat(scales, BLOCK, axis=1)
        assert off.max() < 0.5001, off.max()
        tensors[f"{kind}.values"] = values
        tensors[f"{kind}.scales"] = scales
        tensors[f"{kind}.y"] = (x.astype(np.float64) @ dequantised.T).astype(np.float32)
    save_file(tensors, HERE / "quantized.safetensors")
