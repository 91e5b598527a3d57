//! What the expert sees of a record, inside the request: the photo upright, as JPEG, and the crop, the student's to the pixel. Knows no
//! patches.

use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use train::data::Record;
use train::example::{object, read_photo};
use vision::crop;

/// As good as the photos of the data set themselves, at a fifth of the bytes of a PNG.
const QUALITY: u8 = 95;

/// Pixels a token stands for: 28×28 in Qwen2.5-VL, 750 with others. A guess, see `train::annotate::Ledger`.
const PIXELS_A_TOKEN: u64 = 750;

/// Both images of a record.
#[derive(Debug)]
pub struct Pictures {
    /// The photo and the crop, as `data:` addresses.
    pub urls: [String; 2],
    /// How many tokens both may be.
    pub tokens: u64,
}

/// The images of `record`.
///
/// # Errors
/// A photo that cannot be read, a box outside it.
pub fn pictures(images: &Path, record: &Record) -> Result<Pictures, String> {
    let photo = read_photo(images, record).map_err(|error| error.to_string())?;
    let bbox = object(record, &photo).map_err(|error| error.to_string())?;
    let object = crop(&photo, &bbox);
    let pixels = |image: &RgbImage| u64::from(image.width()) * u64::from(image.height());
    Ok(Pictures {
        urls: [jpeg(&photo)?, png(&object)?],
        tokens: (pixels(&photo) + pixels(&object)) / PIXELS_A_TOKEN,
    })
}

fn jpeg(image: &RgbImage) -> Result<String, String> {
    let mut file = vec![];
    let encoder = JpegEncoder::new_with_quality(&mut file, QUALITY);
    let written = image.write_with_encoder(encoder);
    written.map_err(|error| error.to_string())?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(file)))
}

/// Crops are small: every pixel arrives.
fn png(image: &RgbImage) -> Result<String, String> {
    let mut file = Cursor::new(vec![]);
    let written = image.write_to(&mut file, ImageFormat::Png);
    written.map_err(|error| error.to_string())?;
    let base64 = STANDARD.encode(file.into_inner());
    Ok(format!("data:image/png;base64,{base64}"))
}
