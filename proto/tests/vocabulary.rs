//! The ontology and the prompts made from it.

use proto::{Form, NONE, Ontology, OntologyError, Part, Template, Wording, prompt};

/// One ontology that differs from a correct one in `from` -> `to`.
fn spoilt(from: &str, to: &str) -> OntologyError {
    let correct = r#"{"name": "tiny", "types": [{"name": "per", "description": "person"},
        {"name": "org", "description": "organization"}], "labels": [
        {"name": "none", "object_type": null, "entity_type": null, "definition": "no relation"},
        {"name": "/per/org/member_of", "object_type": "per", "entity_type": "org", "definition": "belongs"}]}"#;
    Ontology::from_json(correct).expect("correct");
    assert!(correct.contains(from), "{from}");
    Ontology::from_json(&correct.replacen(from, to, 1)).expect_err(to)
}

#[test]
fn more_has_its_21_labels_and_4_types() {
    let more = Ontology::more();
    assert_eq!(more.name, "more");
    assert_eq!(more.labels.len(), 21);
    assert_eq!(
        more.types
            .iter()
            .map(|kind| kind.name.as_str())
            .collect::<Vec<_>>(),
        ["per", "org", "loc", "misc"]
    );
    assert!(more.labels.iter().all(|label| !label.definition.is_empty()));
    assert_eq!(
        more.labels
            .iter()
            .filter(|label| label.object_type.is_none())
            .count(),
        1
    );
}

#[test]
fn candidates_are_those_of_the_pair_and_none_last() {
    let more = Ontology::more();
    // The paper's own example.
    assert_eq!(
        more.candidates("per", "org"),
        [
            "/per/org/opposed_to",
            "/per/org/leader_of",
            "/per/org/member_of",
            "none"
        ]
    );
    assert_eq!(more.candidates("org", "per"), [NONE]);
    assert_eq!(more.candidates("elf", "org"), [NONE]);
    let pairs = more
        .types
        .iter()
        .flat_map(|object| more.types.iter().map(move |entity| (object, entity)));
    let total: usize = pairs
        .map(|(object, entity)| more.candidates(&object.name, &entity.name).len() - 1)
        .sum();
    assert_eq!(
        total, 20,
        "every label but none belongs to exactly one pair"
    );
}

#[test]
fn a_label_is_found_with_and_without_its_slash() {
    let more = Ontology::more();
    for label in &more.labels {
        assert_eq!(more.find(&label.name), Some(label));
        assert_eq!(more.find(label.name.trim_start_matches('/')), Some(label));
    }
    for unknown in [
        "",
        "/",
        "/none",
        "//org/loc/locate_at",
        "/org/loc",
        "locate_at",
        "NONE",
    ] {
        assert_eq!(more.find(unknown), None, "{unknown}");
    }
}

#[test]
fn an_ontology_survives_json_and_its_hash_knows_every_word() {
    let more = Ontology::more();
    let json = serde_json::to_string_pretty(more).expect("plain data");
    let again = Ontology::from_json(&json).expect("it was valid");
    assert_eq!((&again, again.hash()), (more, more.hash()));
    assert_eq!(more.hash().len(), 64);
    let other = Ontology::from_json(&json.replace("was born", "was raised")).expect("still valid");
    assert_ne!(other.hash(), more.hash());
}

#[test]
fn a_wrong_ontology_is_refused_with_the_values_that_disagree() {
    for (from, to, message) in [
        (
            "\"org\", \"desc",
            "\"per\", \"desc",
            "the entity type \"per\" is listed twice",
        ),
        (
            "\"per\", \"desc",
            "\"a person\", \"desc",
            "the entity type name \"a person\" is empty or holds",
        ),
        (
            "\"none\"",
            "\"nothing\"",
            "the label \"nothing\" needs both types",
        ),
        (
            "\"name\": \"/per/org/member_of\"",
            "\"name\": \"none\"",
            "the label \"none\" is listed twice",
        ),
        (
            "\"none\", \"object_type\": null",
            "\"none\", \"object_type\": \"per\"",
            "the label \"none\" needs no types",
        ),
        (
            "\"entity_type\": \"org\"",
            "\"entity_type\": null",
            "the label \"/per/org/member_of\" needs both types",
        ),
        (
            "\"entity_type\": \"org\"",
            "\"entity_type\": \"loc\"",
            "uses the entity type \"loc\", which is not listed",
        ),
        (
            "\"entity_type\": \"org\"",
            "\"entity_type\": \"per\"",
            "should read \"/per/per/\" followed by a plain word",
        ),
        (
            "/per/org/member_of",
            "/per/org/",
            "should read \"/per/org/\" followed by a plain word",
        ),
        (
            "/per/org/member_of",
            "/per/org/member/of",
            "should read \"/per/org/\" followed by a plain word",
        ),
        (
            "/per/org/member_of",
            "per/org/member_of",
            "should read \"/per/org/\" followed by a plain word",
        ),
        (
            "\"definition\": \"belongs\"",
            "\"meaning\": \"belongs\"",
            "unknown field `meaning`",
        ),
        ("\"name\": \"tiny\",", "", "missing field `name`"),
        ("\"tiny\"", "tiny", "the ontology is not readable"),
    ] {
        let error = spoilt(from, to).to_string();
        assert!(error.contains(message), "{from} -> {to}: {error}");
    }
    let without_none = r#"{"name": "empty", "types": [], "labels": []}"#;
    assert!(matches!(
        Ontology::from_json(without_none),
        Err(OntologyError::MissingNone)
    ));
}

#[test]
fn the_templates_order_their_parts_as_named() {
    let order = |template| {
        let parts = prompt(template, Ontology::more(), "T1", "E1");
        let flat: Vec<String> = parts
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Image => "[image]".to_owned(),
            })
            .collect();
        flat.join("|")
    };
    let in_order = |whole: &str, needles: &[&str]| {
        let mut rest = whole;
        for needle in needles {
            let at = rest
                .find(needle)
                .unwrap_or_else(|| panic!("{needle} in {rest}"));
            rest = &rest[at + needle.len()..];
        }
    };
    let (task, types) = (
        "Complete cross-modal",
        "per (person), org (organization), loc (location), misc (miscellaneous)",
    );
    let labels = "none, /per/per/opponent, ";
    let paper = order(Template::Paper);
    in_order(
        &paper,
        &[
            "[image]|[image]|",
            task,
            "'T1'",
            "'E1'",
            labels,
            types,
            "<think></think>",
            "<answer></answer>.",
        ],
    );
    let prefix = order(Template::Prefix);
    in_order(
        &prefix,
        &[
            task,
            labels,
            types,
            "<think></think>",
            "|[image]|",
            "'T1'",
            "|[image]|",
            "'E1'",
        ],
    );
    for whole in [paper, prefix] {
        let words = whole
            .split_whitespace()
            .filter(|word| !word.starts_with('/'))
            .count();
        assert!(
            words <= 75,
            "every word is a token: {words} words in {whole}"
        );
    }
}

#[test]
fn who_answers_with_the_label_alone_is_not_told_to_think() {
    let asked = |wording: Wording| {
        let parts = prompt(wording, Ontology::more(), "T1", "E1").into_iter();
        let words = parts.filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Image => None,
        });
        words.collect::<Vec<_>>().join("\n")
    };
    for template in [Template::Paper, Template::Prefix] {
        let form = Form::Label;
        let (trace, label) = (asked(template.into()), asked(Wording { template, form }));
        let thought = "Think inside <think></think>, answer inside <answer></answer>.";
        assert!(trace.contains(thought), "{trace}");
        assert_eq!(
            label,
            trace.replace(thought, "Answer inside <answer></answer>.")
        );
    }
}

#[test]
fn prompts_of_the_prefix_template_share_their_beginning() {
    let more = Ontology::more();
    let first = prompt(Template::Prefix, more, "one text", "one");
    let second = prompt(Template::Prefix, more, "another text", "other");
    assert_eq!(first[..2], second[..2]);
}

#[test]
fn a_template_reads_and_shows_the_same_everywhere() {
    for template in [Template::Paper, Template::Prefix] {
        assert_eq!(template.to_string().parse(), Ok(template));
        assert_eq!(
            serde_json::to_string(&template).expect("a string"),
            format!("\"{template}\"")
        );
    }
    assert_eq!(Template::default(), Template::Prefix);
    let error = "suffix"
        .parse::<Template>()
        .expect_err("unknown")
        .to_string();
    assert_eq!(
        error,
        "unknown template \"suffix\", expected \"paper\" or \"prefix\""
    );
}
