"""Makes LoRA adapters with peft on the golden checkpoints and what they answer, and asks peft about one that `more-r1` wrote.

    python lora.py               # lora/{listed,rank_stabilised}/ and their logits
    python lora.py written       # the logits of lora/written/, which `train/tests/lora.rs` says how to make again

Everything goes to lora.safetensors: `ADAPTER.CASE`, f32 [rows, vocab], the scores at the last positions of the prompt, with the
adapter beside the base (not merged). The prompts are those of the base's JSON. Needs peft (requirements.txt) beside the others.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

import common

HERE = Path(__file__).parent
ROWS = 4
CASES = ["no_image", "two_images", "conversation"]
DECODER = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# The base, peft's configuration, the type of the file.
ADAPTERS = {
    # As most people write it: names only, so the vision tower's feed-forward maps get an adapter too.
    "listed": (
        "b",
        {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": DECODER},
        torch.float32,
    ),
    # What is left: the vision tower's other maps, the merger, the root of the rank, a file in bf16.
    "rank_stabilised": (
        "a",
        {
            "r": 6,
            "lora_alpha": 3,
            "use_rslora": True,
            "target_modules": ["q_proj", "qkv", "proj", "merger.mlp.0", "merger.mlp.2"],
            "exclude_modules": ".*patch_embed.*",
        },
        torch.bfloat16,
    ),
}


@torch.no_grad()
def draw(model, seed: int) -> None:
    """Random values for all A and B, large enough to move every answer."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted(model.named_parameters()):
        if ".lora_" in name:
            spread = 0.1 if ".lora_B." in name else 0.3
            value.copy_(torch.randn(value.shape, generator=generator) * spread)


@torch.no_grad()
def scores(base: str, model, name: str) -> dict:
    """The scores of every case, which have to depend on the adapter."""
    folder = HERE / base
    processor = common.open_processor(folder)
    tensors = {}
    for case in common.json.loads((HERE / f"{base}.json").read_text())["cases"]:
        if case["name"] not in CASES:
            continue
        images = [common.open_image(HERE / "images" / f"{it}.png") for it in case["images"]]
        encoded = common.encode(processor, case["messages"], images)
        assert encoded["input_ids"][0].tolist() == case["prompt_token_ids"]

        def last_rows() -> torch.Tensor:
            model.get_base_model().model.rope_deltas = None
            return model(**common.model_inputs(encoded), use_cache=False).logits[0, -ROWS:]

        logits = last_rows()
        with model.disable_adapter():
            moved = (logits - last_rows()).abs().max().item()
        print(f"{name} {case['name']}: std {logits.std():.2f}, moved by {moved:.2f}")
        assert moved > 1.0, "an adapter that says nothing tests nothing"
        tensors[f"{name}.{case['name']}"] = logits.clone()
    return tensors


def make(name: str) -> dict:
    """Writes one adapter as peft does."""
    base, config, dtype = ADAPTERS[name]
    model = get_peft_model(common.open_model(HERE / base), LoraConfig(**config)).eval()
    draw(model, len(name))
    model.base_model.model.name_or_path = base
    model.peft_config["default"].base_model_name_or_path = base  # no path of the machine it ran on
    # What the file holds is what is computed with.
    for parameter, value in model.named_parameters():
        if ".lora_" in parameter:
            value.data = value.data.to(dtype)
    model.save_pretrained(HERE / "lora" / name)
    tidy(HERE / "lora" / name)
    for parameter, value in model.named_parameters():
        value.data = value.data.float()
    return scores(base, model, name)


def tidy(folder: Path) -> None:
    """The same files every time: peft lists targets in the order of a set, and its model card says nothing."""
    (folder / "README.md").unlink()
    (folder / "adapter_model.safetensors").chmod(0o644)
    path = folder / "adapter_config.json"
    config = common.json.loads(path.read_text())
    config["target_modules"].sort()
    common.write_json(path, config)


def written(name: str) -> dict:
    """Loads an adapter from `more-r1`; peft has to find every tensor, and a place for each."""
    folder = HERE / "lora" / name
    model = PeftModel.from_pretrained(common.open_model(HERE / "b"), folder).eval()
    held = load_file(folder / "adapter_model.safetensors")
    expected = {
        key.replace(".default.", "."): value
        for key, value in model.state_dict().items()
        if ".lora_" in key
    }
    assert sorted(held) == sorted(expected), set(held) ^ set(expected)
    for key, value in held.items():
        assert torch.equal(value, expected[key]), key
    return scores("b", model, name)


if __name__ == "__main__":
    blob = HERE / "lora.safetensors"
    made = load_file(blob) if blob.exists() else {}
    if sys.argv[1:] == ["written"]:
        made |= written("written")
    else:
        for adapter in ADAPTERS:
            made |= make(adapter)
    common.write_blob(blob, made)
