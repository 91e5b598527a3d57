//! What is refused, and with which words: files that are no image, broken or too large, and configurations.

use std::path::Path;

use serde_json::json;
use vision::{Error, Limits, Processor, decode};

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/images")
        .join(name);
    std::fs::read(path).expect("the golden images are in the repository")
}

fn refused(bytes: &[u8]) -> Error {
    decode(bytes, &Limits::default()).expect_err("this is no readable image")
}

/// The file with another size in its header.
fn resized(name: &str, at: usize, size: &[u8]) -> Vec<u8> {
    let mut bytes = golden(name);
    bytes[at..at + size.len()].copy_from_slice(size);
    if name.starts_with("png") {
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// 30,000 pixels a side, written into one file of each format; nothing of that size may be allocated.
fn huge() -> Vec<Vec<u8>> {
    let (big, little) = (30_000_u16.to_be_bytes(), 30_000_u16.to_le_bytes());
    let jpeg = golden("jpeg_420.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .expect("a baseline frame");
    let wide = [0, 0, big[0], big[1], 0, 0, big[0], big[1]];
    let long = [little[0], little[1], 0, 0, little[0], little[1], 0, 0];
    vec![
        resized("png_rgb.png", 16, &wide),
        resized("jpeg_420.jpg", frame + 5, &[big[0], big[1], big[0], big[1]]),
        resized(
            "gif_palette.gif",
            6,
            &[little[0], little[1], little[0], little[1]],
        ),
        resized("bmp_rgb.bmp", 18, &long),
    ]
}

#[test]
fn sizes_are_refused_by_the_header() {
    for bytes in huge() {
        let expected = Error::SideTooLong {
            width: 30_000,
            height: 30_000,
            limit: 16_384,
        };
        assert_eq!(refused(&bytes), expected);
        let limits = Limits {
            max_side: 60_000,
            ..Limits::default()
        };
        let error = decode(&bytes, &limits).expect_err("900 million pixels");
        let message = "the image is 30000x30000 = 900000000 pixels, the limit is 50000000";
        assert_eq!(error.to_string(), message);
    }
    let limits = Limits {
        max_pixels: 53 * 38 - 1,
        ..Limits::default()
    };
    for name in [
        "webp_lossy.webp",
        "webp_lossless.webp",
        "webp_animated.webp",
        "webp_lossy_alpha.webp",
    ] {
        let error = decode(&golden(name), &limits).expect_err("one pixel more than allowed");
        assert!(
            matches!(
                error,
                Error::TooManyPixels {
                    pixels: 2014,
                    limit: 2013,
                    ..
                }
            ),
            "{name}: {error}"
        );
    }
}

#[test]
fn what_is_no_image_is_refused() {
    assert_eq!(refused(b""), Error::Empty);
    let message =
        "not an image: the first bytes are 68 65 6c 6c 6f; PNG, JPEG, WebP, GIF and BMP are read";
    assert_eq!(refused(b"hello").to_string(), message);
    let tiff = refused(b"II*\0\x08\0\0\0\0\0\0\0");
    assert_eq!(
        tiff.to_string(),
        "the image is tiff, which is not read; PNG, JPEG, WebP, GIF and BMP are"
    );
    let limits = Limits {
        max_bytes: 4,
        ..Limits::default()
    };
    assert_eq!(
        decode(b"hello", &limits).err(),
        Some(Error::TooManyBytes { got: 5, limit: 4 })
    );
    let empty = resized("gif_palette.gif", 6, &[0, 0, 4, 0]);
    assert_eq!(
        refused(&empty),
        Error::NoPixels {
            width: 0,
            height: 4
        }
    );
}

#[test]
fn truncated_files_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images");
    for entry in std::fs::read_dir(folder).expect("the golden images are in the repository") {
        let path = entry.expect("a readable folder").path();
        let bytes = std::fs::read(&path).expect("a readable file");
        // A third from the end lies inside the pixels of every file but those of a few pixels, which are all header,
        // and of the animations, whose first frame is then whole.
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let cut = if name.contains("animated") {
            bytes.len() / 4
        } else {
            bytes.len() - bytes.len() / 3
        };
        let error = decode(&bytes[..cut], &Limits::default()).expect_err(&name);
        assert!(matches!(error, Error::Corrupt { .. }), "{name}: {error}");
    }
}

#[test]
fn a_jpeg_without_its_end_marker_is_read() {
    let whole = golden("jpeg_420.jpg");
    let cut = &whole[..whole.len() - 2];
    let (whole, cut) = (
        decode(&whole, &Limits::default()),
        decode(cut, &Limits::default()),
    );
    assert_eq!(
        whole.expect("a golden").pixels,
        cut.expect("all pixels are there").pixels
    );
}

#[test]
fn orientation_is_reported_and_applied() {
    for orientation in 1..=8 {
        let photo = decode(
            &golden(&format!("jpeg_orientation_{orientation}.jpg")),
            &Limits::default(),
        );
        let photo = photo.expect("a golden");
        assert_eq!((photo.orientation, photo.format), (orientation, "jpeg"));
        let size = if orientation < 5 { (40, 24) } else { (24, 40) };
        assert_eq!(photo.pixels.dimensions(), size);
    }
}

#[test]
fn extreme_shapes_are_refused() {
    let processor = published();
    assert_eq!(
        processor.smart_resize(2000, 10),
        Ok((812, 28)),
        "exactly 200 is accepted"
    );
    let error = processor.smart_resize(2001, 10).expect_err("200.1 is not");
    assert_eq!(
        error.to_string(),
        "the image is 2001x10, one side 200.1 times the other; the limit is 200"
    );
    assert_eq!(
        processor.smart_resize(0, 10),
        Err(Error::NoPixels {
            width: 0,
            height: 10
        })
    );
    let small = Processor {
        min_pixels: 1,
        ..processor
    };
    assert_eq!(
        small.smart_resize(10, 100),
        Ok((28, 28)),
        "no side becomes 0"
    );
}

#[test]
fn rounding_is_half_to_even() {
    let processor = published();
    // 2.5, 3.5 and 4.5 patches.
    assert_eq!(processor.smart_resize(70, 98), Ok((56, 112)));
    assert_eq!(processor.smart_resize(126, 98), Ok((112, 112)));
    assert_eq!(processor.smart_resize(10, 10), Ok((56, 56)));
    assert_eq!(processor.smart_resize(1990, 10), Ok((812, 28)));
    assert_eq!(processor.smart_resize(5000, 4000), Ok((4004, 3192)));
}

fn published() -> Processor {
    Processor::from_json(&json!({"min_pixels": 3136, "max_pixels": 12_845_056})).expect("complete")
}

#[test]
fn configurations_are_read_in_every_form() {
    let flat = published();
    assert_eq!(
        (flat.patch_size, flat.merge_size, flat.temporal_patch_size),
        (14, 2, 2)
    );
    let size = json!({"shortest_edge": 3136, "longest_edge": 12_845_056});
    assert_eq!(
        Processor::from_json(&json!({"size": size})),
        Ok(flat.clone())
    );
    let nested = json!({"image_processor": {"size": size, "resample": 3, "do_resize": true, "rescale_factor": 0.003_921_568_627_450_98}});
    assert_eq!(Processor::from_json(&nested), Ok(flat.clone()));
    let both = json!({"min_pixels": 3136, "max_pixels": 12_845_056, "size": {"shortest_edge": 1, "longest_edge": 2}});
    assert_eq!(
        Processor::from_json(&both),
        Ok(flat),
        "its own key wins, as in transformers"
    );
}

#[test]
fn unusable_configurations_name_the_key() {
    let cases = [
        (
            json!({}),
            "`min_pixels`: missing, and so is `size.shortest_edge`",
        ),
        (json!({"min_pixels": 3136}), "`max_pixels`: missing"),
        (
            json!({"min_pixels": -1}),
            "`min_pixels`: -1 is no count of pixels",
        ),
        (
            json!({"min_pixels": 5, "max_pixels": 4}),
            "`min_pixels`: 5 is above max_pixels, 4",
        ),
        (
            json!({"min_pixels": 5, "max_pixels": 9, "patch_size": 0}),
            "`patch_size`: 0 is no whole number",
        ),
        (
            json!({"min_pixels": 5, "max_pixels": 9, "image_mean": [1, 2]}),
            "`image_mean`: [1,2] is no list of three",
        ),
        (
            json!({"min_pixels": 5, "max_pixels": 9, "image_std": [1, 0, 1]}),
            "`image_std`: [1.0, 0.0, 1.0] has to be positive",
        ),
        (
            json!({"resample": 2}),
            "`resample`: 2 is not supported, only 3",
        ),
        (
            json!({"do_normalize": false}),
            "`do_normalize`: false is not supported, only true",
        ),
        (json!({"rescale_factor": 1.0}), "`rescale_factor`"),
        (json!([]), "expected an object"),
    ];
    for (config, expected) in cases {
        let error = Processor::from_json(&config)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{config}: {error}");
    }
}
