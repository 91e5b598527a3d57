//! Four numbers, as text and as they are, in a photo of any size: a box inside the photo, or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vision::{BoxFormat, region};

fuzz_target!(|input: (&str, [f64; 4], u16, u16)| {
    let (text, numbers, width, height) = input;
    let (width, height) = (u32::from(width) + 1, u32::from(height) + 1);
    let written = proto::parse_bbox(text).ok();
    for bbox in written.into_iter().chain([numbers]) {
        for format in BoxFormat::ALL {
            if let Ok(region) = region(bbox, format, width, height) {
                let pixels = region.pixels;
                assert!(pixels.x0 < pixels.x1 && pixels.x1 <= width, "{bbox:?} {pixels:?}");
                assert!(pixels.y0 < pixels.y1 && pixels.y1 <= height, "{bbox:?} {pixels:?}");
            }
        }
    }
});
