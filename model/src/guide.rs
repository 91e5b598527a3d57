//! The six-step grammar over token ids: forced headings, free text that cannot break them, a label out of a trie. The words of
//! the grammar are `proto`'s; this file only knows how they fall into tokens.

use std::sync::Arc;

use proto::{Ontology, ParseError, Segment, grammar, pieces};

use crate::generate::{Guide, Next};
use crate::tokenizer::Tokenizer;

/// The longest free text of a step: the corpus' longest has about 60 tokens.
const MAX_STEP_TOKENS: usize = 160;

/// What begins a heading, and so what no free text may say, be it in one token or in pieces.
const HEADING: &str = " Step";

/// The grammar in tokens, made once a checkpoint and ontology.
#[derive(Debug)]
pub struct Script {
    segments: Vec<Tokens>,
    /// By id: what each token reads.
    texts: Vec<String>,
    /// By id: tokens no free text may hold.
    forbidden: Vec<bool>,
}

#[derive(Debug)]
enum Tokens {
    Forced(Vec<u32>),
    Free,
    Label(Vec<Vec<u32>>),
}

impl Script {
    /// The grammar of `ontology` in the tokens of `tokenizer`.
    pub fn new(tokenizer: &Tokenizer, ontology: &Ontology, vocab: usize, eos: &[u32]) -> Self {
        let segments = grammar()
            .into_iter()
            .map(|segment| match segment {
                Segment::Forced(text) => Tokens::Forced(tokenizer.encode(&text)),
                Segment::Free => Tokens::Free,
                Segment::Label => Tokens::Label(
                    ontology
                        .labels
                        .iter()
                        .map(|label| tokenizer.encode(&label.name))
                        .collect(),
                ),
            })
            .collect();
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
        Self {
            segments,
            texts,
            forbidden,
        }
    }

    /// The first token of the forced text behind the free segment at `index`: saying it ends the segment.
    fn exit(&self, index: usize) -> u32 {
        match self.segments.get(index + 1) {
            Some(Tokens::Forced(ids)) => ids[0],
            _ => unreachable!("the grammar forces text behind every free segment"),
        }
    }
}

/// A response cut into the tokens the grammar would make of it: what training must show the model.
///
/// # Errors
/// If the response does not follow the grammar.
pub fn response_ids(tokenizer: &Tokenizer, response: &str) -> Result<Vec<u32>, ParseError> {
    Ok(pieces(response)?
        .iter()
        .flat_map(|piece| tokenizer.encode(piece))
        .collect())
}

/// Leads one answer through a [`Script`].
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
}

impl SixSteps {
    /// At the beginning of `script`. Free texts are kept so short that the whole answer fits into `max_new_tokens`.
    pub fn new(script: Arc<Script>, max_new_tokens: usize) -> Self {
        let (mut fixed, mut free) = (0, 0);
        for segment in &script.segments {
            match segment {
                Tokens::Forced(ids) => fixed += ids.len(),
                Tokens::Label(labels) => fixed += labels.iter().map(Vec::len).max().unwrap_or(0),
                Tokens::Free => free += 1,
            }
        }
        let room = max_new_tokens.saturating_sub(fixed) / free;
        Self {
            script,
            segment: 0,
            said: vec![],
            begun: 0,
            room: room.clamp(1, MAX_STEP_TOKENS),
        }
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
        let text = &self.script.texts[id as usize];
        text.starts_with(' ') && !text.trim().is_empty() && self.goes_on(id)
    }

    /// Whether a free text may go on with `id`.
    fn goes_on(&self, id: u32) -> bool {
        let completes =
            self.begun > 0 && self.script.texts[id as usize].starts_with(&HEADING[self.begun..]);
        !completes && !self.script.forbidden[id as usize]
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
            Tokens::Label(labels) => labels.iter().any(|label| {
                label.len() > self.said.len()
                    && label.starts_with(&self.said)
                    && label[self.said.len()] == id
            }),
            Tokens::Forced(_) => false,
        }
    }

    fn accept(&mut self, id: u32) -> Next {
        match &self.script.segments[self.segment] {
            Tokens::Free if !self.said.is_empty() && id == self.script.exit(self.segment) => {
                self.segment += 1;
                Next::Continue(self.forced(1))
            }
            Tokens::Free if self.said.len() >= self.room => {
                self.segment += 1;
                Next::Instead(self.forced(0))
            }
            Tokens::Label(labels) => {
                self.said.push(id);
                if !labels.contains(&self.said) {
                    return Next::Continue(vec![]);
                }
                self.segment += 1;
                Next::Finished(self.forced(0))
            }
            _ => {
                self.said.push(id);
                self.begun = heading_begun(self.begun, &self.script.texts[id as usize]);
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
