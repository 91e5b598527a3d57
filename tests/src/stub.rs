//! A model without weights: one fixed answer, in the protocol's exact form.

use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use model::extract::{Timings, Usage};
use model::{Answer, Error, FinishReason, Info, Question};
use proto::{Ontology, Template};
use server::engine::Extract;
use vision::{Processor, crop};

/// What the stub does with a question.
pub enum Manner {
    /// Answers at once.
    Answer,
    /// Waits for a signal first.
    Wait(Mutex<Receiver<()>>),
    /// Panics.
    Panic,
    /// Fails with this message.
    Fail(&'static str),
}

/// The model.
pub struct Stub {
    manner: Manner,
    info: Info,
    processor: Processor,
}

impl Stub {
    /// A stub of this manner.
    ///
    /// # Panics
    /// Never: the configuration is fixed.
    pub fn new(manner: Manner) -> Self {
        let config = serde_json::json!({"min_pixels": 3136, "max_pixels": 200_704});
        Self {
            manner,
            info: Info {
                id: "stub".to_owned(),
                hash: "0".repeat(64),
                dtype: "f32".to_owned(),
                template: Template::default(),
            },
            processor: Processor::from_json(&config).expect("a valid configuration"),
        }
    }

    fn answer(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let texts = [
            "The object is a person in the middle of the photo.",
            "The photo shows what the text is about.",
            "The object is no entity of the text, the person takes part in the event.",
            "The object is of type per and the entity is of type misc.",
            "The candidates are /per/misc/present_in, /per/misc/awarded, /per/misc/party, /per/misc/nationality, \
             /per/misc/president and none.",
            "The person plays in the event.",
        ];
        let raw = proto::render(&texts, "/per/misc/present_in").expect("a valid answer");
        let object = crop(question.image, &question.region);
        Ok(Answer {
            trace: proto::parse(Ontology::more(), &raw)?,
            raw,
            image_grid: self.processor.patches(question.image)?.grid,
            crop_grid: self.processor.patches(&object)?.grid,
            usage: Usage {
                prompt_tokens: 100,
                image_tokens: 60,
                completion_tokens: 50,
                forced_tokens: 30,
            },
            timings: Timings::default(),
            finish_reason: FinishReason::Stop,
        })
    }
}

impl Extract for Stub {
    fn extract(&self, questions: &[Question<'_>]) -> Vec<Result<Answer, Error>> {
        match &self.manner {
            Manner::Answer => {}
            Manner::Wait(signal) => {
                // A test that ended has dropped the sender: then nobody waits for the answer either.
                let _ = signal.lock().expect("no panic holds it").recv();
            }
            Manner::Panic => panic!("the stub was told to panic about {:?}", questions[0].text),
            Manner::Fail(message) => {
                return questions
                    .iter()
                    .map(|_| Err(Error::bad("secret/place", message)))
                    .collect();
            }
        }
        questions
            .iter()
            .map(|question| self.answer(question))
            .collect()
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn ontology(&self) -> &Ontology {
        Ontology::more()
    }

    fn processor(&self) -> &Processor {
        &self.processor
    }
}
