"""Makes units.safetensors and units.json: single operations, windows, templates, tokenization.

    python units.py

Needs the checkpoints of `tiny.py` (their tokenizers). The reference of each number is the function
of transformers itself, never a second implementation.
"""

from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as reference
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_position_ids,
    get_vision_window_index,
)

import common

HERE = Path(__file__).parent

# (t, h, w) in patches, one list per call. Whole windows, cut windows, one block, a strip.
GRIDS = {
    "one_block": [[1, 2, 2]],
    "one_window": [[1, 8, 8]],
    "four_windows": [[1, 16, 16]],
    "cut_both": [[1, 12, 10]],
    "strip": [[1, 2, 30]],
    "column": [[1, 26, 4]],
    "two_images": [[1, 12, 10], [1, 4, 14]],
    "three_images": [[1, 6, 6], [1, 2, 2], [1, 10, 18]],
}

# head_dim, sections, theta: the real one and those of the small variants.
ROTARY = {
    "real": (128, [16, 24, 24], 1000000.0),
    "a": (16, [2, 3, 3], 1000000.0),
    "b": (16, [2, 3, 3], 10000.0),
    "c": (24, [4, 3, 5], 500000.0),
}

STRINGS = [
    "",
    " ",
    "a",
    "Hello, world!",
    "The captain's team isn't here; they're in 2024, we've 12345 of 6,789.",
    "I'M SURE HE'LL SAY HE'D GO, IT'S don't'S",
    "cafe\u0301 versus caf\u00e9 and A\u030angstro\u0308m",
    "\u1112\u1161\u11ab\u1100\u1173\u11af is \ud55c\uae00",
    "\u212b \ufb01 \u00bd \u2460 \uff21\uff22\uff23",
    "東京の人、北京，서울 Москва Αθήνα",
    "日本語と中文123混在。",
    "👍🏽 👨\u200d👩\u200d👧 🇩🇪 ❤\ufe0f",
    "  two  spaces   three    four ",
    "tab\tnew\nlines\n\n\nthree\r\nwindows\r",
    "trailing   \n  leading   ",
    "\n \n  \n",
    "\u00a0no-break\u3000ideographic\u2003em",
    "x=1; if(a<b){c->d();} // comment\n\t/* /per/org/member_of */",
    "...!!!??? --- ((())) [[]] <<>>",
    "<|im_start|>user\nHi<|im_end|>\n<|vision_start|><|image_pad|><|vision_end|>",
    "<|im_start |> <|notspecial|> <tool_call>{}</tool_call>",
    "don\u2019t \u201cquote\u201d \u2014 dash\u2026",
    "supercalifragilisticexpialidocious ANTIDISESTABLISHMENT",
    "٣٤٥ ४५६ Ⅷ ²³",
    "שלום עולם مرحبا بالعالم",
    "zero\u200bwidth\u00adsoft",
    "a\u0000b\u0007c",
]

IMAGE = {"type": "image"}
CONVERSATIONS = {
    "text_only": [{"role": "user", "content": "Hello"}],
    "text_as_part": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    "two_images_before_text": [
        {"role": "user", "content": [IMAGE, IMAGE, {"type": "text", "text": "Compare."}]}
    ],
    "own_system": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ],
    "system_as_parts": [
        {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
        {"role": "user", "content": "Hi"},
    ],
    "several_turns": [
        {"role": "user", "content": [IMAGE, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cup."}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "And "}, IMAGE, {"type": "text", "text": "?"}],
        },
    ],
    "blank_and_lines": [{"role": "user", "content": " a\n\n b \n"}],
}


def norms(tensors: dict) -> None:
    """RMS norm with two eps, on rows of ordinary, tiny and large size."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 5, 20, generator=generator) * torch.tensor([1.0, 1e-3, 100.0])[:, None, None]
    weight = 1.0 + 0.5 * torch.randn(20, generator=generator)
    tensors["rms_norm.x"], tensors["rms_norm.weight"] = x, weight
    for name, eps in (("1e-6", 1e-6), ("1e-5", 1e-5)):
        norm = reference.Qwen2_5_VLRMSNorm(20, eps=eps)
        norm.weight.data = weight
        tensors[f"rms_norm.y.{name}"] = norm(x).detach()
    # In bf16 the product with the weight comes after the cast, which is seen in the last bit.
    half = reference.Qwen2_5_VLRMSNorm(20, eps=1e-6).bfloat16()
    half.weight.data = weight.bfloat16()
    tensors["rms_norm.y.bf16"] = half(x.bfloat16()).detach()


def activations(tensors: dict) -> None:
    """The exact GELU of the merger and the SiLU of the feed-forward halves."""
    x = torch.linspace(-6, 6, 97)
    tensors["activation.x"] = x
    tensors["activation.gelu"] = torch.nn.GELU()(x)
    tensors["activation.silu"] = torch.nn.functional.silu(x)


def text_rotary(tensors: dict) -> None:
    """cos and sin of M-RoPE for positions that differ on the three axes."""
    positions = torch.tensor(
        [
            [0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 500, 4000],
            [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 490, 4000],
            [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 480, 4000],
        ]
    )
    tensors["mrope.position_ids"] = positions
    for name, (head_dim, section, theta) in ROTARY.items():
        config = Qwen2_5_VLTextConfig(
            hidden_size=head_dim * 2,
            num_attention_heads=2,
            num_key_value_heads=1,
            num_hidden_layers=1,
            rope_parameters={"rope_theta": theta, "rope_type": "default", "mrope_section": section},
        )
        rotary = reference.Qwen2_5_VLRotaryEmbedding(config)
        cos, sin = rotary(torch.zeros(1, dtype=torch.float32), positions[:, None])
        tensors[f"mrope.{name}.cos"], tensors[f"mrope.{name}.sin"] = cos[0], sin[0]


def vision_geometry(tensors: dict) -> None:
    """Window order, segments and rope ids of every grid; angles for the real head width."""
    config = Qwen2_5_VLVisionConfig(
        depth=1,
        hidden_size=160,
        num_heads=2,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "axial"},
    )
    rotary = reference.Qwen2_5_VLVisionRotaryEmbedding(config)
    for name, grids in GRIDS.items():
        grid = torch.tensor(grids)
        tensors[f"grid.{name}.grid_thw"] = grid
        for window in (112, 56):
            index, bounds = get_vision_window_index(
                grid, spatial_merge_size=2, window_size=window, patch_size=14
            )
            tensors[f"grid.{name}.window_index.{window}"] = index
            tensors[f"grid.{name}.cu_window_seqlens.{window}"] = bounds
        tensors[f"grid.{name}.cu_seqlens"] = get_vision_cu_seqlens(grid)
        ids = get_vision_position_ids(grid, 2)
        tensors[f"grid.{name}.rope_ids"] = ids.to(torch.int32)
        if name == "one_window":
            cos, sin = rotary(torch.zeros(1), ids)
            tensors[f"grid.{name}.cos"], tensors[f"grid.{name}.sin"] = cos, sin


def tokenization(name: str) -> list[dict]:
    """Ids of the strings by transformers' tokenizer, and the text they decode to."""
    tokenizer = AutoTokenizer.from_pretrained(HERE / name)
    plain = Tokenizer.from_file(str(HERE / name / "tokenizer.json"))
    made = []
    for text in STRINGS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        # transformers rebuilds the tokenizer from its parts; the file alone must say the same.
        assert ids == plain.encode(text, add_special_tokens=False).ids, text
        made.append(
            {
                "text": text,
                "token_ids": ids,
                "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                "decoded_without_special": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    return made


def templates(name: str) -> list[dict]:
    """The chat template over every conversation, with and without the generation prompt."""
    processor = common.open_processor(HERE / name)
    made = []
    for label, messages in CONVERSATIONS.items():
        for prompt in (True, False):
            for count in (False, True):
                rendered = processor.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=prompt, add_vision_id=count
                )
                made.append(
                    {
                        "name": label,
                        "messages": messages,
                        "add_generation_prompt": prompt,
                        "add_vision_id": count,
                        "rendered": rendered,
                    }
                )
    return made


def rope_index(name: str) -> list[dict]:
    """Prompts with pads and grids, and the positions of `get_rope_index`."""
    folder = HERE / name
    model, processor = common.open_model(folder), common.open_processor(folder)
    made = []
    for label, sizes in {
        "one_tall": [(56, 140)],
        "one_wide": [(196, 56)],
        "wide_then_tall": [(196, 56), (56, 140)],
        "three": [(56, 56), (84, 112), (112, 84)],
    }.items():
        images = [Image.new("RGB", size) for size in sizes]
        encoded = common.encode(processor, common.user_message("x", len(images)), images)
        positions, delta = model.model.get_rope_index(
            encoded["input_ids"],
            mm_token_type_ids=encoded["mm_token_type_ids"],
            image_grid_thw=encoded["image_grid_thw"],
            attention_mask=encoded["attention_mask"],
        )
        made.append(
            {
                "name": label,
                "input_ids": encoded["input_ids"][0].tolist(),
                "image_grid_thw": encoded["image_grid_thw"].tolist(),
                "position_ids": positions[:, 0].tolist(),
                "rope_delta": int(delta),
            }
        )
    return made


if __name__ == "__main__":
    blob = {}
    norms(blob)
    activations(blob)
    text_rotary(blob)
    vision_geometry(blob)
    common.write_blob(HERE / "units.safetensors", blob)
    common.write_json(
        HERE / "units.json",
        {
            "made_with": f"transformers {common.transformers_version()}, torch {torch.__version__}",
            "tokenization": {name: tokenization(name) for name in ("a", "b")},
            "templates": templates("a"),
            "rope_index": rope_index("a"),
        },
    )
