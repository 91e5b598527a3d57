//! A JPEG decoder that gives libjpeg-turbo's pixels bit for bit: the reference reads photos with Pillow, which uses it.
//!
//! Baseline, extended and progressive Huffman files of 8 bits, one to four components, any whole sampling ratio.
//! Not read: arithmetic coding, 12 bits, lossless, hierarchical (no camera or browser writes them).
//! The decoder inside the `image` crate differed by up to 5 levels on 4:2:0 photos and by up to 27 on pictures of one
//! or two columns (another chroma filter, another inverse transform); the same golden images differ by 0 here.

mod bits;
mod colour;
mod headers;
mod idct;
mod scan;
mod upsample;

use image::RgbImage;

pub(crate) use headers::Header;
use headers::{Next, Reader};
use scan::Planes;

/// Scans a file may have; encoders write about ten, and each costs a walk over the whole picture.
const MAX_SCANS: usize = 64;

/// Why a file cannot be decoded, in words.
pub(crate) type Reason = String;

/// A file whose markers are read up to the first scan; nothing of the picture's size is allocated yet.
pub(crate) struct Decoder<'a> {
    reader: Reader<'a>,
    first: headers::Scan,
}

impl<'a> Decoder<'a> {
    /// Reads everything before the pixels.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Reason> {
        let mut reader = Reader::new(bytes)?;
        match reader.next()? {
            Next::Scan(first) => Ok(Self { reader, first }),
            Next::End | Next::Nothing => Err("it ends before the first scan".to_owned()),
        }
    }

    /// What the markers said.
    pub(crate) fn header(&self) -> &Header {
        &self.reader.header
    }

    /// Decodes the pixels.
    pub(crate) fn decode(self) -> Result<RgbImage, Reason> {
        let Self { mut reader, first } = self;
        let mut planes = Planes::new(&reader.header);
        let mut scan = first;
        for _ in 0..MAX_SCANS {
            let end = planes.read(&reader, &scan)?;
            reader.seek(end);
            match reader.next()? {
                Next::Scan(next) => scan = next,
                // A progressive file never says which scan is its last: only the end marker does.
                Next::Nothing if reader.header.progressive => {
                    return Err(scan::TRUNCATED.to_owned());
                }
                Next::End | Next::Nothing => {
                    return Ok(colour::to_rgb(&reader.header, &planes.finish()?));
                }
            }
        }
        Err(format!("it has more than {MAX_SCANS} scans"))
    }
}
