//! Which answers of an expert are fit to learn from: the form, the gold label, no word that betrays that it was given, a length. Does
//! not judge whether the reasoning is true.

use std::fmt::{Display, Formatter};

use proto::{Ontology, ParseError, lower_step_words, parse};
use serde::{Deserialize, Serialize};

use crate::data::Record;

/// Words that betray that the answer was known, as [`plain`] leaves them. What the record's own text says is no betrayal.
const LEAKS: [&str; 37] = [
    "gold answer",
    "gold label",
    "gold relation",
    "gold type",
    "given answer",
    "given label",
    "answer given",
    "answer is given",
    "answer was given",
    "answer that was given",
    "answer i was given",
    "answer i am given",
    "answer we were given",
    "label i was given",
    "label i am given",
    "label is given",
    "relation is given",
    "provided answer",
    "provided label",
    "provided relation",
    "answer provided",
    "answer is provided",
    "as provided",
    "ground truth",
    "correct answer",
    "correct label",
    "expected answer",
    "expected label",
    "actual answer",
    "reference answer",
    "known answer",
    "answer key",
    "for you alone",
    "i was told",
    "i am told",
    "the prompt",
    "the instructions",
];

/// How long a trace may be, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Shorter ones reason too little.
    pub min: usize,
    /// Longer ones are beyond what the student may write.
    pub max: usize,
}

/// Why a record is not learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The answer has not the form of six steps and a label.
    Structure,
    /// The answer is another label than the record's.
    Label,
    /// The answer tells that it was given.
    Leak,
    /// The trace is too short.
    Short,
    /// The trace is too long.
    Long,
    /// The expert refuses this question.
    Refused,
    /// The expert did not answer, however often it was asked.
    Failed,
    /// The record cannot be asked about: its image, box or label.
    Record,
    /// The expert was not asked yet.
    Unanswered,
}

impl Display for Reason {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Structure => "structure",
            Self::Label => "label",
            Self::Leak => "leak",
            Self::Short => "short",
            Self::Long => "long",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Record => "record",
            Self::Unanswered => "unanswered",
        })
    }
}

/// Why exactly.
pub type Rejection = crate::rejection::Rejection<Reason>;

/// The trace in the exact form to learn, from what an expert wrote about `record`. Titles and white space are forgiven, since they are
/// written anew; the order of tags and steps, and the label, are not.
///
/// # Errors
/// The first reason not to learn from it.
pub fn judge(
    ontology: &Ontology,
    lengths: Lengths,
    record: &Record,
    answer: &str,
) -> Result<String, Rejection> {
    let malformed = |error: ParseError| {
        let reason = match error {
            ParseError::UnknownLabel { .. } => Reason::Label,
            _ => Reason::Structure,
        };
        Rejection::new(reason, error.to_string())
    };
    let mut trace = parse(ontology, answer).map_err(malformed)?;
    for step in &mut trace.steps {
        let line = step.text.split_whitespace().collect::<Vec<_>>().join(" ");
        step.text = lower_step_words(&line); // a reference to a step does not need the capital
    }
    let written = trace.render().map_err(malformed)?;
    let gold = ontology.find(&record.relation);
    if gold.is_none_or(|gold| gold.name != trace.label) {
        let detail = format!("{} instead of {}", trace.label, record.relation);
        return Err(Rejection::new(Reason::Label, detail));
    }
    if let Some(leak) = leak(&written, record) {
        return Err(Rejection::new(Reason::Leak, leak));
    }
    let chars = written.chars().count();
    let reason = if chars < lengths.min {
        Reason::Short
    } else if chars > lengths.max {
        Reason::Long
    } else {
        return Ok(written);
    };
    Err(Rejection::new(reason, format!("{chars} characters")))
}

/// The first word of [`LEAKS`] in a trace that the record does not use itself.
fn leak(trace: &str, record: &Record) -> Option<&'static str> {
    let trace = plain(trace);
    let own = plain(&format!("{} {}", record.text, record.entity()));
    LEAKS.into_iter().find(|leak| {
        let word = format!(" {leak} ");
        trace.contains(&word) && !own.contains(&word)
    })
}

/// Words in lower case between single spaces; those of [`LEAKS`] in one form.
fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| match word {
            "answers" => "answer",
            "labels" => "label",
            "relations" => "relation",
            "types" => "type",
            "golden" => "gold",
            "truths" => "truth",
            "groundtruth" | "groundtruths" => "ground truth",
            other => other,
        });
    format!(" {} ", words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use proto::{check, render};

    use super::*;

    const LENGTHS: Lengths = Lengths {
        min: 250, // the form alone has 226 characters with this label
        max: 1000,
    };

    fn record(text: &str) -> Record {
        Record {
            text: text.to_owned(),
            relation: "/per/org/opposed_to".to_owned(),
            ..Record::example()
        }
    }

    fn judged(answer: &str) -> Result<String, Reason> {
        let judged = judge(
            Ontology::more(),
            LENGTHS,
            &record("Heat beat Celtics"),
            answer,
        );
        judged.map_err(|rejection| rejection.reason)
    }

    fn answer(last: &str, label: &str) -> String {
        let texts = [
            "A player.",
            "It is.",
            "Celtics.",
            "per and org.",
            "none.",
            last,
        ];
        render(&texts, label).expect("plain texts")
    }

    #[test]
    fn the_exact_form_stays_as_it_is() {
        let exact = answer("They compete.", "/per/org/opposed_to");
        assert_eq!(judged(&exact), Ok(exact));
    }

    #[test]
    fn lines_titles_and_a_missing_slash_are_put_right() {
        let loose = "<think>\nStep 1: A player.\nHe runs.\nStep 2: Step 1 says so, as in Step 1, above (see Step 1). Stephen.\n\
                     Step 3: Celtics.\nStep 4: per and org.\nStep 5: none.\nStep 6: They compete.\n</think>\n<answer> per/org/opposed_to </answer>\n";
        let trace = judged(loose).expect("the form");
        assert!(check(Ontology::more(), &trace).is_ok(), "{trace}");
        let said = " step 1 says so, as in step 1, above (see step 1). Stephen.";
        assert!(trace.contains(said), "{trace}");
        assert!(trace.ends_with("<answer>/per/org/opposed_to</answer>"));
    }

    #[test]
    fn every_reason_is_found() {
        let right = answer("They compete.", "/per/org/opposed_to");
        for (wrong, reason) in [
            ("I cannot help with that.".to_owned(), Reason::Structure),
            (format!("Sure! {right}"), Reason::Structure),
            (right.replace(" Step 3:", " Step 4:"), Reason::Structure),
            (right.replace("</answer>", ""), Reason::Structure),
            (right.replace("A player.", "A < B."), Reason::Structure),
            (answer("They compete.", "none"), Reason::Label),
            (right.replace("/per/org/opposed_to", "/per/org/fan_of"), Reason::Label),
            (answer(&"They compete. ".repeat(60), "/per/org/opposed_to"), Reason::Long),
            (
                "<think> Step 1: a Step 2: b Step 3: c Step 4: d Step 5: e Step 6: f </think> <answer>/per/org/opposed_to</answer>"
                    .to_owned(),
                Reason::Short,
            ),
        ] {
            assert_eq!(judged(&wrong), Err(reason), "{wrong}");
        }
    }

    #[test]
    fn every_leak_is_found_however_it_is_written() {
        for leak in LEAKS {
            let shouted = leak.to_uppercase().replace(' ', "-");
            let answer = answer(&format!("So says the '{shouted}'."), "/per/org/opposed_to");
            assert_eq!(judged(&answer), Err(Reason::Leak), "{leak}");
        }
        for said in [
            "gold answers",
            "Golden Answer",
            "gold types",
            "groundtruth",
            "ground-truths",
            "correct answers",
            "answer I was given",
        ] {
            let answer = answer(&format!("So say the {said}."), "/per/org/opposed_to");
            assert_eq!(judged(&answer), Err(Reason::Leak), "{said}");
        }
        let innocent = answer(
            "Given the labels, the relation given their shirts is clear; ungiven answers and gold shoes do not count.",
            "/per/org/opposed_to",
        );
        assert!(judged(&innocent).is_ok(), "{innocent}");
    }

    #[test]
    fn what_the_text_says_is_no_leak() {
        let answer = answer(
            "The headline asks for the Correct Answer.",
            "/per/org/opposed_to",
        );
        let record = record("Heat sign for 'Correct Answer' Quiz");
        assert!(judge(Ontology::more(), LENGTHS, &record, &answer).is_ok());
        assert_eq!(judged(&answer), Err(Reason::Leak));
    }
}
