//! Looks around one place of a sentence: who is meant, which type is named, how explicitly. Looks at a few neighbours
//! only and draws no conclusion about the whole; `types.rs` does.

use crate::Ontology;
use crate::words::Token;

/// How many tokens lie at most between the word "type" and the type it announces.
const REACH: usize = 8;

/// Other words for MORE's types. A type's own name and description always count.
const SYNONYMS: [(&str, &[&str]); 4] = [
    ("per", &["person", "people", "human"]),
    ("org", &["organization", "organisation"]),
    ("loc", &["location"]),
    ("misc", &["miscellaneous", "miscellany"]),
];

/// Words between a statement's verb and the type it names.
const LINKS: [&str; 20] = [
    "a",
    "an",
    "the",
    "of",
    "is",
    "are",
    "be",
    "was",
    "as",
    "namely",
    "thus",
    "therefore",
    "clearly",
    "also",
    "again",
    "being",
    "still",
    "likewise",
    "probably",
    "most",
];
const VERBS: [&str; 6] = ["is", "are", "be", "was", "as", "being"];
const KINDS: [&str; 8] = [
    "type",
    "types",
    "typed",
    "category",
    "categories",
    "class",
    "classified",
    "kind",
];
const NEGATIONS: [&str; 8] = [
    "not", "no", "neither", "nor", "than", "instead", "without", "never",
];

/// How explicitly a type is stated; of two statements about one subject the stronger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// The word occurs: "shows a person".
    Named,
    /// A verb or a colon leads to it: "is a person", "object: per".
    Said,
    /// It stands in parentheses or quotation marks: "(per)".
    Marked,
    /// It is called a type: "of type per".
    Typed,
}

/// Whom a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// What the photo shows.
    Object,
    /// What the text names.
    Entity,
}

/// A sentence and the types it may speak of.
pub(crate) struct Sentence<'a> {
    pub(crate) ontology: &'a Ontology,
    pub(crate) tokens: &'a [Token],
}

impl<'a> Sentence<'a> {
    fn word(&self, at: usize) -> &str {
        match self.tokens.get(at) {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }

    fn mark(&self, at: usize) -> Option<char> {
        match self.tokens.get(at) {
            Some(Token::Mark(mark)) => Some(*mark),
            _ => None,
        }
    }

    pub(crate) fn subject(&self, at: usize) -> Option<Subject> {
        match self.word(at) {
            "object" | "objects" | "crop" | "region" => Some(Subject::Object),
            "image" if at > 0 && self.word(at - 1) == "second" => Some(Subject::Object),
            "entity" => Some(Subject::Entity),
            _ => None,
        }
    }

    /// The type this token names.
    pub(crate) fn kind(&self, at: usize) -> Option<&'a str> {
        let word = match self.tokens.get(at)? {
            Token::Word(word) => word.clone(),
            Token::Quoted(text) => text.trim().to_lowercase(),
            Token::Mark(_) => return None,
        };
        let is = |name: &str| name.to_lowercase() == word || word.strip_suffix('s') == Some(name);
        let kind = self.ontology.types.iter().find(|kind| {
            let synonyms = SYNONYMS
                .iter()
                .find(|(name, _)| *name == kind.name)
                .map_or(&[][..], |(_, words)| *words);
            is(&kind.name) || is(&kind.description) || synonyms.iter().any(|synonym| is(synonym))
        });
        kind.map(|kind| kind.name.as_str())
    }

    /// Whether this is a quotation that names no type, such as the entity's name.
    pub(crate) fn is_name(&self, at: usize) -> bool {
        matches!(self.tokens[at], Token::Quoted(_)) && self.kind(at).is_none()
    }

    /// Whether this only explains the type before it: "per (person)".
    pub(crate) fn is_gloss(&self, at: usize, kind: &str) -> bool {
        at > 1
            && matches!(self.mark(at - 1), Some('(' | '[' | '=' | ','))
            && self.kind(at - 2) == Some(kind)
    }

    /// Whether the sentence rules this type out: "not an org but", "rather than loc".
    pub(crate) fn is_denied(&self, at: usize) -> bool {
        (0..at)
            .rev()
            .take(4)
            .take_while(|&before| {
                self.mark(before).is_none() && !matches!(self.word(before), "but" | "and")
            })
            .any(|before| NEGATIONS.contains(&self.word(before)))
    }

    /// Whether "entity" at this place only says what sort of type is meant.
    pub(crate) fn is_adjective(&self, at: usize) -> bool {
        KINDS.contains(&self.word(at + 1))
    }

    /// How explicitly the type at this place is stated.
    pub(crate) fn strength(&self, at: usize) -> Strength {
        let bracketed = at > 0
            && matches!(self.mark(at - 1), Some('(' | '['))
            && matches!(self.mark(at + 1), Some(')' | ']'));
        // "entity 'Person'" is a name, "of 'per'" is not.
        let quoted =
            at > 0 && matches!(self.tokens[at], Token::Quoted(_)) && self.subject(at - 1).is_none();
        let mut strength = if bracketed || quoted {
            Strength::Marked
        } else {
            Strength::Named
        };
        for before in (0..at).rev().take(REACH) {
            let word = self.word(before);
            if KINDS.contains(&word) {
                return Strength::Typed;
            }
            let mark = self.mark(before);
            if VERBS.contains(&word) || matches!(mark, Some(':' | '=' | '>')) {
                strength = strength.max(Strength::Said);
            }
            // In "types per and org" the second is called a type too.
            let listed =
                matches!(word, "and" | "or") && before > 0 && self.kind(before - 1).is_some();
            let list_item =
                self.kind(before).is_some() && matches!(self.word(before + 1), "and" | "or");
            let link =
                LINKS.contains(&word) || matches!(mark, Some(':' | '=' | '>' | '-' | '(' | '['));
            if !(listed || list_item || link) {
                break;
            }
        }
        strength
    }

    /// The subject that this type is said to be of, when it follows: "org for the entity", "per is the object's type".
    pub(crate) fn subject_ahead(&self, at: usize) -> Option<(Subject, usize)> {
        const FILLERS: [&str; 10] = [
            "is", "the", "type", "for", "of", "as", "to", "textual", "cropped", "visual",
        ];
        let mut leads = false;
        for next in (at + 1..self.tokens.len()).take(7) {
            if let Some(subject) = self
                .subject(next)
                .filter(|_| !self.is_adjective(next) || self.word(at + 1) == "is")
            {
                return leads.then_some((subject, next));
            }
            leads |= matches!(self.word(next), "for" | "of" | "is" | "to")
                || self.mark(next) == Some('(');
            let gloss = self.kind(next).is_some() && self.kind(next) == self.kind(at);
            let filler =
                FILLERS.contains(&self.word(next)) || matches!(self.mark(next), Some('(' | ')'));
            if !filler && !gloss && !self.is_adjective(next) {
                return None;
            }
        }
        None
    }
}

/// Whether these tokens between two subjects make them one: "the object and the entity".
pub(crate) fn joins(between: &[Token]) -> bool {
    const FILLERS: [&str; 9] = [
        "the", "text", "textual", "named", "type", "types", "in", "of", "its",
    ];
    let joint = |token: &Token| match token {
        Token::Word(word) => word == "and",
        Token::Quoted(_) => false,
        Token::Mark(mark) => matches!(mark, '/' | '&'),
    };
    let filler = |token: &Token| match token {
        Token::Word(word) => FILLERS.contains(&word.as_str()),
        Token::Quoted(_) => true,
        Token::Mark(mark) => *mark == ',',
    };
    between.iter().any(joint) && between.iter().all(|token| joint(token) || filler(token))
}

/// Whether a clause ends among these tokens.
pub(crate) fn has_break(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| match token {
        Token::Word(word) => matches!(word.as_str(), "and" | "while" | "whereas" | "but"),
        Token::Quoted(_) => false,
        Token::Mark(mark) => matches!(mark, '.' | ';' | ','),
    })
}
