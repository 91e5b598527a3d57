//! Bytes → an upright RGB photo. Sizes are read from the header and refused before a pixel is decoded.
//! Of an animation the first frame is read; colour profiles are ignored, as the reference does.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::Error;
use crate::flatten::flatten;
use crate::jpeg::Decoder;

/// What is refused before decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest file.
    pub max_bytes: usize,
    /// Most pixels, width times height.
    pub max_pixels: u64,
    /// Longest side.
    pub max_side: u32,
}

impl Default for Limits {
    /// 20 MiB, 50 million pixels, 16,384 a side: nearly every camera passes. Decoding takes
    /// 3 to 12 bytes a pixel beside the file (most for progressive JPEG without chroma subsampling).
    fn default() -> Self {
        Self {
            max_bytes: 20 << 20,
            max_pixels: 50_000_000,
            max_side: 16_384,
        }
    }
}

/// A decoded picture, upright.
#[derive(Clone)]
pub struct Photo {
    /// The pixels, 8-bit RGB, alpha composited on white.
    pub pixels: RgbImage,
    /// `png`, `jpeg`, `webp`, `gif` or `bmp`.
    pub format: &'static str,
    /// The EXIF orientation, 1 to 8, that the file named; it is already applied.
    pub orientation: u8,
}

impl std::fmt::Debug for Photo {
    /// The size for the pixels: nobody reads a million bytes in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pixels,
            format,
            orientation,
        } = self;
        let (width, height) = pixels.dimensions();
        write!(
            f,
            "Photo({width}x{height} {format}, orientation {orientation})"
        )
    }
}

/// Decodes a PNG, JPEG, WebP, GIF or BMP file.
///
/// # Errors
/// When the file is empty, too long, no image, too large by its header, or broken.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Photo, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    if bytes.len() > limits.max_bytes {
        return Err(Error::TooManyBytes {
            got: bytes.len(),
            limit: limits.max_bytes,
        });
    }
    let (format, name) = recognise(bytes)?;
    let (mut image, orientation) = match format {
        ImageFormat::Jpeg => jpeg(bytes, limits),
        _ => other(bytes, format, name, limits),
    }?;
    image.apply_orientation(orientation);
    Ok(Photo {
        pixels: flatten(image),
        format: name,
        orientation: orientation.to_exif(),
    })
}

/// JPEG files go through our own decoder, because its pixels are the reference's.
fn jpeg(bytes: &[u8], limits: &Limits) -> Result<(DynamicImage, Orientation), Error> {
    let corrupt = |reason| Error::Corrupt {
        format: "jpeg",
        reason,
    };
    let decoder = Decoder::new(bytes).map_err(corrupt)?;
    let header = decoder.header();
    check_size(header.width as u32, header.height as u32, limits)?;
    let orientation = upright(header.exif.as_deref(), header.xmp.as_deref());
    let image = decoder.decode().map_err(corrupt)?;
    Ok((DynamicImage::ImageRgb8(image), orientation))
}

/// Every other format goes through the `image` crate; all of them are lossless or, for WebP, exact by specification.
fn other(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    limits: &Limits,
) -> Result<(DynamicImage, Orientation), Error> {
    let corrupt = |error: image::ImageError| Error::Corrupt {
        format: name,
        reason: error.to_string(),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(allocation(limits));
    let mut decoder = reader.into_decoder().map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    let exif = decoder.exif_metadata().map_err(corrupt)?;
    let xmp = decoder.xmp_metadata().map_err(corrupt)?;
    let orientation = upright(exif.as_deref(), xmp.as_deref());
    let image = DynamicImage::from_decoder(decoder).map_err(corrupt)?;
    Ok((image, orientation))
}

/// How the picture has to be turned: EXIF says it, or else XMP, as in Pillow's `exif_transpose`.
fn upright(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let from_exif = exif.and_then(|exif| {
        Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
    });
    let from_xmp = || {
        const KEY: &[u8] = b"tiff:Orientation";
        let xmp = xmp?;
        let after = &xmp[xmp.windows(KEY.len()).position(|window| window == KEY)? + KEY.len()..];
        let value = after
            .strip_prefix(b"=\"")
            .or_else(|| after.strip_prefix(b">"))?;
        Orientation::from_exif(value.first()?.wrapping_sub(b'0'))
    };
    from_exif
        .or_else(from_xmp)
        .unwrap_or(Orientation::NoTransforms)
}

/// The format by the first bytes; file names and declared types are never believed.
fn recognise(bytes: &[u8]) -> Result<(ImageFormat, &'static str), Error> {
    let Ok(format) = image::guess_format(bytes) else {
        let start = bytes
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" ");
        return Err(Error::UnknownFormat { start });
    };
    let name = match format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::WebP => "webp",
        ImageFormat::Gif => "gif",
        ImageFormat::Bmp => "bmp",
        other => {
            return Err(Error::UnsupportedFormat {
                format: format!("{other:?}").to_lowercase(),
            });
        }
    };
    Ok((format, name))
}

/// Refuses a size before anything of that size is allocated.
fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), Error> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Error::NoPixels { width, height });
    }
    if width.max(height) > limits.max_side {
        return Err(Error::SideTooLong {
            width,
            height,
            limit: limits.max_side,
        });
    }
    if pixels > limits.max_pixels {
        return Err(Error::TooManyPixels {
            width,
            height,
            pixels,
            limit: limits.max_pixels,
        });
    }
    Ok(())
}

/// What a decoder may hold beside the picture: a frame of 16-bit RGBA.
fn allocation(limits: &Limits) -> image::Limits {
    let mut allowed = image::Limits::no_limits();
    allowed.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(1 << 20));
    allowed
}
