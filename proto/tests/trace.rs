//! Answers of every shape through the parser: what it reads, forgives and refuses. The sentences of step 4 are in
//! `wordings.txt`.

use proto::{
    Ontology, ParseError, STEP_TITLES, Trace, check, grammar, is_valid, parse, pieces, render,
};

const TYPES: &str = "The cropped object is a player in a red jersey. The object is of type per and the entity \
                     'Torvale' is of type loc.";
const FILTER: &str = "Possible are /per/loc/place_of_birth, /per/loc/place_of_residence, \
                      /per/loc/place_of_governance and none.";
const LABEL: &str = "/per/loc/place_of_birth";

fn exact() -> String {
    render(
        &[
            "A player.",
            "It is about him.",
            "He is named.",
            TYPES,
            FILTER,
            "Born there.",
        ],
        LABEL,
    )
    .expect("plain")
}

fn read(response: &str) -> Trace {
    parse(Ontology::more(), response).unwrap_or_else(|error| panic!("{error}\n{response}"))
}

fn refusal(response: &str) -> ParseError {
    parse(Ontology::more(), response).expect_err(response)
}

#[test]
fn the_exact_form_is_read_completely() {
    let trace = read(&exact());
    assert_eq!(
        trace
            .steps
            .iter()
            .map(|step| step.number)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(
        trace
            .steps
            .iter()
            .map(|step| step.title.as_str())
            .collect::<Vec<_>>(),
        STEP_TITLES
    );
    assert_eq!(
        (trace.steps[0].text.as_str(), trace.steps[3].text.as_str()),
        ("A player.", TYPES)
    );
    assert_eq!(
        (trace.object_type.as_deref(), trace.entity_type.as_deref()),
        (Some("per"), Some("loc"))
    );
    assert_eq!(trace.candidates.len(), 4);
    assert_eq!(trace.label, LABEL);
    assert!(trace.consistent(Ontology::more()));
    assert_eq!(trace.render().expect("it came from one"), exact());
}

#[test]
fn the_exact_form_begins_and_ends_as_the_paper_prints_it() {
    let exact = exact();
    assert!(exact.starts_with(
        "<think> Step 1: Image and object analysis. A player. Step 2: Cross-modal relevance. "
    ));
    assert!(exact.ends_with(
        " Step 6: Precise decision. Born there. </think> <answer>/per/loc/place_of_birth</answer>"
    ));
}

#[test]
fn types_are_read_from_many_wordings() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("wordings.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (want, text) = line
            .split_once('|')
            .expect("a line is `object entity | text`");
        let text = text.replace("\\n", "\n");
        let trace = read(&exact().replace(TYPES, &text));
        let got = [trace.object_type, trace.entity_type]
            .map(|kind| kind.unwrap_or_else(|| "-".to_owned()))
            .join(" ");
        count += 1;
        if got != want.trim() {
            wrong.push(format!("{got}, not {}:{text}", want.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} wordings:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn candidates_are_read_with_and_without_slash_quotes_and_commas() {
    let want = [
        "/per/org/opposed_to",
        "/per/org/leader_of",
        "/per/org/member_of",
        "none",
    ];
    for text in [
        "The candidates are /per/org/opposed_to, /per/org/leader_of, /per/org/member_of and none.",
        "'per/org/opposed_to', 'per/org/leader_of', 'per/org/member_of', 'none'",
        "[\"/per/org/opposed_to\",\"/per/org/leader_of\",\"/per/org/member_of\",\"none\"]",
        "- `/per/org/opposed_to`\n- `/per/org/leader_of`;\n- **/per/org/member_of**\n- none",
        "Per + org leaves per/org/opposed_to; /per/org/leader_of (or /per/org/opposed_to), /per/org/member_of/, none",
    ] {
        assert_eq!(
            read(&exact().replace(FILTER, text)).candidates,
            want,
            "{text}"
        );
    }
    let nothing = "Nonetheless nothing, nonesuch, leader_of or /per/org is left.";
    assert!(
        read(&exact().replace(FILTER, nothing))
            .candidates
            .is_empty()
    );
}

/// All of these say what [`exact`] says, in other forms.
#[test]
fn white_space_titles_and_markdown_are_forgiven() {
    let body = |form: &dyn Fn(usize, &str, &str) -> String| {
        let texts = [
            "A player.",
            "It is about him.",
            "He is named.",
            TYPES,
            FILTER,
            "Born there.",
        ];
        let steps: Vec<String> = (0..6)
            .map(|index| form(index + 1, STEP_TITLES[index], texts[index]))
            .collect();
        format!("<think>{}</think><answer>{LABEL}</answer>", steps.join(""))
    };
    let own = [
        "Scene",
        "Relevance of it",
        "Who is it?",
        "Types",
        "Candidates",
        "Verdict",
    ];
    let forms = [
        body(&|number, title, text| format!("Step {number}: {title}. {text} ")),
        body(&|number, title, text| format!("\nStep {number}: {title}\n{text}\n")),
        body(&|number, title, text| format!("\r\n Step {number}: {title}:\r\n{text}\r\n")),
        body(&|number, title, text| format!("\n### Step {number}: {title}\n\n{text}\n")),
        body(&|number, title, text| format!("\n**Step {number}: {title}**\n{text}\n")),
        body(&|number, title, text| format!("\n**Step {number}: {title}** {text}\n")),
        body(&|number, title, text| format!("\n**Step {number}:** {title} - {text}")),
        body(&|number, title, text| format!("\n- **Step {number}**: **{title}**: {text}")),
        body(&|number, title, text| format!(" STEP {number}: {}: {text}", title.to_uppercase())),
        body(&|number, title, text| format!(" Step {number} ({title}): {text}")),
        body(&|number, _, text| format!(" Step {number}: {text}")),
        body(&|number, _, text| format!("\nStep {number}. {text}")),
        body(&|number, _, text| format!("\nStep {number} - {text}")),
        body(&|number, _, text| format!("\nstep {number}) {text}")),
        body(&|number, _, text| format!("\nStep {number}\n{text}\n")),
        body(&|number, _, text| format!("\nStep {number}: {}\n{text}\n", own[number - 1])),
        body(&|number, _, text| format!("\n**Step {number}: {}** {text}\n", own[number - 1])),
        body(&|number, _, text| format!("Step{number}:{text}")),
        exact()
            .replace("</think> <answer>", "\n</think>\n\n<answer>\n")
            .replace("</answer>", " \n</answer>\n"),
        exact().replace("<answer>/", "<answer>"),
        exact().replace(
            "<answer>/per/loc/place_of_birth",
            "<answer>'/per/loc/place_of_birth'.",
        ),
        format!("\n {}\n", exact()),
    ];
    let want = read(&exact());
    for form in forms {
        let got = read(&form);
        let texts = |trace: &Trace| {
            trace
                .steps
                .iter()
                .map(|step| step.text.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&got), texts(&want), "{form}");
        assert_eq!(
            (&got.object_type, &got.entity_type),
            (&want.object_type, &want.entity_type),
            "{form}"
        );
        assert_eq!(
            (&got.candidates, &got.label),
            (&want.candidates, &want.label),
            "{form}"
        );
        assert!(
            got.steps
                .iter()
                .all(|step| !step.title.is_empty() && !step.title.contains('*')),
            "{:?}",
            got.steps
        );
        assert!(!is_valid(Ontology::more(), &form), "{form}");
    }
}

#[test]
fn own_titles_are_kept() {
    let answer = exact().replace(
        " Step 2: Cross-modal relevance. ",
        "\nStep 2: **Relevance of it**\n",
    );
    assert_eq!(read(&answer).steps[1].title, "Relevance of it");
    let answer = exact().replace("Step 2: Cross-modal relevance.", "Step 2 (Relevance):");
    assert_eq!(read(&answer).steps[1].title, "Relevance");
}

#[test]
fn sentences_may_refer_to_steps() {
    let own = "He is of step 4. As step 3: said, Step 2 and Step 1's result hold; Stephen steps in, see Step 4.";
    let answer = exact()
        .replace("Born there.", own)
        .replace("<think> ", "<think>\n");
    assert_eq!(read(&answer).steps[5].text, own);
}

#[test]
fn order_steps_tags_and_label_are_not_forgiven() {
    use ParseError::{EmptyStep, Expected, MissingStep, StepOrder, UnknownLabel};
    let exact = exact();
    let with = |from: &str, to: &str| {
        assert!(exact.contains(from), "{from}");
        refusal(&exact.replace(from, to))
    };
    assert_eq!(
        with("Step 2:", "Step 3:"),
        StepOrder {
            expected: 2,
            found: 3
        }
    );
    assert_eq!(
        with("Step 1:", "Step 0:"),
        StepOrder {
            expected: 1,
            found: 0
        }
    );
    assert_eq!(
        with("Step 6:", "Step 66:"),
        StepOrder {
            expected: 6,
            found: 66
        }
    );
    assert_eq!(
        with(" Step 6: Precise decision. Born there.", ""),
        MissingStep { number: 6 }
    );
    assert_eq!(with(" He is named.", ""), EmptyStep { number: 3 });
    assert_eq!(
        with(LABEL, "/per/loc/none"),
        UnknownLabel {
            label: "/per/loc/none".to_owned()
        }
    ); // wherever it stands
    assert_eq!(
        with("<answer>/per/loc/place_of_birth", "<answer>"),
        UnknownLabel {
            label: String::new()
        }
    );
    let two = "<answer>none, /per/loc/place_of_birth";
    assert!(matches!(
        with("<answer>/per/loc/place_of_birth", two),
        UnknownLabel { .. }
    ));
    for (from, to, tag) in [
        ("<think>", "", "<think>"),
        ("<think>", "Sure! <think>", "<think>"),
        ("</think>", "", "</think>"),
        ("<answer>", "", "<answer>"),
        ("</think> ", "</think> So: ", "<answer>"),
        ("</answer>", "", "</answer>"),
        ("</answer>", "</answer>.", "the end"),
        ("</answer>", "</answer><answer>none</answer>", "the end"),
        ("<think> ", "<think> Well. ", "Step 1"),
        ("Born there.", "Born there. Step 7: More.", "</think>"),
    ] {
        let error = with(from, to);
        assert!(
            matches!(&error, Expected { expected, .. } if expected == tag),
            "{from} -> {to}: {error}"
        );
    }
    assert!(matches!(refusal(""), Expected { .. }));
}

#[test]
fn an_error_says_where_and_what() {
    let error = refusal("  <think>\n Well: Step 1: x</think><answer>none</answer>").to_string();
    assert_eq!(
        error,
        "expected \"Step 1\" at byte 11, found \"Well: Step 1: x</think><\""
    );
}

#[test]
fn consistency_asks_for_types_candidates_and_label_to_agree() {
    let more = Ontology::more();
    let with = |from: &str, to: &str| read(&exact().replace(from, to)).consistent(more);
    assert!(with("<answer>/per/loc/place_of_birth", "<answer>none"));
    assert!(
        !with(
            "<answer>/per/loc/place_of_birth",
            "<answer>/per/per/partner"
        ),
        "a label of other types"
    );
    assert!(
        !with("'Torvale' is of type loc", "'Torvale' is of type org"),
        "types other than the candidates'"
    );
    assert!(
        !with("'Torvale' is of type loc", "'Torvale' is a town"),
        "a type not stated"
    );
    assert!(!with(" and none.", "."), "none is always a candidate");
    assert!(
        !with(" and none.", ", none, /per/org/member_of."),
        "one candidate too many"
    );
    assert!(
        !with("Possible are /per/loc/place_of_birth,", "Possible are"),
        "one candidate too few"
    );
    let nothing = exact()
        .replace("of type per and", "of type loc and")
        .replace(FILTER, "Only none is left.");
    let nothing = nothing
        .replace("type loc.", "type per.")
        .replace(&format!("<answer>{LABEL}"), "<answer>none");
    assert!(
        read(&nothing).consistent(more),
        "a pair without labels leaves none"
    );
}

#[test]
fn the_exact_form_forgives_nothing() {
    use ParseError::{EmptyStep, Expected, Forbidden, NoSpace};
    let more = Ontology::more();
    let exact = exact();
    assert_eq!(check(more, &exact), Ok(()));
    let with = |from: &str, to: &str| check(more, &exact.replacen(from, to, 1)).expect_err(to);
    assert_eq!(with(" A player.", "A player."), NoSpace { number: 1 });
    assert_eq!(with(" A player.", " "), EmptyStep { number: 1 });
    assert_eq!(
        with("A player.", "A\nplayer."),
        Forbidden {
            number: 1,
            what: "\n"
        }
    );
    assert_eq!(
        with("A player.", "A < player."),
        Forbidden {
            number: 1,
            what: "<"
        }
    );
    assert_eq!(
        with("A player.", "A Step back."),
        Forbidden {
            number: 1,
            what: " Step"
        }
    );
    assert_eq!(
        check(
            more,
            &exact.replace("A player.", "Steps of Stephen, one step each.")
        ),
        Ok(())
    );
    assert!(matches!(
        with("Precise decision.", "Precise decision:"),
        Expected { .. }
    ));
    assert!(
        matches!(
            with("<answer>/", "<answer>"),
            ParseError::UnknownLabel { .. }
        ),
        "the slash is part of the form"
    );
    assert!(matches!(
        with("<answer>", "<answer> "),
        Expected { .. } | ParseError::UnknownLabel { .. }
    ));
    for spoilt in [
        format!("{exact} "),
        format!(" {exact}"),
        exact.replace("> <", "><"),
        exact.replace("<think> ", "<think>"),
    ] {
        assert!(!is_valid(more, &spoilt), "{spoilt}");
    }
}

#[test]
fn pieces_are_aligned_with_the_grammar() {
    let pieces = pieces(&exact()).expect("exact");
    let segments = grammar();
    assert_eq!((pieces.len(), segments.len()), (15, 15));
    for (piece, segment) in pieces.iter().zip(&segments) {
        match segment {
            proto::Segment::Forced(text) => assert_eq!(piece, text),
            proto::Segment::Free => assert!(piece.starts_with(' ')),
            proto::Segment::Label => assert_eq!(piece, LABEL),
        }
    }
}

#[test]
fn nothing_unwritable_is_rendered() {
    assert_eq!(
        render(&["a", "b", " \n", "d", "e", "f"], "none"),
        Err(ParseError::EmptyStep { number: 3 })
    );
    assert!(render(&["a", "b", "</think>", "d", "e", "f"], "none").is_err());
    let mut trace = read(&exact());
    trace.steps.truncate(4);
    assert_eq!(trace.render(), Err(ParseError::MissingStep { number: 5 }));
}

/// A model that runs away repeats itself; reading must not take time or stack that grows faster than the text.
#[test]
fn endless_repetitions_are_read_in_no_time() {
    let start = std::time::Instant::now();
    for unit in [
        "per and ",
        "step ",
        "step 1 (",
        "object ",
        "'",
        "' '",
        "'a ",
        "(per) ",
        "Step 1: ",
        "**",
        "</think>",
        "\"\n",
        "for of is the ",
        "not ",
        "none ",
        "\n",
        "is is ",
    ] {
        let endless = unit.repeat(200_000 / unit.len());
        for place in ["Born there.", TYPES, FILTER, LABEL, "<think>"] {
            let _ = parse(Ontology::more(), &exact().replacen(place, &endless, 1));
        }
        let _ = pieces(&endless);
    }
    // 85 texts of 200 kB take 1.4 s on one core, about the same for every unit; the rest is room for a busy machine.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn steps_are_told_as_soon_as_they_are_complete() {
    let texts = ["One.", "Two.", "Three.", "Four.", "Five.", "Six."];
    let answer = proto::render(&texts, "none").expect("plain texts");
    let whole = parse(Ontology::more(), &answer)
        .expect("a valid answer")
        .steps;
    assert_eq!(proto::steps_so_far(&answer), whole);
    let mut told = 0;
    for (end, _) in answer.char_indices() {
        let steps = proto::steps_so_far(&answer[..end]);
        assert_eq!(steps, whole[..steps.len()], "up to byte {end}");
        assert!(steps.len() >= told, "a step that was told stays");
        told = steps.len();
    }
    let third = answer.find(" Step 3").expect("a heading");
    assert_eq!(
        proto::steps_so_far(&answer[..third]).len(),
        1,
        "the heading behind it is not there yet"
    );
    assert!(proto::steps_so_far("something else").is_empty());
}

/// Found by fuzzing: the parentheses of one heading reached into the next, and the parser panicked.
#[test]
fn a_heading_inside_a_heading_is_none() {
    let text = "<think> Step 1: a\n Step 2(b\n Step 2() c </think> <answer>none</answer>";
    assert!(parse(Ontology::more(), text).is_err());
    let found = include_str!("../../fuzz/seeds/trace/parentheses");
    assert!(parse(Ontology::more(), found).is_err());
}
