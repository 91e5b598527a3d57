"""Measures how far each known mistake moves the logits of the golden cases, and the f32 noise.

    python mistakes.py [a] [b] [c]

The goldens are only worth something if each of these moves some case by much more than the
tolerance of the tests (5e-4). The mistakes are made in transformers itself, by patching it;
nothing is written. Exits 1 if a mistake stays below ten times the tolerance, or the noise above it.
"""

import contextlib
import sys
from pathlib import Path
from unittest import mock

import torch
from PIL import Image
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as reference

import common
import tiny

HERE = Path(__file__).parent
TOLERANCE = 5e-4


@torch.no_grad()
def last_logits(model, encoded_cases: dict) -> dict[str, torch.Tensor]:
    """Logits of the last prompt position of every case."""
    found = {}
    for name, encoded in encoded_cases.items():
        model.model.rope_deltas = None
        inputs = common.model_inputs(encoded)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        found[name] = model(**inputs, use_cache=False).logits[0, -1].double()
    return found


def distance(left: dict, right: dict) -> float:
    """The largest difference over all cases."""
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@contextlib.contextmanager
def attribute(owner, name: str, value):
    """Sets an attribute of a module for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def norms(root, eps: float, only: str = ""):
    """Another eps in all norms below `root`."""
    changed = [
        module
        for name, module in root.named_modules()
        if isinstance(module, reference.Qwen2_5_VLRMSNorm) and only in name
    ]
    before = [module.variance_epsilon for module in changed]
    for module in changed:
        module.variance_epsilon = eps
    try:
        yield
    finally:
        for module, value in zip(changed, before):
            module.variance_epsilon = value


@contextlib.contextmanager
def zeroed(root, suffix: str):
    """Parameters whose name ends so are zero for a while."""
    chosen = [(p, p.data.clone()) for name, p in root.named_parameters() if name.endswith(suffix)]
    assert chosen, suffix
    for parameter, _ in chosen:
        parameter.data.zero_()
    try:
        yield
    finally:
        for parameter, value in chosen:
            parameter.data.copy_(value)


def window_index(change):
    """Patches the window index with `change(index, bounds)`."""
    real = reference.get_vision_window_index

    def wrong(*args, **kwargs):
        return change(*real(*args, **kwargs))

    return mock.patch.object(reference, "get_vision_window_index", wrong)


def one_segment(grid_thw, config, **_):
    """Full attention over all images at once."""
    total = int(grid_thw.prod(-1).sum())
    return torch.tensor([0, total], dtype=torch.int32), None


def raster_ids(grid_thw, spatial_merge_size, **_):
    """Vision rope ids row by row instead of block by block."""
    found = [
        torch.cartesian_prod(torch.arange(h), torch.arange(w)) for _, h, w in grid_thw.tolist()
    ]
    return torch.cat(found)


def swapped_ids(grid_thw, spatial_merge_size, **kwargs):
    """Vision rope ids with rows and columns exchanged."""
    return REAL_IDS(grid_thw, spatial_merge_size, **kwargs).flip(-1)


REAL_IDS = reference.get_vision_position_ids


def interleaved(self, freq):
    """M-RoPE with t, h, w taking turns (Qwen3-VL's way)."""
    whole = freq[0].clone()
    section = self.mrope_section
    for axis in (1, 2):
        whole[..., axis : section[axis] * 3 : 3] = freq[axis, ..., axis : section[axis] * 3 : 3]
    return torch.cat((whole, whole), dim=-1)


def straight_positions(self, input_ids, *args, **kwargs):
    """One running position for images as well."""
    length = input_ids.shape[1]
    return torch.arange(length).expand(3, 1, -1), torch.zeros(1, 1, dtype=torch.long)


def reordered_patches(encoded_cases: dict, change) -> dict:
    """The cases with their pixel rows changed."""
    return {
        name: encoded | {"pixel_values": change(encoded["pixel_values"], encoded["image_grid_thw"])}
        for name, encoded in encoded_cases.items()
        if "pixel_values" in encoded
    }


def raster_patches(pixels: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """Patch rows in the order of reading."""
    parts, at = [], 0
    for _, h, w in grids.tolist():
        part = pixels[at : at + h * w].reshape(h // 2, w // 2, 2, 2, -1).transpose(1, 2)
        parts.append(part.reshape(h * w, -1))
        at += h * w
    return torch.cat(parts)


def frames_first(pixels: torch.Tensor, _grids) -> torch.Tensor:
    """(T, C) for (C, T) inside a row."""
    return pixels.reshape(-1, 3, 2, 196).transpose(1, 2).reshape(len(pixels), -1)


def off_by_one(pixels: torch.Tensor, _grids) -> torch.Tensor:
    """One level more in 0.5 % of the values."""
    chosen = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(0)) < 0.005
    return pixels + chosen * (1 / (255 * 0.265))


def no_bias(model, names: tuple[str, ...]):
    """All biases with one of these endings are zero."""
    stack = contextlib.ExitStack()
    for name in names:
        stack.enter_context(zeroed(model, name))
    return stack


def mistakes(model) -> dict:
    """Name and context manager of every mistake made in the network."""
    visual, text = model.model.visual, model.model.language_model
    rotary = reference.Qwen2_5_VLRotaryEmbedding
    depth = len(visual.blocks)
    patch = mock.patch.object
    return {
        "no window order": lambda: window_index(lambda i, b: (torch.arange(len(i)), b)),
        "full attention everywhere": lambda: attribute(
            visual, "fullatt_block_indexes", list(range(depth))
        ),
        "windows everywhere": lambda: attribute(visual, "fullatt_block_indexes", []),
        "no reverse index": lambda: patch(
            reference.torch, "argsort", lambda index: torch.arange(len(index))
        ),
        "both images in one segment": lambda: patch(
            reference, "get_vision_attention_seqlens", one_segment
        ),
        "vision rope ids in raster order": lambda: patch(
            reference, "get_vision_position_ids", raster_ids
        ),
        "h and w swapped in the tower": lambda: patch(
            reference, "get_vision_position_ids", swapped_ids
        ),
        "vision biases dropped": lambda: no_bias(visual, (".bias",)),
        "merger biases dropped": lambda: no_bias(visual.merger, (".bias",)),
        "text biases dropped": lambda: no_bias(text, (".bias",)),
        "1-D positions": lambda: patch(
            type(model.model), "get_rope_index", straight_positions
        ),
        "M-RoPE interleaved": lambda: patch(rotary, "recomposition_frequencies", interleaved),
        "SiLU in the merger": lambda: patch(
            visual.merger.mlp[1], "forward", torch.nn.functional.silu
        ),
        "tanh GELU in the merger": lambda: patch(
            visual.merger.mlp[1],
            "forward",
            lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        ),
        "vision eps 1e-5": lambda: norms(visual, 1e-5),
        "text eps times ten": lambda: norms(text, 10 * text.norm.variance_epsilon),
        "text eps a tenth": lambda: norms(text, 0.1 * text.norm.variance_epsilon),
    }


def measure(variant: str) -> bool:
    """Prints the table of one variant; true if all is as it should be."""
    folder = HERE / variant
    model, processor = common.open_model(folder), common.open_processor(folder)
    images = {name: Image.open(HERE / "images" / f"{name}.png") for name in tiny.IMAGES}
    encoded = {
        case["name"]: common.encode(
            processor, case["messages"], [images[name] for name in case["images"]]
        )
        for case in tiny.cases()
    }
    right = last_logits(model, encoded)
    spread = float(torch.stack(list(right.values())).std())
    print(f"== {variant}: logits std {spread:.2f}")
    exact = last_logits(common.open_model(folder, dtype=torch.float64), encoded)
    other = last_logits(common.open_model(folder, attention="sdpa"), encoded)
    noise = max(distance(right, exact), distance(right, other))
    print(f"{noise:9.2e}  noise (f32 eager against f64 and against sdpa)")
    good = noise < TOLERANCE
    moved = {}
    for name, make in mistakes(model).items():
        with make():
            moved[name] = distance(right, last_logits(model, encoded))
    for name, change in {
        "patches in raster order": raster_patches,
        "(T,C) for (C,T)": frames_first,
        "pixels off by one level in 0.5 %": off_by_one,
    }.items():
        wrong = last_logits(model, reordered_patches(encoded, change))
        moved[name] = distance(wrong, right)
    for name, value in sorted(moved.items(), key=lambda item: item[1]):
        fine = value > 10 * TOLERANCE
        good &= fine
        print(f"{value:9.2e}  {name}{'' if fine else '   <-- TOO SMALL'}")
    return good


if __name__ == "__main__":
    results = [measure(variant) for variant in sys.argv[1:] or tiny.VARIANTS]
    sys.exit(0 if all(results) else 1)
