//! Reads the types of object and entity out of a step's free text. Forgiving about wording: any model's sentences
//! should do. Guesses nothing that the text does not name.

use crate::Ontology;
use crate::phrases::{Sentence, Strength, Subject, has_break, joins};
use crate::words::tokens;

/// Object type and entity type stated in a text.
///
/// Every type named goes to the subject it speaks of: mostly the last one before it ("the object is of type per"),
/// sometimes the next ("org for the entity"), sometimes both ("object and entity are persons"). Of several types of
/// one subject the most explicit wins.
pub fn types(ontology: &Ontology, text: &str) -> (Option<String>, Option<String>) {
    let tokens = tokens(text);
    let mut reader = Reader {
        sentence: Sentence {
            ontology,
            tokens: &tokens,
        },
        subjects: Vec::new(),
        open: false,
        found: Vec::new(),
    };
    reader.read();
    reader.conclude()
}

struct Found<'a> {
    /// `None` when no subject was in sight.
    subject: Option<Subject>,
    kind: &'a str,
    strength: Strength,
    at: usize,
}

struct Reader<'a> {
    sentence: Sentence<'a>,
    /// Whom the next type is about: nobody, one, or both in the order of mention.
    subjects: Vec<Subject>,
    /// Whether a type is still owed to them.
    open: bool,
    found: Vec<Found<'a>>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        let mut last_subject = 0;
        let mut skip_until = 0;
        for at in 0..self.sentence.tokens.len() {
            if at < skip_until {
                continue;
            }
            if let Some(subject) = self.sentence.subject(at) {
                self.meet(subject, last_subject, at);
                last_subject = at;
            } else if let Some(kind) = self.sentence.kind(at) {
                if self.sentence.is_gloss(at, kind) || self.sentence.is_denied(at) {
                    continue;
                }
                let strength = self.sentence.strength(at);
                match self.sentence.subject_ahead(at) {
                    Some((subject, next)) if !self.open => {
                        self.found.push(Found {
                            subject: Some(subject),
                            kind,
                            strength,
                            at,
                        });
                        self.subjects = vec![subject];
                        (last_subject, skip_until) = (next, next + 1);
                    }
                    _ => self.assign(kind, strength, at),
                }
            }
        }
    }

    /// A subject comes up: it takes over, or joins the one that still waits for its type.
    fn meet(&mut self, subject: Subject, last: usize, at: usize) {
        let waiting = self.open && self.subjects.len() == 1 && self.subjects[0] != subject;
        let between = if waiting {
            &self.sentence.tokens[last + 1..at]
        } else {
            &[]
        };
        if waiting
            && subject == Subject::Entity
            && self.sentence.is_adjective(at)
            && !has_break(between)
        {
            return; // "the object's entity type is ..."
        }
        if waiting && joins(between) {
            self.subjects.push(subject);
        } else {
            self.subjects = vec![subject];
        }
        self.open = true;
    }

    /// A type comes up that belongs to the subjects already met.
    fn assign(&mut self, kind: &'a str, strength: Strength, at: usize) {
        match *self.subjects.as_slice() {
            [first, second] if self.open => {
                for subject in [first, second] {
                    self.found.push(Found {
                        subject: Some(subject),
                        kind,
                        strength,
                        at,
                    });
                }
            }
            // The second type after two subjects is the second subject's: "are of types per and org".
            [_, second] => {
                self.found.pop(); // the second half of the assumption that both have the first type
                self.found.push(Found {
                    subject: Some(second),
                    kind,
                    strength,
                    at,
                });
                self.subjects = vec![second];
            }
            [subject] => self.found.push(Found {
                subject: Some(subject),
                kind,
                strength,
                at,
            }),
            _ => self.found.push(Found {
                subject: None,
                kind,
                strength,
                at,
            }),
        }
        self.open = false;
    }

    fn conclude(self) -> (Option<String>, Option<String>) {
        // `max_by_key` keeps the last of equals, so the list is walked backwards to keep the first.
        let best = |subject| {
            let own = self
                .found
                .iter()
                .rev()
                .filter(|found| found.subject == Some(subject));
            own.max_by_key(|found| found.strength)
        };
        let named = |found: &Found| Some(found.kind.to_owned());
        // "The object is of type per; Torvale is of type loc": the second subject goes by its name.
        let other = |known: &Found| {
            let later = |found: &&Found| found.at > known.at && found.strength == Strength::Typed;
            let strangers = || self.found.iter().filter(|found| found.subject.is_none());
            strangers()
                .next()
                .or_else(|| self.found.iter().find(later))
                .and_then(named)
        };
        match (best(Subject::Object), best(Subject::Entity)) {
            (Some(object), Some(entity)) => (named(object), named(entity)),
            (Some(object), None) => (named(object), other(object)),
            (None, Some(entity)) => (other(entity), named(entity)),
            (None, None) => self.strangers(),
        }
    }

    /// Two types and no subject: the object comes first, unless a quoted name leads to the first type and not to the
    /// second ("'Torvale' is of type loc and the man of type per").
    fn strangers(&self) -> (Option<String>, Option<String>) {
        let [first, second, ..] = self.found.as_slice() else {
            return (None, None);
        };
        let is_name = |at: usize| self.sentence.is_name(at);
        let swapped = (0..first.at).any(is_name) && !(first.at..second.at).any(is_name);
        let (object, entity) = if swapped {
            (second, first)
        } else {
            (first, second)
        };
        (Some(object.kind.to_owned()), Some(entity.kind.to_owned()))
    }
}
