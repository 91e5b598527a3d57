//! A model without weights: one fixed answer, in the protocol's exact form.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use model::checkpoint::Prompt;
use model::engine::{Id, Picture, Stats};
use model::extract::{Prepared, Timings, Usage};
use model::guide::{Lexicon, Script};
use model::text::Positions;
use model::tokenizer::Tokenizer;
use model::{Answer, Error, Files, FinishReason, Info, Question};
use proto::{Ontology, Template};
use server::engine::{Extract, Session, Task, Written};
use vision::{Processor, crop};

/// What the stub does with a question.
pub enum Manner {
    /// Answers at once.
    Answer,
    /// Waits for a signal first.
    Wait(Mutex<Receiver<()>>),
    /// Never answers; sends the number of questions under way after every step.
    Never(Mutex<std::sync::mpsc::Sender<usize>>),
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
    tokenizer: Tokenizer,
    script: Mutex<Arc<Script>>,
}

impl Stub {
    /// A stub of this manner.
    ///
    /// # Panics
    /// Never: the configuration is fixed.
    pub fn new(manner: Manner) -> Self {
        let mini = concat!(env!("CARGO_MANIFEST_DIR"), "/../mini");
        let tokenizer = Tokenizer::open(&Files::Dir(mini.into())).expect("the mini's tokenizer");
        let script = compile(&tokenizer, Arc::new(Ontology::more().clone()));
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
            script: Mutex::new(script),
            tokenizer,
        }
    }
}

fn compile(tokenizer: &Tokenizer, ontology: Arc<Ontology>) -> Arc<Script> {
    let lexicon = Arc::new(Lexicon::new(tokenizer, 0, &[])); // nothing is generated
    Arc::new(Script::new(tokenizer, lexicon, ontology))
}

fn answer(prepared: &Prepared) -> Result<Answer, Error> {
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
    let [photo, object] = &prepared.pictures;
    let ontology = prepared.script.ontology();
    let labels = ontology.labels.len();
    Ok(Answer {
        trace: proto::parse(ontology, &raw)?,
        raw,
        image_grid: photo.patches.grid,
        crop_grid: object.patches.grid,
        usage: Usage {
            prompt_tokens: 100,
            image_tokens: 60,
            completion_tokens: 50,
            forced_tokens: 30,
            cached_tokens: 0,
        },
        timings: Timings::default(),
        finish_reason: FinishReason::Stop,
        script: Arc::clone(&prepared.script),
        scores: prepared.scored.then(|| vec![1.0 / labels as f64; labels]),
        samples: vec!["none".to_owned(); prepared.samples],
    })
}

/// The questions under way, first come first served, one a step.
struct Queue {
    stub: Arc<Stub>,
    next: Id,
    questions: VecDeque<(Id, Prepared)>,
}

impl Session for Queue {
    fn submit(&mut self, prepared: Prepared) -> Result<Id, Error> {
        self.next += 1;
        self.questions.push_back((self.next, prepared));
        Ok(self.next)
    }

    fn cancel(&mut self, id: Id) {
        self.questions.retain(|&(it, _)| it != id);
    }

    fn step(&mut self) -> Vec<(Id, Result<Answer, Error>)> {
        if let Manner::Never(steps) = &self.stub.manner {
            let steps = steps.lock().expect("no panic holds it");
            let _ = steps.send(self.questions.len()); // A test that ended has dropped the receiver.
            std::thread::sleep(std::time::Duration::from_millis(1));
            return vec![];
        }
        let Some((id, prepared)) = self.questions.pop_front() else {
            return vec![];
        };
        let answer = match &self.stub.manner {
            Manner::Answer | Manner::Never(_) => answer(&prepared),
            Manner::Wait(signal) => {
                // A test that ended has dropped the sender: then nobody waits for the answer either.
                let _ = signal.lock().expect("no panic holds it").recv();
                answer(&prepared)
            }
            Manner::Panic => panic!("the stub was told to panic"),
            Manner::Fail(message) => Err(Error::bad("secret/place", message)),
        };
        vec![(id, answer)]
    }

    fn written(&self, _id: Id) -> String {
        String::new()
    }
}

impl Extract for Stub {
    fn prepare(&self, question: &Question<'_>) -> Result<Prepared, Error> {
        let scene = question.scene;
        let object = self
            .processor
            .patches(&crop(&scene.pixels, &question.region))?;
        let pictures = [scene.picture(&self.processor)?, Picture::new(object)];
        Ok(Prepared {
            prompt: Prompt {
                ids: vec![],
                positions: Positions {
                    axes: vec![],
                    delta: 0,
                },
                image_tokens: 0,
            },
            pictures,
            took: std::time::Duration::ZERO,
            script: match &question.terms.ontology {
                Some(ontology) => compile(&self.tokenizer, Arc::clone(ontology)),
                None => self.script(),
            },
            enforce: question.terms.enforce,
            scored: question.terms.scored,
        })
    }

    fn open(self: Arc<Self>) -> Box<dyn Session> {
        Box::new(Queue {
            stub: self,
            next: 0,
            questions: VecDeque::new(),
        })
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn script(&self) -> Arc<Script> {
        Arc::clone(&self.script.lock().expect("no panic holds it"))
    }

    fn set_ontology(&self, ontology: Ontology) {
        let script = compile(&self.tokenizer, Arc::new(ontology));
        *self.script.lock().expect("no panic holds it") = script;
    }

    fn processor(&self) -> &Processor {
        &self.processor
    }
}
