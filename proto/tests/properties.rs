//! Laws that hold for every string: answers survive a round trip, and no string makes a reader panic.

use proptest::prelude::*;
use proto::{
    Ontology, STEP_TITLES, Template, check, grammar, is_valid, parse, pieces, prompt, render,
};

/// Free text as the grammar allows it: no `<`, no line break, no word " Step"; trimmed, since a seam is one space.
fn free() -> impl Strategy<Value = String> {
    "[^<\n\r]{1,60}"
        .prop_map(|text| text.replace("Step", "step").trim().to_owned())
        .prop_filter("a step says something", |text| !text.is_empty())
}

fn label() -> impl Strategy<Value = String> {
    let names: Vec<String> = Ontology::more()
        .labels
        .iter()
        .map(|label| label.name.clone())
        .collect();
    prop::sample::select(names)
}

/// Strings that come close to answers: their own building blocks in any order.
fn nearly_an_answer() -> impl Strategy<Value = String> {
    let mut blocks: Vec<String> = grammar()
        .into_iter()
        .filter_map(|segment| {
            if let proto::Segment::Forced(text) = segment {
                Some(text)
            } else {
                None
            }
        })
        .collect();
    for block in [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "none",
        "/per/per/partner",
        "Step 1:",
        "Step 4",
        "step ",
        "**",
        "\n",
        " ",
        ":",
        "(",
        ")",
        "'",
        "'s",
        "\"",
        "object",
        "entity",
        "per",
        "org",
        "type",
        "for",
        "of",
        "is",
        "and",
        "not",
        "é",
        "Step ١",
        "Step 99999999999",
        "\u{a0}",
        "’",
        ".",
    ] {
        blocks.push(block.to_owned());
    }
    prop::collection::vec(prop::sample::select(blocks), 0..40).prop_map(|blocks| blocks.concat())
}

/// Sentences about types, in no order that makes sense.
fn babble() -> impl Strategy<Value = String> {
    let words = [
        "object",
        "entity",
        "the",
        "and",
        "is",
        "of",
        "type",
        "types",
        "per",
        "org",
        "(",
        ")",
        "'",
        "''",
        "'loc'",
        "for",
        ",",
        ".",
        ":",
        "person",
        "not",
        "both",
        "'Torvale'",
        "crop",
        "second image",
        "organisation",
        "…",
        "*",
        "\\",
    ];
    prop::collection::vec(
        (
            prop::sample::select(words.to_vec()),
            prop::sample::select(vec!["", " "]),
        ),
        1..30,
    )
    .prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, gap)| [word, gap])
            .collect()
    })
}

proptest! {
    #[test]
    fn an_answer_survives_the_round_trip(texts in prop::array::uniform6(free()), label in label()) {
        let more = Ontology::more();
        let answer = render(&texts, &label).expect("the texts are free");
        prop_assert_eq!(check(more, &answer), Ok(()));
        let trace = parse(more, &answer).expect("valid answers parse");
        for (step, (title, text)) in trace.steps.iter().zip(STEP_TITLES.iter().zip(&texts)) {
            prop_assert_eq!(&step.title, title);
            prop_assert_eq!(&step.text, text);
        }
        prop_assert_eq!(&trace.label, &label);
        prop_assert_eq!(trace.render(), Ok(answer));
    }

    #[test]
    fn pieces_joined_are_the_answer(texts in prop::array::uniform6(free()), label in label()) {
        let answer = render(&texts, &label).expect("the texts are free");
        let pieces = pieces(&answer).expect("valid");
        prop_assert_eq!(pieces.len(), grammar().len());
        prop_assert_eq!(pieces.concat(), answer);
    }

    #[test]
    fn an_answer_survives_other_seams(
        texts in prop::array::uniform6("[A-Za-z][a-z ]{0,20}[a-z]\\."),
        seam in "[ \n\r\t]{1,4}",
        label in label(),
    ) {
        let steps: Vec<String> =
            (1..).zip(&texts).map(|(number, text)| format!("{seam}Step {number}: {text}")).collect();
        let answer = format!("{seam}<think>{}{seam}</think>{seam}<answer>{label}</answer>{seam}", steps.concat());
        let trace = parse(Ontology::more(), &answer).expect("only the seams differ");
        for (step, text) in trace.steps.iter().zip(&texts) {
            prop_assert_eq!(&step.text, text);
        }
    }

    #[test]
    fn no_string_makes_a_reader_panic(text in any::<String>()) {
        let _ = parse(Ontology::more(), &text);
        let _ = pieces(&text);
        let _ = proto::parse_bbox(&text);
        let _ = Ontology::from_json(&text);
        let _ = Ontology::more().find(&text);
    }

    #[test]
    fn no_near_answer_makes_a_reader_panic_and_valid_ones_parse(text in nearly_an_answer()) {
        let parsed = parse(Ontology::more(), &text);
        if is_valid(Ontology::more(), &text) {
            prop_assert!(parsed.is_ok());
        }
        if let Ok(pieces) = pieces(&text) {
            prop_assert_eq!(pieces.concat(), text);
        }
    }

    #[test]
    fn no_free_text_makes_the_reading_panic(fourth in prop_oneof![any::<String>(), babble()], fifth in any::<String>()) {
        let texts = ["a", "b", "c", fourth.as_str(), fifth.as_str(), "f"];
        let steps: Vec<String> = (1..).zip(texts).map(|(number, text)| format!("Step {number}: {text}\n")).collect();
        let _ = parse(Ontology::more(), &format!("<think>{}</think><answer>none</answer>", steps.concat()));
    }

    #[test]
    fn a_prompt_holds_what_it_was_given(text in any::<String>(), entity in any::<String>()) {
        for template in [Template::Paper, Template::Prefix] {
            let parts = prompt(template, Ontology::more(), &text, &entity);
            let words: String = parts
                .iter()
                .filter_map(|part| if let proto::Part::Text(text) = part { Some(text.as_str()) } else { None })
                .collect();
            let quoted = [&text, &entity].map(|given| ["'", given, "'"].concat());
            prop_assert!(quoted.iter().all(|given| words.contains(given)));
            prop_assert_eq!(parts.iter().filter(|part| **part == proto::Part::Image).count(), 2);
        }
    }
}
