//! Whether examples can be made of records: looked at before the first step, since a fault behind many of them costs what they did. Opens
//! photos no further than their heads.

use image::ImageReader;
use model::extract::question_ids;
use proto::{Template, Wording};
use rayon::prelude::*;
use vision::{BoxFormat, region};

use crate::Error;
use crate::data::Record;
use crate::example::{Examples, read_photo};

impl Examples<'_> {
    /// Looks at the questions of all `records`.
    ///
    /// # Errors
    /// The first photo that is missing or none, box outside of it, or text that cannot be asked.
    pub fn check_questions(&self, records: &[Record]) -> Result<(), Error> {
        records.par_iter().try_for_each(|record| {
            let [width, height] = self.sides(record)?;
            let fault = Error::record(record);
            region(record.bbox(), BoxFormat::Cxcywh, width, height)
                .map_err(|error| fault(error.to_string()))?;
            let wording = Wording {
                template: Template::default(),
                form: self.target,
            };
            let entity = record.entity();
            question_ids(
                self.checkpoint,
                wording,
                self.ontology,
                &record.text,
                &entity,
            )
            .map_err(|error| fault(error.to_string()))?;
            Ok(())
        })
    }

    /// Looks at what is learned of all `records`.
    ///
    /// # Errors
    /// The first that has no trace in the exact form, or no label of the ontology.
    pub fn check_answers(&self, records: &[Record]) -> Result<(), Error> {
        records.par_iter().try_for_each(|record| {
            let answer = self.response(record, None);
            answer.map(drop).map_err(Error::record(record))
        })
    }

    /// The photo's width and height as its head says; where that cannot be read, the whole photo decides.
    fn sides(&self, record: &Record) -> Result<[u32; 2], Error> {
        let path = record
            .image_in(self.images)
            .map_err(Error::record(record))?;
        let head = ImageReader::open(&path).map_err(Error::io(&path))?;
        let sides = head.with_guessed_format().map_err(Error::io(&path))?;
        match sides.into_dimensions() {
            Ok((width, height)) => Ok([width, height]),
            Err(_) => Ok(read_photo(self.images, record)?.dimensions().into()),
        }
    }
}
