//! From a checked question to pixels: decode, find the region, refuse what the processor could not resize.
//!
//! Blocks: the service runs it on its pool. Holds no model.

use std::sync::Arc;

use model::{Question, Scene, Terms};
use vision::{Limits, Processor, Region};

use crate::fields::{Asked, FieldError, Image};

/// A decoded image file.
#[derive(Debug)]
pub struct Photo {
    /// The upright photo.
    pub scene: Scene,
    /// The file's format.
    pub format: &'static str,
    /// BLAKE3 of the file.
    pub hash: blake3::Hash,
}

/// A question with its pixels.
pub struct Pixels {
    /// The upright photo.
    pub photo: Arc<Photo>,
    /// The object in it.
    pub region: Region,
    /// The headline.
    pub text: String,
    /// The entity.
    pub entity: String,
    /// How the photo is called, if its caller says so.
    pub source: Option<String>,
    /// How it is to be answered.
    pub terms: Terms,
    /// Tokens that the photo and the object will take in the prompt.
    pub image_tokens: usize,
}

impl Pixels {
    /// What the model is asked.
    pub fn question(&self) -> Question<'_> {
        Question {
            scene: &self.photo.scene,
            region: self.region.pixels,
            text: &self.text,
            entity: &self.entity,
            terms: &self.terms,
        }
    }
}

/// Decodes the image and places the box in it.
///
/// # Errors
/// When the image or the box is unusable; the error names the field.
pub fn prepare(asked: Asked, limits: &Limits, processor: &Processor) -> Result<Pixels, FieldError> {
    let Asked {
        image,
        bbox,
        format,
        text,
        entity,
        wishes,
    } = asked;
    let photo = image.photo(limits)?;
    let (width, height) = photo.scene.pixels.dimensions();
    let region = vision::region(bbox, format, width, height)?;
    let token = u64::from(processor.patch_size * processor.merge_size).pow(2);
    let tokens = |field, width, height| match processor.smart_resize(width, height) {
        Ok((width, height)) => Ok(u64::from(width) * u64::from(height) / token),
        Err(source) => Err(FieldError::Image { field, source }),
    };
    let whole = tokens("image", width, height)?;
    let part = tokens("bbox", region.pixels.width(), region.pixels.height())?;
    Ok(Pixels {
        photo,
        region,
        text,
        entity,
        terms: wishes.terms(),
        source: wishes.source,
        image_tokens: (whole + part) as usize,
    })
}

impl Image {
    /// The decoded photo.
    ///
    /// # Errors
    /// A file that is unusable, an address that nobody has fetched.
    pub fn photo(self, limits: &Limits) -> Result<Arc<Photo>, FieldError> {
        let file = match self {
            Self::File(file) => file,
            Self::Photo(photo) => return Ok(photo),
            Self::Address(_) => {
                let reason = "addresses are not fetched here; send the bytes as base64";
                return Err(FieldError::invalid("image", reason));
            }
        };
        let photo = vision::decode(&file, limits).map_err(|source| FieldError::Image {
            field: "image",
            source,
        })?;
        Ok(Arc::new(Photo {
            scene: Scene::new(photo.pixels),
            format: photo.format,
            hash: blake3::hash(&file),
        }))
    }
}
