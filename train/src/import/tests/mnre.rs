//! MNRE's rows in our shape, and the ontology it gets.

use std::collections::BTreeMap;
use std::fs;

use proto::Ontology;

use super::{Corpus, but, counts};
use crate::data::Split;
use crate::import::{Error, Manner, Reason, run};

/// A row as MNRE is published.
const MNRE_ROW: &str = "{'token': ['RT', '@x', ':', 'Ann', 'Lee', 'joins', 'Harlow', 'Tigers'], \
    'h': {'name': 'Ann Lee', 'pos': [3, 5]}, 't': {'name': 'Harlow Tigers', 'pos': [6, 8]}, \
    'img_id': 'a.png', 'relation': '/per/org/member_of'}";

fn mnre(rows: &[String], relations: Option<&str>) -> Corpus {
    let corpus = Corpus::new(&[("mnre_txt/mnre_train.txt", &rows.join("\n"))]);
    if let Some(relations) = relations {
        corpus.write("ours_rel2id.json", relations.as_bytes());
    }
    corpus.image("img_org/a.png", 64, 48, 1);
    corpus
}

#[test]
fn mnre_brings_its_own_ontology() {
    let row = |part, other| but(MNRE_ROW, part, other);
    let rows = [
        MNRE_ROW.to_owned(),
        // The same question to a model, which is not told what `h` is called.
        row("'Ann Lee', 'pos': [3, 5]", "'@x', 'pos': [1, 2]")
            .replace("/per/org/member_of", "None"),
        row("'pos': [3, 5]", "'pos': [3, 5], 'box': [0.25, 0.5, 0.5, 1]")
            .replace("per/org/member", "misc/misc/part"),
        row("'Harlow Tigers'", "'Harlow'"),
        row("'pos': [6, 8]", "'pos': [6, 8], 'box': [0.5, 0.5, 1, 1]"),
    ];
    let relations = r#"{"None": 0, "/per/per/alumi": 1, "/per/org/member_of": 2, "/misc/misc/part_of": 3, "/loc/loc/next_to": 4}"#;
    let corpus = mnre(&rows, Some(relations));
    corpus.write("mnre_txt/mnre_val .txt", MNRE_ROW.as_bytes());
    let report = run(&corpus.options(Manner::Mnre, 0.5)).expect("three rows are good");
    assert!(report.splits.contains_key(&Split::Dev));
    assert_eq!(report.splits[&Split::Train].ambiguous, 2);
    let rejected: Vec<_> = corpus
        .rejected()
        .into_iter()
        .map(|it| (it.2, it.3))
        .collect();
    assert_eq!(rejected[0].0, "span-mismatch");
    assert_eq!(rejected[1].0, "field");
    assert!(rejected[1].1.starts_with("`t.box`"), "{rejected:?}");

    // A label's first type is the object's: `h` is the object, `t` the entity.
    let records = corpus.records("train");
    assert_eq!(records[0].entity(), "Harlow Tigers");
    assert_eq!(records[0].h.pos, [6, 8]);
    assert_eq!(records[0].t.name, "Ann Lee");
    assert_eq!(records[0].text, "RT @x : Ann Lee joins Harlow Tigers");
    assert_eq!(format!("{:?}", records[0].bbox()), "[0.5, 0.5, 1.0, 1.0]");
    assert_eq!(records[1].relation, "none");
    assert_eq!(format!("{:?}", records[2].bbox()), "[0.25, 0.5, 0.5, 1.0]");

    let ontology = fs::read_to_string(corpus.out("ontology.json")).expect("it was written");
    let ontology = Ontology::from_json(&ontology).expect("it is valid");
    let labels: Vec<_> = ontology
        .labels
        .iter()
        .map(|it| (it.name.as_str(), it.definition.as_str()))
        .collect();
    assert_eq!(labels[0].0, "none");
    assert_eq!(
        labels[1..],
        [
            (
                "/per/per/alumi",
                "the two persons are alumni of the same school"
            ),
            (
                "/per/org/member_of",
                "the person belongs to the organization"
            ),
            ("/misc/misc/part_of", "one is part of the other"),
            ("/loc/loc/next_to", "next to"),
        ]
    );
    let types: Vec<_> = ontology
        .types
        .iter()
        .map(|it| it.description.as_str())
        .collect();
    assert_eq!(
        types,
        ["person", "organization", "miscellaneous", "location"]
    );
}

#[test]
fn both_spans_hold_their_names() {
    let row = |part, other| but(MNRE_ROW, part, other);
    let rows = [
        row("'pos': [3, 5]", "'pos': [4, 6]"),
        row("'pos': [3, 5]", "'pos': [30, 50]"),
        row("'pos': [3, 5]", "'pos': [5]"),
        row("'Ann Lee', 'pos': [3, 5]", "['Ann', 'Lee'], 'box': None"),
    ];
    let corpus = mnre(&rows, None);
    run(&corpus.options(Manner::Mnre, 1.0)).expect("the last row says nothing of a span");
    let rejected = corpus.rejected();
    let reasons: Vec<_> = rejected.iter().map(|it| it.2.as_str()).collect();
    assert_eq!(reasons, ["span-mismatch", "span-outside", "field"]);
    assert!(rejected[2].3.starts_with("`h.pos`"), "{rejected:?}");
    let record = &corpus.records("train")[0];
    assert_eq!(record.t.name, "Ann Lee");
    assert_eq!(format!("{:?}", record.bbox()), "[0.5, 0.5, 1.0, 1.0]");
}

/// MNRE's own repository has no list of relations.
#[test]
fn without_a_list_mnre_has_the_labels_of_its_first_split() {
    let corpus = mnre(&[MNRE_ROW.to_owned()], None);
    let other = but(MNRE_ROW, "/per/org/member_of", "/per/per/peer");
    corpus.write(
        "mnre_txt/mnre_test.txt",
        format!("{MNRE_ROW}\n{other}").as_bytes(),
    );
    let report = run(&corpus.options(Manner::Mnre, 0.5)).expect("two of three are good");
    let test = &report.splits[&Split::Test];
    assert_eq!(test.rejected, BTreeMap::from([(Reason::UnknownLabel, 1)]));
    assert_eq!(test.relations, counts([("/per/org/member_of", 1)]));
}

#[test]
fn labels_that_fit_no_ontology_are_refused() {
    let relations = r#"{"None": 0, "/per/o-rg/member_of": 1}"#;
    let corpus = mnre(&[MNRE_ROW.to_owned()], Some(relations));
    let error = run(&corpus.options(Manner::Mnre, 0.0)).expect_err("a type with a hyphen");
    let text = error.to_string();
    assert!(
        matches!(error, Error::Files(crate::Error::Config { .. })),
        "{text}"
    );
    assert!(
        text.contains("ours_rel2id.json") && text.contains("o-rg"),
        "{text}"
    );
}
