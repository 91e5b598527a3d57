//! The six-step grammar over token ids: forced headings, free text that cannot break them, a label out of a trie; or the label alone.
//! The words of the grammar are `proto`'s; this file only knows how they fall into tokens.

use std::sync::Arc;

use proto::{CLOSE_ANSWER, Enforce, Form, Ontology, ParseError, Segment, pieces, stated_types};

use crate::engine::Choices;
use crate::generate::{Guide, Next};
use crate::tokenizer::Tokenizer;

/// The longest free text of a step: the corpus' longest has about 60 tokens.
const MAX_STEP_TOKENS: usize = 160;

/// What begins a heading, and so what no free text may say, be it in one token or in pieces.
const HEADING: &str = " Step";

/// The step that states the types of object and entity.
const TYPES_STEP: usize = 4;

/// What the tokens read, made once a checkpoint.
#[derive(Debug)]
pub struct Lexicon {
    /// By id: what each token reads.
    texts: Vec<String>,
    /// By id: tokens no free text may hold.
    forbidden: Vec<bool>,
}

impl Lexicon {
    /// The first `vocab` tokens of `tokenizer`; those in `eos` end answers.
    pub fn new(tokenizer: &Tokenizer, vocab: usize, eos: &[u32]) -> Self {
        let texts: Vec<String> = (0..vocab as u32)
            .map(|id| tokenizer.decode(&[id], false))
            .collect();
        let breaks = |(id, text): (u32, &String)| {
            eos.contains(&id)
                || text.contains(['<', '\n', '\r'])
                || text.contains(HEADING)
                || text.is_empty()
        };
        let forbidden = (0..).zip(&texts).map(breaks).collect();
        Self { texts, forbidden }
    }
}

/// The grammar in tokens, made once a checkpoint and ontology.
#[derive(Debug)]
pub struct Script {
    lexicon: Arc<Lexicon>,
    ontology: Arc<Ontology>,
    hash: String,
    form: Form,
    segments: Vec<Tokens>,
    choices: Arc<Choices>,
}

#[derive(Debug)]
enum Tokens {
    Forced(Vec<u32>),
    Free,
    /// In the order of the ontology. No label begins with another: where its text does, the other ends with the first token of
    /// what is forced behind it.
    Label(Vec<Vec<u32>>),
}

impl Script {
    /// The grammar of answers in `form` over the labels of `ontology`, in the tokens of `tokenizer`.
    pub fn new(
        tokenizer: &Tokenizer,
        lexicon: Arc<Lexicon>,
        ontology: Arc<Ontology>,
        form: Form,
    ) -> Self {
        let encode = |text: &str| tokenizer.encode(text);
        let names = ontology.labels.iter().map(|label| encode(&label.name));
        let labels = told_apart(&names.collect::<Vec<_>>(), encode(CLOSE_ANSWER)[0]);
        let choices = Arc::new(Choices::new(&labels));
        let segments = form
            .segments()
            .into_iter()
            .map(|segment| match segment {
                Segment::Forced(text) => Tokens::Forced(encode(&text)),
                Segment::Free => Tokens::Free,
                Segment::Label => Tokens::Label(labels.clone()),
            })
            .collect();
        Self {
            lexicon,
            hash: ontology.hash(),
            ontology,
            form,
            segments,
            choices,
        }
    }

    /// What its answers consist of.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The relations it ends in.
    pub fn ontology(&self) -> &Arc<Ontology> {
        &self.ontology
    }

    /// The hash of these relations.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The labels, to be scored.
    pub fn choices(&self) -> &Arc<Choices> {
        &self.choices
    }

    /// The first token of the forced text behind the segment at `index`: saying it ends a free one.
    fn exit(&self, index: usize) -> u32 {
        match self.segments.get(index + 1) {
            Some(Tokens::Forced(ids)) => ids[0],
            _ => unreachable!("the grammar forces text behind every segment that is not forced"),
        }
    }
}

/// `labels`, with `close` behind each that another begins with.
fn told_apart(labels: &[Vec<u32>], close: u32) -> Vec<Vec<u32>> {
    let begins = |label: &Vec<u32>| {
        let mut others = labels.iter().filter(|other| *other != label);
        others.any(|other| other.starts_with(label))
    };
    let ended = |label: &Vec<u32>| [label.as_slice(), &[close]].concat();
    let tell = |label: &Vec<u32>| {
        if begins(label) {
            ended(label)
        } else {
            label.clone()
        }
    };
    labels.iter().map(tell).collect()
}

/// A response cut into the tokens the grammar would make of it: what training must show the model. With `steps` it ends at the
/// heading behind that step.
///
/// # Errors
/// If the response does not follow the grammar.
pub fn response_ids(
    tokenizer: &Tokenizer,
    response: &str,
    steps: Option<usize>,
) -> Result<Vec<u32>, ParseError> {
    let pieces = pieces(response)?;
    let taken = steps.map_or(pieces.len(), |steps| 2 * steps + 1); // a heading before every step
    Ok(pieces
        .iter()
        .take(taken)
        .flat_map(|piece| tokenizer.encode(piece))
        .collect())
}

/// The same of the answer that is `label` alone.
pub fn label_ids(tokenizer: &Tokenizer, label: &str) -> Vec<u32> {
    let piece = |segment: &Segment| match segment {
        Segment::Forced(text) => tokenizer.encode(text),
        Segment::Label => tokenizer.encode(label),
        Segment::Free => unreachable!("a label alone has no free text"),
    };
    Form::Label.segments().iter().flat_map(piece).collect()
}

/// Leads one answer through a [`Script`]: the six steps, or none where it asks for the label alone.
#[derive(Clone, Debug)]
pub struct SixSteps {
    script: Arc<Script>,
    segment: usize,
    /// Tokens said in the current segment.
    said: Vec<u32>,
    /// How much of [`HEADING`] the current text ends with, in bytes.
    begun: usize,
    /// Tokens a free text may have.
    room: usize,
    enforce: Enforce,
    /// Free texts that have ended.
    ended: usize,
    /// What step 4 said.
    types: Vec<u32>,
    /// By label: whether it may be given.
    possible: Vec<bool>,
}

impl SixSteps {
    /// At the beginning of `script`. Free texts are kept so short that the whole answer fits into `max_new_tokens`.
    pub fn new(script: Arc<Script>, enforce: Enforce, max_new_tokens: usize) -> Self {
        let (mut fixed, mut free) = (0, 0);
        for segment in &script.segments {
            match segment {
                Tokens::Forced(ids) => fixed += ids.len(),
                Tokens::Label(labels) => fixed += labels.iter().map(Vec::len).max().unwrap_or(0),
                Tokens::Free => free += 1,
            }
        }
        let room = max_new_tokens.saturating_sub(fixed) / free.max(1);
        let possible = vec![true; script.ontology.labels.len()];
        Self {
            script,
            segment: 0,
            said: vec![],
            begun: 0,
            room: room.clamp(1, MAX_STEP_TOKENS),
            enforce,
            ended: 0,
            types: vec![],
            possible,
        }
    }

    /// Ends a free text; with the last the labels that are possible become known.
    fn end_text(&mut self) {
        self.segment += 1;
        self.ended += 1;
        if self.ended == TYPES_STEP {
            self.types.clone_from(&self.said);
        }
        if self.ended == proto::STEP_TITLES.len() && self.enforce == Enforce::Strict {
            self.possible = self.candidates();
        }
    }

    /// By label: whether the types that step 4 states leave it possible. Without stated types only `none` is.
    fn candidates(&self) -> Vec<bool> {
        let (texts, ontology) = (&self.script.lexicon.texts, &self.script.ontology);
        let said: String = self
            .types
            .iter()
            .map(|&id| texts[id as usize].as_str())
            .collect();
        let possible = match stated_types(ontology, said.trim()) {
            (Some(object), Some(entity)) => ontology.candidates(&object, &entity),
            _ => vec![proto::NONE],
        };
        let labels = ontology.labels.iter();
        labels
            .map(|label| possible.contains(&label.name.as_str()))
            .collect()
    }

    /// Goes to the next segment and takes the forced text that stands there, then to the one behind it.
    fn forced(&mut self, skip: usize) -> Vec<u32> {
        self.said.clear();
        self.begun = 0;
        let Some(Tokens::Forced(ids)) = self.script.segments.get(self.segment) else {
            return vec![];
        };
        let ids = ids[skip..].to_vec();
        self.segment += 1;
        ids
    }
}

impl SixSteps {
    /// Whether a free text may begin with `id`: with a space and a word.
    fn opens(&self, id: u32) -> bool {
        let text = &self.script.lexicon.texts[id as usize];
        text.starts_with(' ') && !text.trim().is_empty() && self.goes_on(id)
    }

    /// Whether a free text may go on with `id`.
    fn goes_on(&self, id: u32) -> bool {
        let lexicon = &self.script.lexicon;
        let completes =
            self.begun > 0 && lexicon.texts[id as usize].starts_with(&HEADING[self.begun..]);
        !completes && !lexicon.forbidden[id as usize]
    }
}

/// How much of [`HEADING`] a text ends with that ended with `begun` bytes of it before `more` was added.
fn heading_begun(begun: usize, more: &str) -> usize {
    let text = format!("{}{more}", &HEADING[..begun]);
    (1..HEADING.len())
        .rev()
        .find(|&length| text.ends_with(&HEADING[..length]))
        .unwrap_or(0)
}

impl Guide for SixSteps {
    fn opening(&mut self) -> Vec<u32> {
        self.forced(0)
    }

    fn allows(&self, id: u32) -> bool {
        match &self.script.segments[self.segment] {
            Tokens::Free if self.said.is_empty() => self.opens(id),
            Tokens::Free => id == self.script.exit(self.segment) || self.goes_on(id),
            Tokens::Label(labels) => labels.iter().zip(&self.possible).any(|(label, &possible)| {
                possible
                    && label.len() > self.said.len()
                    && label.starts_with(&self.said)
                    && label[self.said.len()] == id
            }),
            Tokens::Forced(_) => false,
        }
    }

    fn chooses(&self) -> bool {
        let segment = &self.script.segments[self.segment];
        matches!(segment, Tokens::Label(_)) && self.said.is_empty()
    }

    fn accept(&mut self, id: u32) -> Next {
        match &self.script.segments[self.segment] {
            Tokens::Free if !self.said.is_empty() && id == self.script.exit(self.segment) => {
                self.end_text();
                Next::Continue(self.forced(1))
            }
            Tokens::Free if self.said.len() >= self.room => {
                self.end_text();
                Next::Instead(self.forced(0))
            }
            Tokens::Label(labels) => {
                self.said.push(id);
                if !labels.contains(&self.said) {
                    return Next::Continue(vec![]);
                }
                // A label that another begins with has said the first token of the closing text itself.
                let closed = usize::from(id == self.script.exit(self.segment));
                self.segment += 1;
                Next::Finished(self.forced(closed))
            }
            _ => {
                self.said.push(id);
                let text = &self.script.lexicon.texts[id as usize];
                self.begun = heading_begun(self.begun, text);
                Next::Continue(vec![])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_noticed_however_it_is_cut() {
        for pieces in [[" S", "te", "p"], [" ", "Ste", "p"], ["x ", "S", "tep"]] {
            let begun = pieces[..2]
                .iter()
                .fold(0, |begun, piece| heading_begun(begun, piece));
            assert!(
                pieces[2].starts_with(&HEADING[begun..]),
                "{pieces:?}: {begun}"
            );
        }
        assert_eq!(heading_begun(2, "o"), 0); // " So"
        assert_eq!(heading_begun(3, " S"), 2); // " St S"
    }
}
