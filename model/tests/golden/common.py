"""The reference answer of transformers to a prompt, and what the generators share beside it:
pictures, JSON and blobs. Makes no checkpoint (`checkpoint.py`) and runs no binary (`binary.py`).
"""

import json
from pathlib import Path

import numpy
import torch
import transformers
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, logging
from transformers.image_utils import load_image

# Two cores are shared with others, and one thread adds in one order: the files come out the same.
torch.set_num_threads(1)
logging.set_verbosity_error()
logging.disable_progress_bar()

# Ids that the product never generates; transformers is told to suppress the same ones.
NEVER = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]


def open_model(folder: Path, attention: str = "eager", dtype=torch.float32):
    """Loads the checkpoint in transformers and refuses any missing or unexpected tensor."""
    model, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, attn_implementation=attention, output_loading_info=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info.get(kind), f"{folder}: {kind} {info[kind]}"
    return model.eval()


def open_processor(folder: Path):
    """The processor as a user would load it; its resize is torchvision's on uint8."""
    processor = AutoProcessor.from_pretrained(folder)
    if processor.chat_template is None:
        # A template in tokenizer_config.json belongs to the tokenizer alone in transformers 5.
        processor.chat_template = processor.tokenizer.chat_template
    assert type(processor.image_processor).__name__ == "Qwen2VLImageProcessor", processor
    return processor


def user_message(prompt: str, images: int) -> list[dict]:
    """One user turn with the images before the text, as `more-r1 generate` builds it."""
    content = [{"type": "image"}] * images + [{"type": "text", "text": prompt}]
    return [{"role": "user", "content": content}]


def encode(processor, messages: list[dict], images: list[Image.Image]) -> dict:
    """Renders the template and prepares ids, pixels and grids."""
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=images or None, return_tensors="pt")
    return {"text": text, **inputs}


def model_inputs(encoded: dict) -> dict:
    """What `forward` and `generate` take of an encoded prompt."""
    return {key: value for key, value in encoded.items() if key != "text"}


def suppressed(folder: Path, model) -> list[int]:
    """Ids that may never be generated: vision placeholders, and ids the tokenizer has not got."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    known = tokenizer.get_vocab(with_added_tokens=True)
    ids = set(range(model.config.text_config.vocab_size)) - set(known.values())
    return sorted(ids | {known[token] for token in NEVER if token in known})


@torch.no_grad()
def answer(folder: Path, model, processor, encoded: dict, new_tokens: int, penalty: float) -> dict:
    """Greedy continuation with three kinds of log-probabilities of the chosen tokens.

    `raw` is the log-softmax over all logits as the network gives them; `masked` has the
    suppressed ids at minus infinity; `processed` has the repetition penalty as well.
    `margins` is the distance of the best processed logit to the second.
    """
    never = suppressed(folder, model)
    out = model.generate(
        **model_inputs(encoded),
        max_new_tokens=new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=penalty,
        suppress_tokens=never,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    prompt = encoded["input_ids"][0]
    ids = out.sequences[0, len(prompt) :]
    logits, scores = torch.cat(out.logits), torch.cat(out.scores)
    masked = logits.clone()
    masked[:, never] = -torch.inf
    top = scores.topk(2).values
    eos = model.generation_config.eos_token_id
    stopped = int(ids[-1]) in (eos if isinstance(eos, list) else [eos])

    def picked(values: torch.Tensor) -> list[float]:
        return values.log_softmax(-1)[torch.arange(len(ids)), ids].tolist()

    return {
        "prompt_token_ids": prompt.tolist(),
        "token_ids": ids.tolist(),
        "logprobs_raw": picked(logits),
        "logprobs_masked": picked(masked),
        "logprobs_processed": picked(scores),
        "margins": (top[:, 0] - top[:, 1]).tolist(),
        "text": processor.tokenizer.decode(ids, skip_special_tokens=True),
        "finish_reason": "stop" if stopped else "length",
        "logits": logits,
    }


def open_image(path: Path) -> Image.Image:
    """A picture as transformers opens one itself: upright by EXIF, three channels."""
    return load_image(str(path))


def draw_image(width: int, height: int, seed: int) -> Image.Image:
    """A seeded picture with edges, flat areas, a slope and a noisy patch."""
    generator = numpy.random.default_rng(seed)
    first, second = generator.integers(0, 256, (2, 3))
    slope = numpy.linspace(0, 1, width)[None, :, None] * numpy.ones((height, 1, 1))
    pixels = (first * (1 - slope) + second * slope).round().astype(numpy.uint8)
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = generator.integers(0, width), generator.integers(0, height)
        w, h = generator.integers(4, max(5, width // 2)), generator.integers(4, max(5, height // 2))
        colour = tuple(int(c) for c in generator.integers(0, 256, 3))
        shape = pen.ellipse if generator.random() < 0.5 else pen.rectangle
        shape([int(x), int(y), int(x + w), int(y + h)], fill=colour)
    side = min(24, width, height)
    noise = generator.integers(0, 256, (side, side, 3), dtype=numpy.uint8)
    left = int(generator.integers(0, width - side + 1))
    top = int(generator.integers(0, height - side + 1))
    image.paste(Image.fromarray(noise), (left, top))
    return image


def write_blob(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A safetensors file that others may read (the library makes it private)."""
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, {"format": "pt"})
    path.chmod(0o644)


def write_json(path: Path, content) -> None:
    """JSON with the lists of numbers on one line, so that the files stay small and readable."""
    path.write_text(compact(content) + "\n", encoding="utf-8")


def compact(value, indent: int = 0) -> str:
    """Indented objects; lists of plain values in one line."""
    inner = " " * (indent + 1)
    if isinstance(value, dict) and value:
        keys = {key: json.dumps(key, ensure_ascii=False) for key in value}
        lines = [f"{inner}{keys[k]}: {compact(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        lines = [inner + compact(v, indent + 1) for v in value]
        return "[\n" + ",\n".join(lines) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def transformers_version() -> str:
    """The version that stands behind a file."""
    return transformers.__version__
