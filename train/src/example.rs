//! From a record to what the network reads: tokens, positions, patches. Draws no batches.

use std::path::Path;

use model::Span;
use model::checkpoint::Checkpoint;
use model::extract::question_ids;
use model::guide::{label_ids, response_ids};
use model::text::Positions;
use proto::{Form, Ontology, Template, Wording};
use vision::{BoxFormat, Limits, Patches, crop, decode, region};

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
    /// An image that cannot be read, a box outside it, a record without what is learned: a trace that keeps to the grammar, or a label of
    /// the ontology.
    pub fn make(
        &self,
        record: &Record,
        template: Template,
        steps: Option<usize>,
    ) -> Result<Example, Error> {
        let fault = |reason: String| Error::Record {
            image: record.img_id.clone(),
            reason,
        };
        let photo = read_photo(self.images, record)?;
        let bbox = region(
            record.t.pos,
            BoxFormat::Cxcywh,
            photo.width(),
            photo.height(),
        );
        let bbox = bbox.map_err(|error| fault(error.to_string()))?;
        let processor = &self.checkpoint.processor;
        let cut = |image| {
            processor
                .patches(image)
                .map_err(|error| fault(error.to_string()))
        };
        let patches = vec![cut(&photo)?, cut(&crop(&photo, &bbox.pixels))?];
        let entity = record.h.name.join(" ");
        let question = question_ids(
            self.checkpoint,
            Wording {
                template,
                form: self.target,
            },
            self.ontology,
            &record.text,
            &entity,
        )?;
        let mut ids = self
            .checkpoint
            .prompt(&question, &Checkpoint::grids(&patches))?
            .ids;
        let response = ids.len();
        ids.extend(self.response(record, steps).map_err(fault)?);
        if steps.is_none() {
            ids.push(self.checkpoint.generation.eos_token_id[0]);
        }
        let weights = self.weights(&ids[response..]);
        let axes = Positions::new(&ids, &Checkpoint::grids(&patches), &self.checkpoint.config).axes;
        Ok(Example {
            ids,
            axes,
            response,
            weights,
            patches,
        })
    }

    /// What is learned of `record`, without the end token.
    fn response(&self, record: &Record, steps: Option<usize>) -> Result<Vec<u32>, String> {
        let tokenizer = &self.checkpoint.tokenizer;
        match self.target {
            Form::Trace => {
                let trace = record.trace.as_deref();
                let trace = trace.ok_or("has no trace to learn from")?;
                response_ids(tokenizer, trace, steps).map_err(|error| error.to_string())
            }
            Form::Label => {
                let label = self.ontology.find(&record.relation);
                let label = label
                    .ok_or_else(|| format!("the ontology has no relation {:?}", record.relation))?;
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

/// The photo of `record`, upright.
///
/// # Errors
/// An image that is not there or does not decode.
pub fn read_photo(images: &Path, record: &Record) -> Result<image::RgbImage, Error> {
    let path = images.join(&record.img_id);
    let bytes = std::fs::read(&path).map_err(|source| Error::Io { path, source })?;
    let photo = decode(&bytes, &Limits::default());
    let fault = |error: vision::Error| Error::Record {
        image: record.img_id.clone(),
        reason: error.to_string(),
    };
    Ok(photo.map_err(fault)?.pixels)
}
