//! Boxes as callers write them, and the pixels they mean.

use vision::{BoxFormat, PixelBox, RgbImage, crop, region};

use BoxFormat::{Cxcywh, Percent, Xywh, Xyxy};

/// A box in a picture of 640 by 480: the pixels, and whether it was clipped.
fn found(bbox: [f64; 4], format: BoxFormat) -> ([u32; 4], bool) {
    let region = region(bbox, format, 640, 480).unwrap_or_else(|error| panic!("{bbox:?}: {error}"));
    let PixelBox { x0, y0, x1, y1 } = region.pixels;
    ([x0, y0, x1, y1], region.clipped)
}

#[test]
fn boxes_become_pixels() {
    let cases = [
        ([10.0, 20.0, 200.0, 300.0], Xyxy, [10, 20, 200, 300], false),
        ([10.2, 20.9, 199.1, 299.9], Xyxy, [10, 20, 200, 300], false), // edges grow outwards
        ([10.3, 20.3, 10.4, 20.4], Xyxy, [10, 20, 11, 21], false),     // at least one pixel
        ([0.0, 0.0, 640.0, 480.0], Xyxy, [0, 0, 640, 480], false),
        ([-5.0, 20.0, 700.0, 300.0], Xyxy, [0, 20, 640, 300], true),
        ([639.5, 479.5, 9e9, 1e300], Xyxy, [639, 479, 640, 480], true),
        ([10.0, 20.0, 190.0, 280.0], Xywh, [10, 20, 200, 300], false),
        ([-10.0, 20.0, 20.0, 280.0], Xywh, [0, 20, 10, 300], true),
        ([0.5, 0.5, 1.0, 1.0], Cxcywh, [0, 0, 640, 480], false),
        ([0.5, 0.5, 0.25, 0.5], Cxcywh, [240, 120, 400, 360], false),
        // 100 to 201 and 30 to 71 px, with six decimals: no edge moves to the next pixel.
        (
            [0.235_156, 0.105_208, 0.157_813, 0.085_417],
            Cxcywh,
            [100, 30, 201, 71],
            false,
        ),
        ([0.9, 0.5, 0.4, 0.5], Cxcywh, [448, 120, 640, 360], true),
        (
            [25.0, 50.0, 50.0, 25.0],
            Percent,
            [160, 240, 480, 360],
            false,
        ),
        ([0.0, 0.0, 100.0, 100.0], Percent, [0, 0, 640, 480], false),
        ([90.0, 0.0, 20.0, 100.0], Percent, [576, 0, 640, 480], true),
    ];
    for (bbox, format, pixels, clipped) in cases {
        assert_eq!(found(bbox, format), (pixels, clipped), "{format} {bbox:?}");
    }
}

#[test]
fn unusable_boxes_name_the_limit_they_broke() {
    let cases = [
        (
            [f64::NAN, 0.0, 1.0, 1.0],
            Xyxy,
            "box value 1 (xyxy) is NaN: every value has to be a finite number",
        ),
        (
            [0.0, 0.0, 1.0, f64::INFINITY],
            Percent,
            "box value 4 (percent) is inf: every value has to be a finite number",
        ),
        (
            [0.0, 0.0, 1e308, 1e308],
            Cxcywh,
            "box value 3 (cxcywh) is 1",
        ),
        (
            [20.0, 0.0, 10.0, 10.0],
            Xyxy,
            "the box is inverted: along x it goes from 20 to 10 px",
        ),
        (
            [20.0, 30.0, 10.0, -10.0],
            Xywh,
            "the box is inverted: along y it goes from 30 to 20 px",
        ),
        (
            [20.0, 30.0, 20.0, 40.0],
            Xyxy,
            "the box is empty: along x it begins and ends at 20 px",
        ),
        (
            [0.5, 0.5, 0.1, 0.0],
            Cxcywh,
            "the box is empty: along y it begins and ends at 240 px",
        ),
        (
            [640.0, 0.0, 700.0, 10.0],
            Xyxy,
            "the box (xyxy) lies outside the image: along x it goes from 640 to 700 px, the image from 0 to 640 px",
        ),
        (
            [0.0, -20.0, 10.0, 20.0],
            Xywh,
            "along y it goes from -20 to 0 px, the image from 0 to 480 px",
        ),
        // Pixels given where fractions were declared.
        (
            [100.0, 100.0, 50.0, 50.0],
            Cxcywh,
            "the box (cxcywh) lies outside the image: along x it goes from 48000 to 80000 px",
        ),
    ];
    for (bbox, format, expected) in cases {
        let error = region(bbox, format, 640, 480)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error}\nlacks: {expected}");
    }
    assert!(
        region([0.0, 0.0, 1.0, 1.0], Xyxy, 0, 5).is_err(),
        "a picture without pixels has no boxes"
    );
}

#[test]
fn formats_have_names() {
    for format in BoxFormat::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(
            serde_json::to_value(format).ok(),
            Some(format.name().into())
        );
    }
    let error = "yolo".parse::<BoxFormat>().expect_err("not a name here");
    assert_eq!(
        error.to_string(),
        "unknown box format `yolo`: xyxy, xywh, cxcywh and percent are known"
    );
}

#[test]
fn a_crop_is_the_pixels_of_its_box() {
    let image = RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8, y as u8, 0]));
    let part = crop(
        &image,
        &PixelBox {
            x0: 2,
            y0: 3,
            x1: 6,
            y1: 5,
        },
    );
    assert_eq!(part.dimensions(), (4, 2));
    assert_eq!(
        (part.get_pixel(0, 0).0, part.get_pixel(3, 1).0),
        ([2, 3, 0], [5, 4, 0])
    );
}
