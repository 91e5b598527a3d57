//! Everything `golden/make.py` wrote down from transformers 5.23.0 and Pillow 13, compared.
//! Decoding and resizing are tested apart. The tolerance of both is 0 levels, and of the patch rows 0 bits.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vision::{Limits, Processor, RgbImage};

/// `golden/index.json`.
#[derive(Deserialize)]
struct Index {
    decoded: Vec<Decoded>,
    resized: Vec<Resized>,
    values: Values,
    configurations: std::collections::HashMap<String, (u64, u64)>,
    normalisation_bits: [Vec<u32>; 3],
    sizes: Vec<[u64; 6]>,
}

#[derive(Deserialize)]
struct Decoded {
    file: String,
    width: u32,
    height: u32,
    offset: usize,
}

#[derive(Deserialize)]
struct Resized {
    width: u32,
    height: u32,
    seed: u32,
    configuration: String,
    to_width: u32,
    to_height: u32,
    grid: [usize; 3],
    #[serde(rename = "crc_resized")]
    pixels_crc: u32,
    #[serde(rename = "crc_values")]
    values_crc: u32,
    offset: Option<usize>,
}

#[derive(Deserialize)]
struct Values {
    width: u32,
    height: u32,
    seed: u32,
    grid: [usize; 3],
    shape: [usize; 2],
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `python vision/tests/golden/make.py` writes it",
            path.display()
        )
    })
}

fn index() -> Index {
    serde_json::from_slice(&read("index.json")).expect("make.py writes this shape")
}

fn processor(low: u64, high: u64) -> Processor {
    Processor::from_json(&serde_json::json!({"min_pixels": low, "max_pixels": high}))
        .expect("two counts are a whole configuration")
}

#[test]
fn images_decode_like_pillow() {
    let expected = read("decoded.bin");
    let mut failures = Vec::new();
    for case in index().decoded {
        let bytes = read(&format!("images/{}", case.file));
        let photo = match vision::decode(&bytes, &Limits::default()) {
            Ok(photo) => photo,
            Err(error) => {
                failures.push(format!("{}: {error}", case.file));
                continue;
            }
        };
        if photo.pixels.dimensions() != (case.width, case.height) {
            failures.push(format!(
                "{}: size {:?}, expected {:?}",
                case.file,
                photo.pixels.dimensions(),
                (case.width, case.height)
            ));
            continue;
        }
        let pixels = photo.pixels.as_raw();
        let expected = &expected[case.offset..case.offset + pixels.len()];
        let (most, mean) = difference(pixels, expected);
        // 0 for every file, the lossy ones too; the `image` crate's own JPEG decoder gave up to 27 here.
        if most > 0 {
            failures.push(format!(
                "{}: differs by up to {most} levels, {mean:.4} on average",
                case.file
            ));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    let most = a
        .iter()
        .zip(b)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap_or(0);
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    (most, sum as f64 / a.len() as f64)
}

#[test]
fn resizes_equal_torchvision_bit_for_bit() {
    let index = index();
    let blob = read("resized.bin");
    for case in &index.resized {
        let (low, high) = index.configurations[&case.configuration];
        let processor = processor(low, high);
        let image = pattern(case.width, case.height, case.seed);
        let name = format!("{}x{} ({})", case.width, case.height, case.configuration);
        let size = processor
            .smart_resize(case.width, case.height)
            .expect("no extreme sizes in the list");
        assert_eq!(size, (case.to_width, case.to_height), "{name}");

        let resized = vision::resize(&image, size.0, size.1);
        if let Some(offset) = case.offset {
            let expected = &blob[offset..offset + resized.as_raw().len()];
            assert_eq!(difference(resized.as_raw(), expected), (0, 0.0), "{name}");
        }
        assert_eq!(
            crc32(resized.as_raw().iter().copied()),
            case.pixels_crc,
            "{name}"
        );

        let patches = processor.patches(&image).expect("its size is accepted");
        assert_eq!(
            [patches.grid.t, patches.grid.h, patches.grid.w],
            case.grid,
            "{name}"
        );
        let bytes = patches.pixels.iter().flat_map(|value| value.to_le_bytes());
        assert_eq!(
            crc32(bytes),
            case.values_crc,
            "{name}: patch order or normalisation"
        );
    }
}

#[test]
fn patch_rows_equal_pixel_values() {
    let case = index().values;
    let patches = processor(3136, 12_845_056)
        .patches(&pattern(case.width, case.height, case.seed))
        .expect("an ordinary size");
    assert_eq!([patches.grid.t, patches.grid.h, patches.grid.w], case.grid);
    assert_eq!(patches.pixels.len(), case.shape[0] * case.shape[1]);
    let expected = read("values.bin");
    for (at, (value, expected)) in patches
        .pixels
        .iter()
        .zip(expected.as_chunks::<4>().0)
        .enumerate()
    {
        let (row, column) = (at / case.shape[1], at % case.shape[1]);
        let expected = f32::from_le_bytes(*expected);
        assert_eq!(
            value.to_bits(),
            expected.to_bits(),
            "row {row}, column {column}: {value} for {expected}"
        );
    }
}

#[test]
fn every_byte_is_normalised_to_the_same_bits() {
    let bits = index().normalisation_bits;
    let image = RgbImage::from_fn(56, 56, |x, y| image::Rgb([(x + 56 * y).min(255) as u8; 3]));
    let patches = processor(3136, 12_845_056)
        .patches(&image)
        .expect("an ordinary size");
    for value in 0..256_usize {
        let (x, y) = (value % 56, value / 56);
        let row = x / 28 * 4 + x % 28 / 14; // the first line of patches
        for (channel, bits) in bits.iter().enumerate() {
            let at = row * 1176 + channel * 392 + y * 14 + x % 14;
            assert_eq!(
                patches.pixels[at].to_bits(),
                bits[value],
                "byte {value}, channel {channel}"
            );
        }
    }
}

#[test]
fn sizes_equal_the_reference() {
    for [width, height, low, high, to_width, to_height] in index().sizes {
        let size = processor(low, high).smart_resize(width as u32, height as u32);
        match size {
            Ok(size) => {
                let expected = (to_width as u32, to_height as u32);
                assert_eq!(size, expected, "{width}x{height}, {low} to {high} pixels");
            }
            Err(error) => assert_eq!(to_width, 0, "{width}x{height}: {error}"),
        }
    }
}

/// `pattern` of make.py.
fn pattern(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(std::array::from_fn(|c| {
            let mut v = x
                .wrapping_mul(2_654_435_761)
                .wrapping_add(y.wrapping_mul(2_246_822_519))
                .wrapping_add((c as u32).wrapping_mul(3_266_489_917))
                .wrapping_add(seed.wrapping_mul(668_265_263));
            v ^= v >> 15;
            v = v.wrapping_mul(2_246_822_519);
            v ^= v >> 13;
            let noise = (v & 255) * ((x / 16 + y / 16) % 4) / 3;
            (noise + x + y * 2 + c as u32 * 40) as u8
        }))
    })
}

/// zlib's CRC-32.
fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
