//! What a corpus promises: traces a strict reader accepts, labels spread evenly, nothing to win by looking at one
//! modality only, held-out pairs kept out, the same bytes for the same seed.

mod hard;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::ops::Range;
use std::path::PathBuf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::cast::{self, Cast};
use super::draw::Setting;
use super::rule::{Statement, Story, is_held_out};
use super::world::{AWARDS, Depicted, Entity, Relation, TEAMS, tie};
use super::{Aim, Split, SynthOptions, generate, sample, trace};
use crate::data::read_records;

/// One question with everything that leads to its answer.
struct Case {
    cast: usize,
    object: Depicted,
    entity: Entity,
    relation: Option<Relation>,
}

const PLAIN: Aim = Aim {
    training: true,
    hard: false,
};
const PLAIN_TEST: Aim = Aim {
    training: false,
    hard: false,
};
const HARD_TEST: Aim = Aim {
    training: false,
    hard: true,
};
const HARD: Aim = Aim {
    training: true,
    hard: true,
};

fn options(seed: u64, hard: bool) -> SynthOptions {
    SynthOptions {
        out: PathBuf::new(),
        seed,
        train: 0,
        dev: 0,
        test: 0,
        hard,
    }
}

/// Casts and cases of pictures that are never drawn.
fn cases(aim: Aim, pictures: Range<u64>) -> (Vec<Cast>, Vec<Case>) {
    let casts: Vec<Cast> = pictures
        .map(|seed| cast::choose(aim, &mut ChaCha8Rng::seed_from_u64(seed)))
        .collect();
    let cases = casts.iter().enumerate().flat_map(|(index, cast)| {
        cast.facts.iter().map(move |fact| {
            let object = cast.objects[fact.object];
            Case {
                cast: index,
                object,
                entity: fact.entity,
                relation: cast.headline.story.relation(object, fact.entity),
            }
        })
    });
    let cases = cases.collect();
    (casts, cases)
}

/// Micro F1 over the relations of whoever answers with the commonest label of the key, as counted on `known`; for a
/// key never seen, `none`.
fn counted_f1<K: Hash + Eq>(known: &[Case], asked: &[Case], key: impl Fn(&Case) -> K) -> f64 {
    let mut counts: HashMap<K, BTreeMap<Option<Relation>, usize>> = HashMap::new();
    for case in known {
        *counts
            .entry(key(case))
            .or_default()
            .entry(case.relation)
            .or_default() += 1;
    }
    let (mut right, mut guessed) = (0, 0);
    for case in asked {
        let best = counts
            .get(&key(case))
            .and_then(|by_answer| by_answer.iter().max_by_key(|(_, count)| **count));
        if let Some((answer @ Some(_), _)) = best {
            guessed += 1;
            right += usize::from(*answer == case.relation);
        }
    }
    let positive = asked.iter().filter(|case| case.relation.is_some()).count();
    2.0 * f64::from(right as u32) / (guessed + positive) as f64
}

/// The words next to an entity, which carry what a headline says about it, and the entity's type.
fn template(casts: &[Cast], case: &Case) -> (Vec<String>, &'static str) {
    let headline = &casts[case.cast].headline;
    let [start, end] = headline
        .mention(case.entity)
        .expect("asked entities are named")
        .span;
    let near = start.saturating_sub(2)..(end + 2).min(headline.tokens.len());
    let words = near
        .filter(|index| !(start..end).contains(index))
        .map(|index| headline.tokens[index].to_lowercase())
        .collect();
    (words, case.entity.class.entity_type())
}

#[test]
fn one_modality_wins_nothing() {
    // Measured: 0.22 for pairs, 0.01 for whole texts by counting on themselves, 0.00 for the others.
    let (casts, cases) = cases(PLAIN, 0..5_600);
    let (known, asked) = cases.split_at(20_000);
    let pair = counted_f1(known, asked, |case| (case.object, case.entity));
    let object = counted_f1(known, asked, |case| case.object);
    let template = counted_f1(known, asked, |case| template(&casts, case));
    let text = counted_f1(&cases, &cases, |case| (case.cast, case.entity));
    for (name, f1) in [
        ("object and entity", pair),
        ("object", object),
        ("template", template),
        ("text", text),
    ] {
        assert!(f1 < 0.40, "{name} alone reaches {f1}");
    }
    // Nobody who always names the right relation of the text, whatever the picture, may reach 0.40 either.
    let positive = cases.iter().filter(|case| case.relation.is_some()).count();
    let tied = cases
        .iter()
        .filter(|case| casts[case.cast].headline.story.about(case.entity).is_some())
        .count();
    let permissive = 2.0 * positive as f64 / (tied + positive) as f64;
    assert!(
        permissive < 0.40,
        "believing every text reaches {permissive}"
    );
}

#[test]
fn another_text_destroys_the_label() {
    let (casts, cases) = cases(PLAIN, 0..2_000);
    let positive: Vec<&Case> = cases
        .iter()
        .filter(|case| case.relation.is_some())
        .collect();
    let kept = positive
        .iter()
        .filter(|case| {
            let other = &casts[(case.cast + 1) % casts.len()].headline.story;
            other.relation(case.object, case.entity) == case.relation
        })
        .count();
    assert!(kept * 50 < positive.len(), "{kept} of {}", positive.len());
}

#[test]
fn labels_have_usable_shares() {
    let (_, cases) = cases(PLAIN, 0..4_400);
    let share = |relation: Option<Relation>| {
        cases
            .iter()
            .filter(|case| case.relation == relation)
            .count() as f64
            / cases.len() as f64
    };
    let none = share(None);
    assert!((0.74..0.80).contains(&none), "none: {none}");
    for relation in Relation::ALL {
        let share = share(Some(relation));
        assert!((0.007..0.018).contains(&share), "{relation:?}: {share}");
    }
}

#[test]
fn held_out_pairs_never_train() {
    let pairs = |aim| -> HashSet<(Depicted, Entity)> {
        let (_, cases) = cases(aim, 0..3_000);
        cases
            .into_iter()
            .map(|case| (case.object, case.entity))
            .collect()
    };
    assert!(
        pairs(PLAIN)
            .iter()
            .all(|&(object, entity)| !is_held_out(object, entity))
    );
    let later = pairs(PLAIN_TEST);
    let unseen = later
        .iter()
        .filter(|&&(object, entity)| is_held_out(object, entity))
        .count();
    assert!(unseen * 10 > later.len(), "{unseen} of {}", later.len());
}

#[test]
fn traces_are_strictly_readable() {
    readable(PLAIN_TEST);
    readable(HARD_TEST);
}

fn readable(aim: Aim) {
    let ontology = proto::Ontology::more();
    let (casts, cases) = cases(aim, 0..1_500);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut distinct = HashSet::new();
    for (index, case) in cases.iter().enumerate() {
        let question = trace::Question {
            object: case.object,
            entity: case.entity,
            story: &casts[case.cast].headline.story,
            setting: Setting::ALL[index % Setting::ALL.len()],
            varied: !aim.hard,
        };
        let written = trace::write(&question, &mut rng);
        assert!(proto::is_valid(ontology, &written), "{written}");
        assert!(
            written.chars().count() > 1_024,
            "{} characters: {written}",
            written.chars().count()
        );
        let read = proto::parse(ontology, &written).expect("valid traces are readable");
        assert!(read.consistent(ontology), "{written}");
        assert_eq!(read.label, case.relation.map_or("none", Relation::label));
        assert_eq!(read.object_type.as_deref(), Some(case.object.object_type()));
        assert_eq!(
            read.entity_type.as_deref(),
            Some(case.entity.class.entity_type())
        );
        distinct.insert(written);
    }
    assert!(distinct.len() * 10 > cases.len() * 9, "wordings vary");
}

/// The comparison in step 3 is true to the story: the names agree exactly when there is a relation.
#[test]
fn traces_compare_equal_names_for_relations_only() {
    compare_equal_names(PLAIN_TEST);
    compare_equal_names(HARD_TEST);
}

fn compare_equal_names(aim: Aim) {
    let (casts, cases) = cases(aim, 0..1_500);
    for case in &cases {
        let story = &casts[case.cast].headline.story;
        let same = story
            .about(case.entity)
            .is_some_and(|statement| statement.subject == case.object);
        assert_eq!(
            same,
            case.relation.is_some(),
            "{:?} {:?} {story:?}",
            case.object,
            case.entity
        );
    }
}

#[test]
fn the_verb_alone_changes_the_label() {
    let object = Depicted::Athlete { team: 0, number: 2 };
    let entity = Depicted::Emblem(1).entity().expect("teams have names");
    let story = |relation| Story {
        subject: object,
        statements: vec![Statement {
            subject: object,
            relation,
            entity,
            apposed: false,
        }],
        sharers: vec![],
        named: vec![object],
    };
    for relation in [Relation::OpposedTo, Relation::MemberOf] {
        assert_eq!(story(relation).relation(object, entity), Some(relation));
    }
}

#[test]
fn the_world_needs_a_name_in_the_text() {
    let player = Depicted::Athlete { team: 3, number: 0 };
    let own = Depicted::Emblem(3).entity().expect("teams have names");
    let mut story = Story {
        subject: Depicted::Coach(0),
        statements: vec![],
        sharers: vec![],
        named: vec![],
    };
    assert_eq!(tie(player, own), Some(Relation::MemberOf));
    assert_eq!(story.relation(player, own), None);
    story.named.push(player);
    assert_eq!(story.relation(player, own), Some(Relation::MemberOf));
    assert!(
        !story.is_clear(Depicted::Emblem(3), own),
        "an object is not asked against its own name"
    );
}

#[test]
fn the_rule_for_held_out_pairs_does_not_drift() {
    // Pinned, because a published test set depends on it: coaches and awards.
    let pairs = (0..TEAMS.len()).flat_map(|team| (0..AWARDS.len()).map(move |award| (team, award)));
    let held: Vec<(usize, usize)> = pairs
        .filter(|&(team, award)| is_held_out(Depicted::Coach(team), AWARDS[award]))
        .collect();
    assert_eq!(held, [(0, 1), (5, 3)]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for hard in [false, true] {
        let make = |seed, split| {
            let sample = sample(&options(seed, hard), split, 3);
            (sample.jpeg, sample.records)
        };
        assert_eq!(make(7, Split::Train), make(7, Split::Train));
        assert_ne!(make(7, Split::Train), make(8, Split::Train));
        assert_ne!(
            make(7, Split::Dev).1[0].text,
            make(7, Split::Test).1[0].text
        );
    }
}

#[test]
fn a_corpus_on_disk_reads_back() {
    let folder = TempDir::new().expect("a folder for the test");
    let out = folder.path().join("out");
    let options = SynthOptions {
        out: out.clone(),
        train: 12,
        dev: 4,
        test: 4,
        ..options(11, false)
    };
    let summary = generate(&options).expect("the folder is writable");
    assert!(summary.min_trace_chars > 1_024);
    assert!(summary.distinct_words < 1_500);
    for (split, counts) in &summary.splits {
        let records = read_records(&out.join(format!("{split}.jsonl"))).expect("our own lines");
        assert_eq!(records.len(), counts.facts);
        for record in records {
            let [start, end] = record.h.pos;
            assert_eq!(record.token[start..end], record.h.name);
            assert!(record.text.contains(&record.entity()), "{}", record.text);
            let words = record.text.split_whitespace().count();
            assert!((10..=26).contains(&words), "{}", record.text);
            let [x, y, w, h] = record.bbox();
            assert!(
                x - w / 2.0 > -1e-5 && x + w / 2.0 < 1.0 + 1e-5,
                "{:?}",
                record.t
            );
            assert!(
                y - h / 2.0 > -1e-5 && y + h / 2.0 < 1.0 + 1e-5,
                "{:?}",
                record.t
            );
            let size = image::image_dimensions(out.join("images").join(&record.img_id));
            assert_eq!(size.expect("every record has its picture"), (320, 240));
        }
    }
    let ontology = std::fs::read_to_string(out.join("ontology.json")).expect("written beside");
    proto::Ontology::from_json(&ontology).expect("what proto wrote");

    // Another corpus does not go into the same folder, and leaves nothing beside it.
    let train = || std::fs::read(out.join("train.jsonl")).expect("written above");
    let before = train();
    let error = generate(&SynthOptions {
        seed: 12,
        ..options
    })
    .expect_err("it is there");
    assert!(error.to_string().contains("not empty"), "{error}");
    assert!(train() == before);
    let beside = std::fs::read_dir(folder.path()).expect("it is there");
    assert_eq!(beside.count(), 1);
}

/// Picture 4,871 of seed 3 once drew a meaning whose words are never 10 to 25, and drew them forever.
#[test]
fn a_meaning_without_fitting_words_is_given_up() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    rng.set_stream(4871);
    assert!(!cast::choose(PLAIN, &mut rng).headline.tokens.is_empty());
}
