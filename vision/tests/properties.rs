//! Laws that hold for every picture, box and file, tried on random ones.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use vision::{BoxFormat, Limits, Processor, RgbImage, decode, region, resize};

fn picture() -> impl Strategy<Value = RgbImage> {
    (1_u32..90, 1_u32..90).prop_flat_map(|(width, height)| {
        let bytes = (width * height * 3) as usize;
        prop::collection::vec(any::<u8>(), bytes).prop_map(move |bytes| {
            RgbImage::from_raw(width, height, bytes).expect("the length fits")
        })
    })
}

fn processor() -> Processor {
    let value = serde_json::json!({"min_pixels": 3136, "max_pixels": 12_544});
    Processor::from_json(&value).expect("two counts are a whole configuration")
}

/// Values near the picture's edges, and any other bits a float can have.
fn coordinate() -> impl Strategy<Value = f64> {
    prop_oneof![
        -50.0..700.0,
        -0.5..1.5,
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits)
    ]
}

/// The golden images, as stock for broken files.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images");
    let entries = std::fs::read_dir(folder).expect("the golden images are in the repository");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a readable file"))
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patch_rows_give_the_resized_picture_back(image in picture()) {
        let processor = processor();
        let (width, height) = processor.smart_resize(image.width(), image.height()).expect("no extreme shape");
        let patches = processor.patches(&image).expect("no extreme shape");
        let resized = resize(&image, width, height);
        let (w, h) = (patches.grid.w, patches.grid.h);
        prop_assert_eq!((w * 14, h * 14), (width as usize, height as usize));
        prop_assert_eq!(patches.pixels.len(), patches.grid.patches() * 1176);
        prop_assert_eq!(patches.grid.tokens(2) * 4, patches.grid.patches());
        for (number, row) in patches.pixels.chunks_exact(1176).enumerate() {
            let (square, inside) = (number / 4, number % 4);
            let patch_y = square / (w / 2) * 2 + inside / 2;
            let patch_x = square % (w / 2) * 2 + inside % 2;
            for (at, value) in row.iter().enumerate() {
                let (channel, y, x) = (at / 392, at % 196 / 14, at % 14); // both frames are the same
                let (x, y) = (patch_x * 14 + x, patch_y * 14 + y);
                let byte = value * processor.std[channel] * 255.0 + processor.mean[channel] * 255.0;
                prop_assert_eq!(byte.round() as u8, resized.get_pixel(x as u32, y as u32).0[channel]);
            }
        }
    }

    #[test]
    fn sizes_fit_the_limits(width in 1_u32..20_000, height in 1_u32..20_000) {
        let processor = processor();
        if let Ok((w, h)) = processor.smart_resize(width, height) {
            prop_assert!(w > 0 && h > 0 && w % 28 == 0 && h % 28 == 0);
            let pixels = u64::from(w) * u64::from(h);
            prop_assert!(pixels >= processor.min_pixels, "{w}x{h}");
            // A side of one merged patch is never made smaller, so long strips may exceed the maximum.
            prop_assert!(pixels <= processor.max_pixels || w == 28 || h == 28, "{w}x{h}");
        } else {
            prop_assert!(width.max(height) > 200 * width.min(height));
        }
    }

    #[test]
    fn flat_pictures_stay_flat(colour in any::<[u8; 3]>(), w in 1_u32..70, h in 1_u32..70, to_w in 1_u32..70, to_h in 1_u32..70) {
        let resized = resize(&RgbImage::from_pixel(w, h, image::Rgb(colour)), to_w, to_h);
        prop_assert!(resized.pixels().all(|pixel| pixel.0 == colour));
    }

    #[test]
    fn regions_lie_inside(
        bbox in prop::array::uniform4(coordinate()),
        format in prop::sample::select(BoxFormat::ALL.to_vec()),
        width in 0_u32..1000,
        height in prop_oneof![0_u32..1000, Just(u32::MAX)],
    ) {
        if let Ok(region) = region(bbox, format, width, height) {
            let b = region.pixels;
            prop_assert!(b.x0 < b.x1 && b.x1 <= width && b.y0 < b.y1 && b.y1 <= height, "{:?}", b);
        }
    }

    #[test]
    fn broken_files_never_panic(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = file.get(&FILES).clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = Limits { max_pixels: 1 << 20, ..Limits::default() };
        if let Ok(photo) = decode(&bytes, &limits) {
            prop_assert!(u64::from(photo.pixels.width()) * u64::from(photo.pixels.height()) <= limits.max_pixels);
        }
    }
}
