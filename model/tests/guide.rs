//! The six-step grammar over the mini's tokens: which labels may be given, and how an answer ends.

use std::path::PathBuf;
use std::sync::Arc;

use model::checkpoint::Checkpoint;
use model::generate::{Guide, Next};
use model::guide::{Lexicon, Script, SixSteps, label_ids};
use model::{Extractor, Files, Options, Question, Scene, Terms};
use proto::{Enforce, Form, Ontology, Segment};

fn mini() -> Files {
    Files::Dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../mini"))
}

fn open() -> Checkpoint {
    let options = Options::default();
    Checkpoint::open(&mini(), options.format, &options.device).expect("the shipped checkpoint")
}

fn script(checkpoint: &Checkpoint, ontology: &Ontology, form: Form) -> Arc<Script> {
    let vocab = checkpoint.config.text.vocab_size;
    let eos = &checkpoint.generation.eos_token_id;
    let lexicon = Arc::new(Lexicon::new(&checkpoint.tokenizer, vocab, eos));
    let ontology = Arc::new(ontology.clone());
    Arc::new(Script::new(&checkpoint.tokenizer, lexicon, ontology, form))
}

/// A guide that stands before the label, after six steps of which the fourth says `types`.
fn before_label(
    checkpoint: &Checkpoint,
    ontology: &Ontology,
    enforce: Enforce,
    types: &str,
) -> SixSteps {
    let mut guide = SixSteps::new(script(checkpoint, ontology, Form::Trace), enforce, 1024);
    guide.opening();
    let encode = |text: &str| checkpoint.tokenizer.encode(text);
    let headings: Vec<String> = proto::grammar()
        .into_iter()
        .filter_map(|segment| match segment {
            Segment::Forced(text) => Some(text),
            Segment::Free | Segment::Label => None,
        })
        .collect();
    for (step, heading) in (1..=6).zip(&headings[1..]) {
        let text = if step == 4 { types } else { " This is said." };
        for id in encode(text)
            .into_iter()
            .chain(encode(heading).first().copied())
        {
            assert!(guide.allows(id), "step {step}, token {id}");
            guide.accept(id);
        }
    }
    guide
}

/// The labels that `guide` would let a model say.
fn possible(checkpoint: &Checkpoint, ontology: &Ontology, guide: &SixSteps) -> Vec<String> {
    let says = |name: &str| {
        let mut guide = guide.clone();
        checkpoint.tokenizer.encode(name).into_iter().all(|id| {
            let allowed = guide.allows(id);
            if allowed {
                guide.accept(id);
            }
            allowed
        })
    };
    let names = ontology.labels.iter().map(|label| label.name.clone());
    names.filter(|name| says(name)).collect()
}

#[test]
fn strict_leaves_the_candidates_of_the_stated_types() {
    let (checkpoint, ontology) = (open(), Ontology::more());
    let types = " The object is of type per and the entity is of type org.";
    let guide = |enforce, types| before_label(&checkpoint, ontology, enforce, types);
    let strict = possible(&checkpoint, ontology, &guide(Enforce::Strict, types));
    let mut candidates = ontology.candidates("per", "org");
    candidates.sort_unstable();
    let mut sorted = strict.clone();
    sorted.sort();
    assert_eq!(sorted, candidates);
    assert_eq!(
        possible(
            &checkpoint,
            ontology,
            &guide(Enforce::Strict, " Who knows.")
        ),
        ["none"]
    );
    let reported = possible(&checkpoint, ontology, &guide(Enforce::Report, types));
    assert_eq!(reported.len(), ontology.labels.len());
}

/// A label that another one begins with can be said, and so can the other.
#[test]
fn a_label_may_begin_with_another() {
    let checkpoint = open();
    let label = |name: &str| serde_json::json!({"name": name, "object_type": "per", "entity_type": "per", "definition": "x"});
    let names = [
        "/per/per/friend",
        "/per/per/friend_of",
        "/per/per/friend_of_friend",
    ];
    let mut labels: Vec<_> = names.map(label).to_vec();
    labels.push(serde_json::json!({"name": "none", "object_type": null, "entity_type": null, "definition": "x"}));
    let json = serde_json::json!({"name": "friends", "types": [{"name": "per", "description": "person"}], "labels": labels});
    let ontology = Ontology::from_json(&json.to_string()).expect("a valid ontology");
    for wanted in names {
        let mut guide = before_label(&checkpoint, &ontology, Enforce::Report, " Said.");
        assert!(guide.chooses(), "labels come next");
        let path = [wanted, proto::CLOSE_ANSWER].map(|text| checkpoint.tokenizer.encode(text));
        let mut said = vec![];
        for id in path.concat() {
            assert!(guide.allows(id), "{wanted}");
            said.push(id);
            if let Next::Finished(rest) = guide.accept(id) {
                said.extend(rest);
                break;
            }
        }
        let text = checkpoint.tokenizer.decode(&said, false);
        assert_eq!(text, format!("{wanted}</answer>"));
    }
}

/// The baseline's answers: the tags are forced, any label may stand between them, and training shows the same tokens.
#[test]
fn a_label_alone_is_forced_into_its_tags() {
    let (checkpoint, ontology) = (open(), Ontology::more());
    let script = script(&checkpoint, ontology, Form::Label);
    for label in &ontology.labels {
        // Without six steps nothing is stated that `strict` could exclude a label by.
        let mut guide = SixSteps::new(Arc::clone(&script), Enforce::Strict, 64);
        let mut said = guide.opening();
        assert!(guide.chooses(), "the label comes first");
        for id in checkpoint.tokenizer.encode(&label.name) {
            assert!(guide.allows(id), "{}", label.name);
            said.push(id);
            if let Next::Finished(rest) = guide.accept(id) {
                said.extend(rest);
            }
        }
        let text = checkpoint.tokenizer.decode(&said, false);
        assert_eq!(text, format!("<answer>{}</answer>", label.name));
        assert_eq!(said, label_ids(&checkpoint.tokenizer, &label.name));
    }
    let guide = {
        let mut guide = SixSteps::new(script, Enforce::Report, 64);
        guide.opening();
        guide
    };
    let heading = checkpoint.tokenizer.encode("<think>");
    assert!(!guide.allows(heading[0]), "nobody thinks here");
}

/// The shipped model on the example photo: scores do not change the answer, sum to one, and favour it; relations of one's own are kept
/// to.
#[test]
fn the_mini_scores_what_it_says() {
    let photo =
        std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/photo.jpg"))
            .expect("the example is there");
    let photo = vision::decode(&photo, &vision::Limits::default()).expect("a photo");
    let scene = Scene::new(photo.pixels);
    let more = Ontology::more();
    let extractor =
        Extractor::open("mini", &mini(), more.clone(), Options::default()).expect("the mini opens");
    let bbox = [257.0, 122.0, 320.0, 233.0];
    let (width, height) = scene.pixels.dimensions();
    let region =
        vision::region(bbox, vision::BoxFormat::Xyxy, width, height).expect("a usable box");
    let ask = |terms: &Terms| {
        let question = Question {
            scene: &scene,
            region: region.pixels,
            text: "The Silver Lamp goes to Walter Finch, a regular of Harlow Tigers",
            entity: "Silver Lamp",
            terms,
        };
        extractor.extract(&[question]).remove(0).expect("an answer")
    };
    let plain = ask(&Terms::default());
    assert_eq!(plain.scores, None);
    for enforce in [Enforce::Report, Enforce::Strict] {
        let scored = ask(&Terms {
            enforce,
            scored: true,
            samples: 2,
            ontology: None,
        });
        assert_eq!(scored.raw, plain.raw);
        assert_eq!(scored.samples.len(), 2);
        assert!(
            scored
                .samples
                .iter()
                .all(|label| more.find(label).is_some())
        );
        let scores = scored.scores.expect("asked for");
        assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        assert_eq!(more.labels[best.expect("labels")].name, plain.trace.label);
    }
    let mut few = more.clone();
    few.labels
        .retain(|label| label.name == "none" || label.name == "/per/misc/party");
    let own = ask(&Terms {
        ontology: Some(Arc::new(few.clone())),
        ..Terms::default()
    });
    assert!(few.find(&own.trace.label).is_some(), "{}", own.trace.label);
    // The same relations as the extractor's own from here on.
    assert_eq!(plain.script.hash(), more.hash());
    extractor.set_ontology(few);
    let changed = ask(&Terms::default());
    assert_eq!(changed.script.hash(), own.script.hash());
    assert_ne!(changed.script.hash(), plain.script.hash());
    assert_eq!(changed.raw, own.raw);
}
