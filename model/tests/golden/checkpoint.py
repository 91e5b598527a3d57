"""Writes random checkpoints in the directory layouts found in the wild: a small byte-level BPE
tokenizer with Qwen2's pipeline, config.json in three styles, two key schemes, shards, dtypes.

Computes no answer: `common.py` does, with transformers.
"""

import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from common import write_blob, write_json

# The pre-tokenizer of Qwen2: single digits, contractions, at most one mark before a word.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The added tokens of Qwen2.5-VL in their order; the second value says whether HF calls it special.
ADDED = [
    ("<|endoftext|>", True),
    ("<|im_start|>", True),
    ("<|im_end|>", True),
    ("<|object_ref_start|>", True),
    ("<|object_ref_end|>", True),
    ("<|box_start|>", True),
    ("<|box_end|>", True),
    ("<|quad_start|>", True),
    ("<|quad_end|>", True),
    ("<|vision_start|>", True),
    ("<|vision_end|>", True),
    ("<|vision_pad|>", True),
    ("<|image_pad|>", True),
    ("<|video_pad|>", True),
    ("<tool_call>", False),
    ("</tool_call>", False),
    ("<|fim_prefix|>", False),
    ("<|fim_middle|>", False),
    ("<|fim_suffix|>", False),
    ("<|fim_pad|>", False),
    ("<|repo_name|>", False),
    ("<|file_sep|>", False),
]

# The chat template of Qwen2.5-VL-Instruct, character by character.
TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}"
    "Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}"
    "Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# What the merges are learned from: English of the task, accents, CJK and code-like marks.
CORPUS = [
    "You are a helpful assistant. The system says what the user and the assistant do.",
    "The captain of the team lifts the trophy in front of the crowd and the banner of the city.",
    "Describe the image. What is the relation of the object to the entity in the headline?",
    "The player's shirt isn't red; they're in blue, we've seen it, I'm sure, he'll say he'd go.",
    "café naïve Zürich Ångström São Paulo, 東京の人 北京 足球 서울 Москва Αθήνα",
    "in 2024 and 1999:  3.14 + 2,718 = (x) [y] {z} -- /per/org/member_of\n\n\tindent",
]


def build_tokenizer(merges: int) -> Tokenizer:
    """A byte-level BPE tokenizer with Qwen2's pipeline: 256 bytes, `merges` merges, 22 added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens(
        [AddedToken(text, special=special, normalized=False) for text, special in ADDED]
    )
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path, template_in: str, pairs: bool) -> None:
    """Writes tokenizer.json (merges as pairs or as "a b"), its config, and the chat template."""
    content = json.loads(tokenizer.to_str())
    merges = [m if isinstance(m, list) else m.split(" ") for m in content["model"]["merges"]]
    content["model"]["merges"] = merges if pairs else [" ".join(m) for m in merges]
    write_json(folder / "tokenizer.json", content)
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(text)): {
                "content": text,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": special,
            }
            for text, special in ADDED
        },
        "additional_special_tokens": [text for text, special in ADDED[1:] if special],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    if template_in == "tokenizer_config.json":
        config["chat_template"] = TEMPLATE
    elif template_in == "chat_template.json":
        write_json(folder / template_in, {"chat_template": TEMPLATE})
    else:
        assert template_in == "chat_template.jinja", template_in
        (folder / template_in).write_text(TEMPLATE)
    write_json(folder / "tokenizer_config.json", config)


def write_config(folder: Path, tokenizer: Tokenizer, shape: dict) -> None:
    """Writes config.json in one of three styles.

    `flat`: text fields at the top and `rope_scaling {type: mrope}`, as the published files.
    `parameters`: `text_config.rope_parameters`, `dtype`, `in_channels`, as transformers 5 dumps.
    `scaling`: `text_config.rope_scaling {type, rope_type: default}` with `rope_theta` beside.
    """
    identity = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "vision_start_token_id": tokenizer.token_to_id("<|vision_start|>"),
        "vision_end_token_id": tokenizer.token_to_id("<|vision_end|>"),
        "vision_token_id": tokenizer.token_to_id("<|vision_pad|>"),
        "image_token_id": tokenizer.token_to_id("<|image_pad|>"),
        "video_token_id": tokenizer.token_to_id("<|video_pad|>"),
    }
    text = {
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 4096,
        "sliding_window": 4096,
        "use_sliding_window": False,
        "max_window_layers": shape["text"]["num_hidden_layers"],
        "use_cache": True,
        "vocab_size": tokenizer.get_vocab_size() + shape["spare_ids"],
        **shape["text"],
    }
    vision = {
        "hidden_act": "silu",
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "out_hidden_size": text["hidden_size"],
        **shape["vision"],
    }
    section, theta = shape["mrope_section"], shape["rope_theta"]
    dtype, tied = shape["dtype"], shape["tied"]
    if shape["config"] == "flat":
        config = {
            **identity,
            **text,
            "rope_theta": theta,
            "rope_scaling": {"type": "mrope", "mrope_section": section},
            "tie_word_embeddings": tied,
            "torch_dtype": dtype,
            "vision_config": {**vision, "in_chans": 3},
        }
    elif shape["config"] == "parameters":
        text["rope_parameters"] = {
            "rope_theta": theta,
            "rope_type": "default",
            "mrope_section": section,
        }
        config = {
            **identity,
            "dtype": dtype,
            "tie_word_embeddings": tied,
            "text_config": {**text, "model_type": "qwen2_5_vl_text", "dtype": dtype},
            "vision_config": {
                **vision,
                "in_channels": 3,
                "model_type": "qwen2_5_vl_vision",
                "dtype": dtype,
            },
        }
    else:
        assert shape["config"] == "scaling", shape["config"]
        text["rope_theta"] = theta
        text["rope_scaling"] = {
            "type": "default",
            "rope_type": "default",
            "mrope_section": section,
        }
        config = {
            **identity,
            "torch_dtype": dtype,
            # The head's tie is said inside only; transformers 5 reads it there as well.
            "text_config": {
                **text,
                "model_type": "qwen2_5_vl_text",
                "tie_word_embeddings": tied,
                "torch_dtype": dtype,
            },
            "vision_config": {**vision, "in_channels": 3, "model_type": "qwen2_5_vl"},
        }
    write_json(folder / "config.json", config)


def write_processor(folder: Path, style: str, min_pixels: int, max_pixels: int) -> None:
    """Writes the image processor's settings: `min_max`, `size`, or nested in `processor`."""
    settings = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "merge_size": 2,
        "patch_size": 14,
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "temporal_patch_size": 2,
    }
    if style == "min_max":
        settings |= {"min_pixels": min_pixels, "max_pixels": max_pixels}
    else:
        settings["size"] = {"shortest_edge": min_pixels, "longest_edge": max_pixels}
    if style == "processor":
        video = {**settings, "video_processor_type": "Qwen2VLVideoProcessor"}
        del video["image_processor_type"]
        nested = {
            "image_processor": settings,
            "processor_class": "Qwen2_5_VLProcessor",
            "video_processor": video,
        }
        write_json(folder / "processor_config.json", nested)
    else:
        settings["processor_class"] = "Qwen2_5_VLProcessor"
        write_json(folder / "preprocessor_config.json", settings)


def write_generation_config(folder: Path, tokenizer: Tokenizer, extra_eos: list[int]) -> None:
    """Writes generation_config.json like the published one, with more ends if asked."""
    end, stop = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": stop,
            "pad_token_id": stop,
            "do_sample": True,
            "eos_token_id": [end, stop, *extra_eos],
            "repetition_penalty": 1.05,
            "temperature": 0.000001,
            "transformers_version": "4.49.0",
        },
    )


def random_weights(folder: Path, shape: dict, seed: int) -> dict[str, torch.Tensor]:
    """Random tensors under the new key names, in the dtype of the file.

    The scales are chosen so that mistakes show (`mistakes.py` measures them): small embeddings
    and small patch vectors make the eps of the first norms matter, strong queries and keys make
    positions and windows matter, norms differ from one and biases from zero.
    """
    config = Qwen2_5_VLConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, shape["dtype"])
    weights = {}
    for name, parameter in sorted(model.named_parameters(remove_duplicate=True)):
        size = tuple(parameter.shape)
        noise = torch.randn(size, generator=generator)
        if name == "lm_head.weight" and shape["tied"]:
            continue
        if name.endswith("embed_tokens.weight"):
            value = 0.05 * noise
        elif name == "lm_head.weight":
            value = 4.0 * noise / size[1] ** 0.5
        elif name == "model.language_model.norm.weight" and shape["tied"]:
            # The tied head is as small as the embeddings, so the last norm makes up for it.
            value = (4.0 / 0.05) / size[0] ** 0.5 * (1.0 + 0.3 * noise)
        elif name.endswith("patch_embed.proj.weight"):
            value = 0.08 * noise / parameter[0].numel() ** 0.5
        elif len(size) == 1 and name.endswith(".weight"):
            value = 1.0 + 0.3 * noise
        elif name.endswith("merger.mlp.0.bias"):
            # Most units sit where GELU is small and its tanh form is off by the largest share;
            # the wide second layer makes up for the smallness.
            value = -2.0 + 0.5 * noise
        elif name.endswith("merger.mlp.2.weight"):
            value = 4.0 * noise / size[1] ** 0.5
        elif name.endswith(".bias"):
            value = 0.3 * noise
        elif ".q_proj." in name or ".k_proj." in name or ".qkv." in name:
            value = 1.5 * noise / size[1] ** 0.5
        else:
            value = 1.0 * noise / size[1] ** 0.5
        weights[name] = value.to(dtype).contiguous()
    return weights


def write_weights(folder: Path, weights: dict, keys: str, shards: int) -> None:
    """Writes the tensors under `old` or `new` keys in `shards` files (with an index from two)."""
    renamed = {key_name(name, keys): value for name, value in weights.items()}
    names = sorted(renamed)
    if shards == 1:
        write_blob(folder / "model.safetensors", renamed)
        return
    # Every n-th name goes to the n-th file, so that each layer is spread over all of them.
    table, total = {}, 0
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: renamed[name] for name in names[shard::shards]}
        write_blob(folder / file, part)
        table |= dict.fromkeys(part, file)
        total += sum(value.numel() * value.element_size() for value in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(table.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def key_name(name: str, keys: str) -> str:
    """The published name of a tensor, or its new in-memory one."""
    if keys == "new":
        return name
    name = name.replace("model.visual.", "visual.", 1)
    return name.replace("model.language_model.", "model.", 1)


def write_checkpoint(folder: Path, shape: dict, seed: int) -> Tokenizer:
    """Writes the whole directory described by `shape` and gives back its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_file():
            old.unlink()
    tokenizer = build_tokenizer(shape["merges"])
    write_tokenizer(tokenizer, folder, shape["template_in"], shape["merge_pairs"])
    write_config(folder, tokenizer, shape)
    write_processor(folder, shape["processor"], shape["min_pixels"], shape["max_pixels"])
    write_generation_config(folder, tokenizer, [])
    write_weights(folder, random_weights(folder, shape, seed), shape["keys"], shape["shards"])
    return tokenizer
