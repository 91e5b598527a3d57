"""Writes the golden files beside it: image files of every kind with their pixels, resizes, sizes and normalisation.

Does not test anything: `../golden.rs` does. Run in an environment made from requirements.txt:

    python make.py

The pixels expected are those of transformers' own path: PIL.Image.open, ImageOps.exif_transpose, convert_to_rgb
(alpha on white), which the image processor applies. One rule is ours: 16-bit grey keeps its high byte, because
Pillow clips at 255.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import Qwen2VLImageProcessor
from transformers.image_transforms import convert_to_rgb
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

HERE = Path(__file__).parent
IMAGES = HERE / "images"
W, H = 53, 38  # no multiples of 8 or 16: edges of JPEG blocks are cut


def scene(width=W, height=H, channels=3):
    """Gradients, hard edges and noise, the same in every run."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        plane = 128 + 90 * np.sin((x * (c + 2) + y * (3 - c)) / 17) + 30 * np.cos(y / (5 + c))
        plane[(x - width * 0.3) ** 2 + (y - height * 0.5) ** 2 < (height * 0.28) ** 2] = [230, 40, 70, 120][c]
        plane[(x > width * 0.7) & (y < height * 0.4)] = [20, 60, 220, 255][c]
        planes.append(plane + rng.normal(0, 6, plane.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def save(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, extra=b"", interlaced=False):
    """PNG files that Pillow cannot write: 16-bit colour, odd depths, Adam7."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    body = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def adam7(pixels):
    """The rows of an interlaced picture, smallest pass first."""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = pixels[y0::dy, x0::dx]
        if part.size:
            yield from (row.tobytes() for row in part)


def pack(row, bits):
    """Samples below one byte, the first in the highest bits."""
    per = 8 // bits
    row = np.concatenate([row, np.zeros(-len(row) % per, np.uint8)]).reshape(-1, per)
    return bytes(sum(int(v) << (8 - bits * (i + 1)) for i, v in enumerate(group)) for group in row)


def adobe_transform(data, value):
    """The same JPEG with another colour transform in its Adobe marker: 0 is CMYK, 2 is YCCK."""
    at = data.index(b"\xff\xee") + 15
    return data[:at] + bytes([value]) + data[at + 1 :]


def without_adobe(data):
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def sampled(data, factors):
    """The same JPEG declared with other sampling factors is another picture; used to reach layouts Pillow cannot write."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    out = bytearray(data)
    for i, (h, v) in enumerate(factors):
        out[at + 11 + 3 * i] = h << 4 | v
    return bytes(out)


def files():
    rgb = scene()
    photo = Image.fromarray(rgb)
    rgba = np.dstack([rgb, scene(channels=4)[..., 3]])
    ramp = np.tile(np.linspace(0, 255, W).astype(np.uint8), (H, 1))
    rgba_ramp = np.dstack([rgb, ramp])
    grey = photo.convert("L")
    palette = photo.quantize(32)

    # JPEG
    for name, options in {
        "444": {"subsampling": 0}, "422": {"subsampling": 1}, "420": {"subsampling": 2},
        "420_q30": {"subsampling": 2, "quality": 30}, "420_q100": {"subsampling": 2, "quality": 100},
        "420_progressive": {"subsampling": 2, "progressive": True}, "444_progressive": {"subsampling": 0, "progressive": True},
        "422_progressive": {"subsampling": 1, "progressive": True},
        "420_optimized": {"subsampling": 2, "optimize": True},
        "420_restart": {"subsampling": 2, "restart_marker_blocks": 1}, "rgb": {"keep_rgb": True},
        "420_progressive_restart": {"subsampling": 2, "progressive": True, "restart_marker_blocks": 2},
    }.items():
        yield f"jpeg_{name}.jpg", save(photo, format="jpeg", **{"quality": 90, **options})
    yield "jpeg_grey.jpg", save(grey, format="jpeg", quality=90)
    yield "jpeg_grey_progressive.jpg", save(grey, format="jpeg", quality=90, progressive=True)
    for width, height in [(1, 1), (2, 3), (5, 1), (1, 19), (16, 16), (17, 9), (33, 34)]:
        yield f"jpeg_420_{width}x{height}.jpg", save(Image.fromarray(scene(width, height)), format="jpeg", subsampling=2)
    yield "jpeg_422_3x2.jpg", save(Image.fromarray(scene(3, 2)), format="jpeg", subsampling=1)
    cmyk = save(Image.fromarray(scene(channels=4), "CMYK"), format="jpeg", quality=90)
    yield "jpeg_cmyk.jpg", cmyk
    yield "jpeg_ycck.jpg", adobe_transform(cmyk, 2)
    yield "jpeg_cmyk_no_adobe.jpg", without_adobe(cmyk)
    small = Image.fromarray(scene(48, 32))
    full = save(Image.fromarray(scene(48, 32)), format="jpeg", quality=90, subsampling=2)
    for orientation in range(1, 9):
        yield f"jpeg_orientation_{orientation}.jpg", save(
            Image.fromarray(scene(40, 24)), format="jpeg", quality=90, subsampling=0, exif=exif(orientation)
        )
    # Layouts only other encoders write: 4:4:0 and 4:1:1 by re-declaring the blocks of a 4:2:2 and a 4:2:0 file.
    yield "jpeg_440.jpg", sampled(save(small, format="jpeg", quality=90, subsampling=1), [(1, 2), (1, 1), (1, 1)])
    yield "jpeg_411.jpg", sampled(full, [(4, 1), (1, 1), (1, 1)])

    # PNG
    yield "png_rgb.png", save(photo, format="png")
    yield "png_rgba.png", save(Image.fromarray(rgba, "RGBA"), format="png")
    yield "png_rgba_ramp.png", save(Image.fromarray(rgba_ramp, "RGBA"), format="png")
    yield "png_grey.png", save(grey, format="png")
    yield "png_grey_alpha.png", save(Image.fromarray(np.dstack([np.array(grey), ramp]), "LA"), format="png")
    yield "png_1bit.png", save(photo.convert("1"), format="png")
    yield "png_palette.png", save(palette, format="png")
    yield "png_palette_4bit.png", save(photo.quantize(13), format="png", bits=4)
    yield "png_palette_key.png", save(palette, format="png", transparency=5)
    yield "png_palette_alpha.png", save(palette, format="png", transparency=bytes(i * 8 for i in range(32)))
    yield "png_rgb_key.png", save(photo, format="png", transparency=tuple(int(v) for v in rgb[19, 15]))
    yield "png_grey_key.png", save(grey, format="png", transparency=int(np.array(grey)[19, 15]))
    for bits in (2, 4):
        rows = [pack(row >> (8 - bits), bits) for row in np.array(grey)]
        yield f"png_grey_{bits}bit.png", png(W, H, bits, 0, rows)
    low = np.random.default_rng(3).integers(0, 256, (H, W, 4), dtype=np.uint16)
    deep = scene(channels=4).astype(np.uint16) << 8 | low
    for name, color, part in [("grey", 0, deep[..., :1]), ("rgb", 2, deep[..., :3]), ("grey_alpha", 4, deep[..., 2:]), ("rgba", 6, deep)]:
        rows = [row.astype(">u2").tobytes() for row in part]
        yield f"png_{name}_16bit.png", png(W, H, 16, color, rows)
    yield "png_interlaced.png", png(W, H, 8, 2, adam7(rgb), interlaced=True)
    yield "png_orientation_6.png", save(photo, format="png", exif=exif(6))
    yield "png_animated.png", save(photo, format="png", save_all=True, append_images=[ImageOps.invert(photo)])
    yield "png_gamma.png", png(W, H, 8, 2, [row.tobytes() for row in rgb], chunk(b"gAMA", struct.pack(">I", 100_000)))

    # WebP
    yield "webp_lossy.webp", save(photo, format="webp", quality=80)
    yield "webp_lossless.webp", save(photo, format="webp", lossless=True)
    yield "webp_lossy_alpha.webp", save(Image.fromarray(rgba_ramp, "RGBA"), format="webp", quality=80)
    yield "webp_lossless_alpha.webp", save(Image.fromarray(rgba_ramp, "RGBA"), format="webp", lossless=True, exact=True)
    yield "webp_animated.webp", save(
        photo, format="webp", lossless=True, save_all=True, append_images=[ImageOps.invert(photo)], background=(0, 99, 0, 255)
    )
    frames = [Image.fromarray(f, "RGBA") for f in (rgba_ramp, rgba)]
    yield "webp_animated_alpha.webp", save(frames[0], format="webp", lossless=True, save_all=True, append_images=frames[1:])
    yield "webp_orientation_8.webp", save(photo, format="webp", lossless=True, exif=exif(8))

    # GIF and BMP
    yield "gif_palette.gif", save(palette, format="gif")
    yield "gif_key.gif", save(palette, format="gif", transparency=5)
    yield "gif_grey.gif", save(grey, format="gif")
    yield "gif_animated.gif", save(palette, format="gif", save_all=True, append_images=[ImageOps.invert(photo).quantize(32)])
    yield "gif_frame_key.gif", offset_gif(save(palette, format="gif", transparency=5))
    yield "bmp_rgb.bmp", save(photo, format="bmp")
    yield "bmp_rgba.bmp", save(Image.fromarray(rgba, "RGBA"), format="bmp")
    yield "bmp_palette.bmp", save(palette, format="bmp")
    yield "bmp_grey.bmp", save(grey, format="bmp")
    yield "bmp_1bit.bmp", save(photo.convert("1"), format="bmp")


def offset_gif(data):
    """The same GIF with a canvas 8 px larger and the frame 5 px from the corner."""
    out = bytearray(data)
    struct.pack_into("<HH", out, 6, W + 8, H + 8)
    at = data.index(b"," + struct.pack("<HHHH", 0, 0, W, H))
    struct.pack_into("<HH", out, at + 1, 5, 5)
    return bytes(out)


def upright(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    return convert_to_rgb(image, return_numpy=True)


def decoded():
    index, blob = [], bytearray()
    IMAGES.mkdir(exist_ok=True)
    for name, data in files():
        (IMAGES / name).write_bytes(data)
        pixels = upright(data)
        index.append({"file": name, "width": pixels.shape[1], "height": pixels.shape[0], "offset": len(blob)})
        blob += pixels.tobytes()
    (HERE / "decoded.bin").write_bytes(blob)
    return index


def pattern(width, height, seed):
    """A picture `../golden.rs` can make as well: a ramp under noise of every strength."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    v = (x * 2654435761 + y * 2246822519 + c * 3266489917 + seed * 668265263).astype(np.uint32)
    v ^= v >> np.uint32(15)
    v *= np.uint32(2246822519)
    v ^= v >> np.uint32(13)
    noise = (v & np.uint32(255)) * ((x // 16 + y // 16) % 4).astype(np.uint32) // 3
    ramp = (x + y * 2 + c * 40).astype(np.uint32)
    return ((noise + ramp) & np.uint32(255)).astype(np.uint8)


CONFIGS = {"mini": (3136, 12544), "published": (3136, 12_845_056), "default": (3136, 1_003_520)}

RESIZES = [  # width, height, configuration
    (1, 1, "published"), (1, 200, "published"), (200, 1, "published"), (10, 10, "published"), (13, 27, "published"),
    (27, 13, "published"), (28, 28, "published"), (56, 56, "published"), (57, 55, "published"), (70, 98, "published"),
    (61, 140, "published"), (84, 71, "published"), (112, 29, "published"), (199, 3, "published"), (1990, 10, "published"),
    (640, 480, "published"), (400, 300, "published"), (333, 517, "published"), (500, 375, "mini"), (301, 97, "mini"),
    (97, 301, "mini"), (113, 113, "mini"), (1024, 31, "mini"), (640, 480, "mini"), (1601, 1203, "mini"),
    (2000, 1500, "default"), (1500, 2000, "default"), (1283, 977, "default"), (3001, 700, "default"),
]


def resized(pixels, configuration):
    """transformers' own resize, and what becomes of it."""
    low, high = CONFIGS[configuration]
    processor = Qwen2VLImageProcessor(size={"shortest_edge": low, "longest_edge": high})
    kept = []
    inner = processor.resize
    processor.resize = lambda **options: kept.append(inner(**options)) or kept[-1]
    batch = processor(Image.fromarray(pixels), return_tensors="np")
    (image,) = kept
    return image[0].permute(1, 2, 0).contiguous().numpy(), batch["pixel_values"], batch["image_grid_thw"]


def resizes():
    index, blob = [], bytearray()
    for seed, (width, height, configuration) in enumerate(RESIZES):
        image, values, grid = resized(pattern(width, height, seed), configuration)
        case = {"width": width, "height": height, "seed": seed, "configuration": configuration}
        case |= {"to_width": image.shape[1], "to_height": image.shape[0], "grid": grid[0].tolist()}
        case["crc_resized"] = zlib.crc32(image.tobytes())
        case["crc_values"] = zlib.crc32(values.astype("<f4").tobytes())
        if image.size <= 40_000:  # the bytes themselves for small ones, so that a failure can be looked at
            case["offset"] = len(blob)
            blob += image.tobytes()
        index.append(case)
    (HERE / "resized.bin").write_bytes(blob)
    return index


def whole():
    """One small picture's pixel_values, in full."""
    _, values, grid = resized(pattern(60, 80, 1), "published")
    (HERE / "values.bin").write_bytes(values.astype("<f4").tobytes())
    return {"width": 60, "height": 80, "seed": 1, "grid": grid[0].tolist(), "shape": list(values.shape)}


def sizes():
    rng = np.random.default_rng(11)
    sides = [1, 2, 13, 14, 15, 27, 28, 29, 41, 42, 43, 55, 56, 69, 70, 71, 98, 126, 154, 182, 210, 480, 640, 1000, 1990, 4000, 5000, 16384]
    pairs = [(a, b) for a in sides for b in sides] + [tuple(map(int, rng.integers(1, 6000, 2))) for _ in range(300)]
    table = []
    for number, (width, height) in enumerate(pairs):
        low, high = list(CONFIGS.values())[number % 3]
        try:
            to_height, to_width = smart_resize(height, width, 28, low, high)
        except ValueError:
            to_width = to_height = 0  # refused: aspect ratio above 200
        table.append([width, height, low, high, to_width, to_height])
    return table


def normalisation():
    """The value of each byte, per channel, as the processor makes it."""
    out = []
    processor = Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": 12_845_056})
    ramp = np.zeros((56, 56, 3), np.uint8)
    ramp.reshape(-1, 3)[:256] = np.arange(256)[:, None]
    values = processor(Image.fromarray(ramp), return_tensors="np")["pixel_values"]
    plane = torch.tensor(values).reshape(2, 2, 2, 2, 3, 2, 14, 14)[:, :, :, :, :, 0]  # block y, x, y, x, c, row, column
    plane = plane.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, 56 * 56)
    for channel in plane[:, :256].numpy().astype("<f4"):
        out.append([int(v) for v in channel.view("<u4")])
    return out


if __name__ == "__main__":
    index = {
        "decoded": decoded(), "resized": resizes(), "values": whole(), "configurations": CONFIGS,
        "normalisation_bits": normalisation(), "sizes": sizes(),
    }
    text = json.dumps(index)
    for key in index:
        text = text.replace(f'"{key}": ', f'\n"{key}": ')
    (HERE / "index.json").write_text(text.replace("}, {", "},\n{").rstrip() + "\n")
    print(f"{len(index['decoded'])} images, {len(index['resized'])} resizes, {len(index['sizes'])} sizes")
