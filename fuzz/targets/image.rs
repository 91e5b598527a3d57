//! Any bytes as an image file: decoded or refused, never a panic, never more memory than the limits allow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vision::{Limits, decode};

fuzz_target!(|file: &[u8]| {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_pixels: 1 << 16,
        max_side: 1 << 10,
    };
    if let Ok(photo) = decode(file, &limits) {
        let (width, height) = photo.pixels.dimensions();
        assert!(width > 0 && height > 0);
        assert!(u64::from(width) * u64::from(height) <= limits.max_pixels);
        assert!(width.max(height) <= limits.max_side);
    }
});
