//! A model without weights: one fixed answer, in the protocol's exact form.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use model::checkpoint::Prompt;
use model::engine::{Id, Picture, Stats};
use model::extract::{Prepared, Timings, Usage};
use model::guide::{Lexicon, Script};
use model::template::Message;
use model::text::Positions;
use model::tokenizer::Tokenizer;
use model::{Answer, Chat, Completion, Error, Files, FinishReason, Info, Question, Sampling};
use proto::{Form, Ontology, Template};
use server::engine::{Extract, Session, Task, Written};
use vision::{Processor, crop};

/// What the stub does with a question.
pub enum Manner {
    /// Answers at once.
    Answer,
    /// Waits for a signal first.
    Wait(Mutex<Receiver<()>>),
    /// Never answers; sends the number of questions under way at every step, and when one is given up.
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
    sampling: Sampling,
    script: Mutex<Arc<Script>>,
    /// How many sessions it may have side by side.
    pub lanes: usize,
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
            sampling: Sampling::default(),
            tokenizer,
            lanes: 1,
        }
    }
}

impl Stub {
    /// The same turn always, or the first of the choices.
    fn turn(&self, chat: &Chat) -> Completion {
        let text = chat.choices.first().map_or("It says so.", String::as_str);
        let token_ids = self.tokenizer.encode(text);
        Completion {
            logprobs: vec![-0.5; token_ids.len()],
            tops: vec![vec![(0, -0.5); chat.top_logprobs]; token_ids.len()],
            scores: None,
            prompt_tokens: 7,
            forced: 0,
            reused: 0,
            finish_reason: FinishReason::Stop,
            timings: model::generate::Timings::default(),
            token_ids,
        }
    }
}

fn compile(tokenizer: &Tokenizer, ontology: Arc<Ontology>) -> Arc<Script> {
    let lexicon = Arc::new(Lexicon::new(tokenizer, 0, &[])); // nothing is generated
    Arc::new(Script::new(tokenizer, lexicon, ontology, Form::Trace))
}

fn no_prompt() -> Prompt {
    Prompt {
        ids: vec![],
        positions: Positions {
            axes: vec![],
            delta: 0,
        },
        image_tokens: 0,
    }
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
    tasks: VecDeque<(Id, Task)>,
}

impl Queue {
    /// Of [`Manner::Never`].
    fn tell(&self) {
        if let Manner::Never(steps) = &self.stub.manner {
            let steps = steps.lock().expect("no panic holds it");
            let _ = steps.send(self.tasks.len()); // A test that ended has dropped the receiver.
        }
    }
}

impl Session for Queue {
    fn submit(&mut self, task: Task) -> Result<Id, Error> {
        self.next += 1;
        self.tasks.push_back((self.next, task));
        Ok(self.next)
    }

    fn cancel(&mut self, id: Id) {
        self.tasks.retain(|&(it, _)| it != id);
        self.tell();
    }

    fn step(&mut self) -> Vec<(Id, Result<Written, Error>)> {
        if let Manner::Never(_) = &self.stub.manner {
            self.tell();
            std::thread::sleep(std::time::Duration::from_millis(1));
            return vec![];
        }
        let Some((id, task)) = self.tasks.pop_front() else {
            return vec![];
        };
        let write = || match &task {
            Task::Question(prepared) => Ok(Written::Answer(Box::new(answer(prepared)?))),
            Task::Chat(chat) => Ok(Written::Turn(Box::new(self.stub.turn(chat)))),
        };
        let written = match &self.stub.manner {
            Manner::Answer | Manner::Never(_) => write(),
            Manner::Wait(signal) => {
                // A test that ended has dropped the sender: then nobody waits for the answer either.
                let _ = signal.lock().expect("no panic holds it").recv();
                write()
            }
            Manner::Panic => panic!("the stub was told to panic"),
            Manner::Fail(message) => Err(Error::bad("secret/place", message)),
        };
        vec![(id, written)]
    }

    fn written(&self, _id: Id) -> &[u32] {
        &[]
    }

    fn has_room(&self) -> bool {
        true
    }

    fn stats(&self) -> Stats {
        Stats {
            running: self.tasks.len(),
            most_tokens: 1,
            ..Stats::default()
        }
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
            prompt: no_prompt(),
            pictures,
            took: std::time::Duration::ZERO,
            script: match &question.terms.ontology {
                Some(ontology) => compile(&self.tokenizer, Arc::clone(ontology)),
                None => self.script(),
            },
            enforce: question.terms.enforce,
            scored: question.terms.scored,
            samples: question.terms.samples,
        })
    }

    fn chat(
        &self,
        _messages: &[Message],
        pictures: Vec<Picture>,
        max_new_tokens: usize,
    ) -> Result<Chat, Error> {
        Ok(Chat::over(no_prompt(), pictures, max_new_tokens))
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn open(self: Arc<Self>) -> Box<dyn Session> {
        Box::new(Queue {
            stub: self,
            next: 0,
            tasks: VecDeque::new(),
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
