//! Puts records to a model: a photo is read once a batch, boxes become pixels. Judges no answer.

use std::collections::HashMap;
use std::path::Path;

use image::{Rgb, RgbImage};
use model::{Answer, Extractor, Question, Scene, Terms};
use vision::PixelBox;

use crate::Error;
use crate::data::Record;
use crate::example::{object, read_photo};

/// Whom to ask, and how.
pub(crate) struct Asker<'a> {
    /// The model.
    pub extractor: &'a Extractor,
    /// The folder of the images.
    pub images: &'a Path,
    /// Every image is grey.
    pub blank_images: bool,
    /// What is wanted of an answer.
    pub terms: Terms,
}

/// What came back for a record.
pub(crate) struct Reply {
    /// Its object in pixels.
    pub region: PixelBox,
    /// The answer, or why the model has none.
    pub answer: Result<Answer, model::Error>,
}

impl Asker<'_> {
    /// The answers to the records of a batch, in their order.
    ///
    /// # Errors
    /// An image that cannot be read, a box outside it. What the model refuses is an answer.
    pub fn ask(&self, batch: &[Record]) -> Result<Vec<Reply>, Error> {
        let mut scenes: HashMap<&str, Scene> = HashMap::new();
        for record in batch {
            if !scenes.contains_key(record.img_id.as_str()) {
                scenes.insert(&record.img_id, Scene::new(self.photo(record)?));
            }
        }
        let entities: Vec<String> = batch.iter().map(Record::entity).collect();
        let mut questions = Vec::with_capacity(batch.len());
        for (record, entity) in batch.iter().zip(&entities) {
            let scene = &scenes[record.img_id.as_str()];
            questions.push(Question {
                scene,
                region: object(record, &scene.pixels)?,
                text: &record.text,
                entity,
                terms: &self.terms,
            });
        }
        let answers = self.extractor.extract(&questions);
        let regions = questions.iter().map(|question| question.region);
        let replies = regions.zip(answers);
        Ok(replies
            .map(|(region, answer)| Reply { region, answer })
            .collect())
    }

    /// The photo of `record`, or a grey one of its size.
    fn photo(&self, record: &Record) -> Result<RgbImage, Error> {
        let photo = read_photo(self.images, record)?;
        Ok(if self.blank_images {
            RgbImage::from_pixel(photo.width(), photo.height(), Rgb([127; 3]))
        } else {
            photo
        })
    }
}
