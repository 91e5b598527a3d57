//! From a record to what the network reads: tokens, positions, patches. Draws no batches.

use std::path::Path;

use model::Span;
use model::checkpoint::{Checkpoint, Prompt};
use model::extract::question_ids;
use model::guide::{label_ids, response_ids};
use model::text::Positions;
use proto::{Form, Label, Ontology, Template, Wording};
use vision::{BoxFormat, Limits, Patches, PixelBox, crop, decode, region};

use crate::Error;
use crate::config::Emphasis;
use crate::data::Record;

/// A training example.
#[derive(Clone, Debug)]
pub struct Example {
    /// Prompt, response and end token.
    pub ids: Vec<u32>,
    /// Where they stand.
    pub axes: Vec<[u32; 3]>,
    /// The first token of the response.
    pub response: usize,
    /// How much each token of the response counts.
    pub weights: Vec<f32>,
    /// The photo and the crop.
    pub patches: Vec<Patches>,
}

impl Example {
    /// The tokens from `from` up to `to`, behind those before.
    pub(crate) fn span(&self, from: usize, to: usize) -> Span<'_> {
        Span {
            ids: &self.ids[from..to],
            axes: &self.axes[from..to],
            held: from,
        }
    }
}

/// A question without its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The prompt, image placeholders included.
    pub prompt: Prompt,
    /// The photo and the crop.
    pub patches: Vec<Patches>,
}

impl Asked {
    /// The example whose response is `answer`, each token of it counted by its weight.
    pub fn answered(&self, answer: &[u32], weights: Vec<f32>, checkpoint: &Checkpoint) -> Example {
        let ids = [&self.prompt.ids[..], answer].concat();
        let axes = Positions::new(&ids, &Checkpoint::grids(&self.patches), &checkpoint.config).axes;
        Example {
            ids,
            axes,
            response: self.prompt.ids.len(),
            weights,
            patches: self.patches.clone(),
        }
    }
}

/// Reads images and cuts examples.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// Whose tokenizer, template and processor to use.
    pub checkpoint: &'a Checkpoint,
    /// The relations in the prompt.
    pub ontology: &'a Ontology,
    /// Where the images lie.
    pub images: &'a Path,
    /// What is learned.
    pub target: Form,
    /// Which tokens count more.
    pub emphasis: Option<&'a Emphasis>,
}

impl Examples<'_> {
    /// The example of `record`, asked in the order of `template`; with `steps` its trace ends at the heading behind that step.
    ///
    /// # Errors
    /// As [`Examples::question`], and a record without what is learned: a trace that keeps to the grammar, or a label of the ontology.
    pub fn make(
        &self,
        record: &Record,
        template: Template,
        steps: Option<usize>,
    ) -> Result<Example, Error> {
        let fault = Error::record(record);
        let question = self.question(record, template)?;
        let mut answer = self.response(record, steps).map_err(fault)?;
        if steps.is_none() {
            answer.push(self.checkpoint.generation.eos_token_id[0]);
        }
        let weights = self.weights(&answer);
        Ok(question.answered(&answer, weights, self.checkpoint))
    }

    /// What the network is asked about `record`.
    ///
    /// # Errors
    /// An image that cannot be read, a box outside it, control tokens in the texts.
    pub fn question(&self, record: &Record, template: Template) -> Result<Asked, Error> {
        let fault = Error::record(record);
        let photo = read_photo(self.images, record)?;
        let bbox = object(record, &photo)?;
        let processor = &self.checkpoint.processor;
        let cut = |image| {
            processor
                .patches(image)
                .map_err(|error| fault(error.to_string()))
        };
        let patches = vec![cut(&photo)?, cut(&crop(&photo, &bbox))?];
        let entity = record.entity();
        let question = question_ids(
            self.checkpoint,
            Wording {
                template,
                form: self.target,
            },
            self.ontology,
            &record.text,
            &entity,
        );
        let question = question.map_err(|error| fault(error.to_string()))?;
        let prompt = self
            .checkpoint
            .prompt(&question, &Checkpoint::grids(&patches));
        let prompt = prompt.map_err(|error| fault(error.to_string()))?;
        Ok(Asked { prompt, patches })
    }

    /// What is learned of `record`, without the end token.
    pub(crate) fn response(
        &self,
        record: &Record,
        steps: Option<usize>,
    ) -> Result<Vec<u32>, String> {
        let tokenizer = &self.checkpoint.tokenizer;
        match self.target {
            Form::Trace => {
                let trace = record.trace.as_deref();
                let trace = trace.ok_or("has no trace to learn from")?;
                response_ids(tokenizer, trace, steps).map_err(|error| error.to_string())
            }
            Form::Label => {
                let label = gold(self.ontology, record)?;
                Ok(label_ids(tokenizer, &label.name))
            }
        }
    }

    /// How much each of the response's `ids` counts.
    fn weights(&self, ids: &[u32]) -> Vec<f32> {
        let mut weights = vec![1.0; ids.len()];
        let Some(emphasis) = self.emphasis else {
            return weights;
        };
        for phrase in &emphasis.phrases {
            let phrase = self.checkpoint.tokenizer.encode(phrase);
            for (start, tokens) in ids.windows(phrase.len().max(1)).enumerate() {
                if tokens == phrase {
                    weights[start..start + phrase.len()].fill(emphasis.weight);
                }
            }
        }
        weights
    }
}

/// The label of `record`; a missing slash is forgiven.
///
/// # Errors
/// One that the ontology does not have.
pub(crate) fn gold<'a>(ontology: &'a Ontology, record: &Record) -> Result<&'a Label, String> {
    let label = ontology.find(&record.relation);
    label.ok_or_else(|| no_relation(record))
}

/// Checks that answers can be compared with the label of each of `records`: that it is, letter for letter, one of the ontology.
///
/// # Errors
/// The first that is not.
pub(crate) fn check_labels(ontology: &Ontology, records: &[Record]) -> Result<(), Error> {
    let unknown = |record: &&Record| ontology.position(&record.relation).is_none();
    match records.iter().find(unknown) {
        Some(record) => Err(Error::record(record)(no_relation(record))),
        None => Ok(()),
    }
}

fn no_relation(record: &Record) -> String {
    format!("the ontology has no relation {:?}", record.relation)
}

/// The photo of `record`, upright.
///
/// # Errors
/// A name that could lead out of `images`, an image that is not there or does not decode.
pub fn read_photo(images: &Path, record: &Record) -> Result<image::RgbImage, Error> {
    let fault = Error::record(record);
    let path = record.image_in(images).map_err(&fault)?;
    let bytes = std::fs::read(&path).map_err(Error::io(path))?;
    let photo = decode(&bytes, &Limits::default());
    Ok(photo.map_err(|error| fault(error.to_string()))?.pixels)
}

/// The object of `record` in pixels of its `photo`.
///
/// # Errors
/// A box outside the photo.
pub fn object(record: &Record, photo: &image::RgbImage) -> Result<PixelBox, Error> {
    let (width, height) = photo.dimensions();
    let region = region(record.bbox(), BoxFormat::Cxcywh, width, height);
    let fault = Error::record(record);
    Ok(region.map_err(|error| fault(error.to_string()))?.pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A photo that could be read, were it looked for outside.
    #[test]
    fn photos_outside_of_the_folder_are_not_read() {
        let folder = tempfile::TempDir::new().expect("a folder for the test");
        let images = folder.path().join("images");
        std::fs::create_dir(&images).expect("a new folder");
        let photo = image::RgbImage::new(8, 8);
        let path = folder.path().join("a.png");
        photo.save(&path).expect("a new file");
        photo.save(images.join("b.png")).expect("a new file");
        let read = |name: &str| {
            let record = Record {
                img_id: name.to_owned(),
                ..Record::example()
            };
            read_photo(&images, &record)
        };
        read("b.png").expect("it is inside");
        for name in ["../a.png", path.to_str().expect("a plain path")] {
            let error = read(name).expect_err("it is outside").to_string();
            assert!(error.starts_with(&format!("record of {name}: ")), "{error}");
        }
    }
}
