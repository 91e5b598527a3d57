//! Finds the six steps in a reasoning whose form is not exact: other titles, none, Markdown, lines instead of spaces.
//! Does not read what the steps say.

use std::ops::Range;

use crate::grammar::{ParseError, STEP_TITLES, expected};
use crate::trace::Step;

/// The longest line taken for a title, in words; the standard titles have up to four.
const TITLE_WORDS: usize = 8;
/// The longest title in parentheses, in characters; the standard titles have up to 25.
const TITLE_CHARS: usize = 80;

/// The steps in the part `range` of a response.
pub(crate) fn split(response: &str, range: Range<usize>) -> Result<Vec<Step>, ParseError> {
    let thought = &response[range.clone()];
    let headings = headings(thought);
    let preamble = &thought[..headings
        .first()
        .map_or(thought.len(), |heading| heading.start)];
    if !preamble.chars().all(is_decoration) {
        let white = preamble.len() - preamble.trim_start().len();
        return Err(expected(response, range.start + white, "Step 1"));
    }
    let mut steps = Vec::with_capacity(6);
    for (index, heading) in headings.iter().enumerate() {
        if index == STEP_TITLES.len() {
            return Err(expected(response, range.start + heading.start, "</think>"));
        }
        let number = index as u8 + 1;
        if heading.number != u32::from(number) {
            return Err(ParseError::StepOrder {
                expected: number,
                found: heading.number,
            });
        }
        let end = headings
            .get(index + 1)
            .map_or(thought.len(), |next| next.start);
        steps.push(step(number, heading.title, &thought[heading.end..end])?);
    }
    if steps.len() < STEP_TITLES.len() {
        return Err(ParseError::MissingStep {
            number: steps.len() as u8 + 1,
        });
    }
    Ok(steps)
}

/// "Step 3:", with what Markdown puts around it.
struct Heading<'a> {
    number: u32,
    start: usize,
    end: usize,
    /// From "Step 3 (title):".
    title: Option<&'a str>,
}

fn headings(thought: &str) -> Vec<Heading<'_>> {
    let mut found: Vec<Heading<'_>> = vec![];
    for (at, _) in thought.char_indices() {
        // What stands inside a heading, such as in its parentheses, is no heading of its own.
        if found.last().is_none_or(|last| at >= last.end) {
            found.extend(heading(thought, at));
        }
    }
    found
}

/// The heading that starts at this byte. A colon makes "Step 3" a heading anywhere; without one, or in lower case, it
/// has to begin a line, since sentences refer to steps too.
fn heading(thought: &str, at: usize) -> Option<Heading<'_>> {
    let (before, here) = thought.split_at(at);
    let word = here
        .get(..4)
        .filter(|word| word.eq_ignore_ascii_case("step"))?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let begins_line = before
        .chars()
        .rev()
        .take_while(|c| *c != '\n')
        .all(is_decoration);
    if !begins_line && word == "step" {
        return None;
    }
    let rest = here[4..].trim_start_matches([' ', '\u{a0}', '#']);
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = rest[..digits].parse().ok()?;
    let mut rest = rest[digits..].trim_start_matches(['*', '_', ' ']);
    let mut title = None;
    if let Some((inside, after)) = rest.strip_prefix('(').and_then(parenthesis) {
        let after = after.trim_start_matches(['*', '_', ' ']);
        if after.starts_with(':') || begins_line {
            (title, rest) = (Some(inside.trim()), after);
        }
    }
    let colon = rest.strip_prefix(':');
    let rest = match colon {
        Some(rest) => rest,
        None if begins_line => rest.trim_start_matches(['.', ')', '-', '\u{2013}', '\u{2014}']),
        None => return None,
    };
    // "Step 3's result" and "Step 30" at the beginning of a line are no headings of step 3.
    let is_heading = colon.is_some() || !rest.starts_with(['\'', '\u{2019}', ',']);
    is_heading.then(|| Heading {
        number,
        start: at,
        end: thought.len() - rest.len(),
        title,
    })
}

/// What stands before and after a closing parenthesis that comes soon.
fn parenthesis(rest: &str) -> Option<(&str, &str)> {
    let (end, _) = rest
        .char_indices()
        .take(TITLE_CHARS)
        .find(|(_, c)| *c == ')')?;
    Some((&rest[..end], &rest[end + 1..]))
}

/// Parts a step into title and text.
fn step(number: u8, title: Option<&str>, body: &str) -> Result<Step, ParseError> {
    let standard = STEP_TITLES[usize::from(number) - 1];
    let (title, text) = match title {
        Some(title) => (title, body),
        None => standard_title(standard, body)
            .or_else(|| own_title(body))
            .unwrap_or((standard, body)),
    };
    // Markdown's signs before the next heading and around this text are nobody's words.
    let text = text
        .trim_start_matches(['*', '_', ' ', '\n', '\r', '\t'])
        .trim_end_matches(is_decoration);
    if text.trim().is_empty() {
        return Err(ParseError::EmptyStep { number });
    }
    Ok(Step {
        number,
        title: title.to_owned(),
        text: text.trim().to_owned(),
    })
}

/// Title and text, if the body begins with the standard title, in any case, and a mark behind it.
fn standard_title<'a>(title: &str, body: &'a str) -> Option<(&'a str, &'a str)> {
    let body = body.trim_start_matches(is_decoration);
    let written = body
        .get(..title.len())
        .filter(|written| written.eq_ignore_ascii_case(title))?;
    let rest = body[title.len()..].trim_start_matches(['*', '_', ' ', '\t', '\r']);
    let end = |c: char| matches!(c, '.' | ':' | '-' | '\u{2013}' | '\u{2014}' | '\n');
    let is_title = rest.is_empty() || rest.starts_with(end);
    is_title.then(|| {
        (
            written,
            rest.trim_start_matches(|c: char| end(c) || is_decoration(c)),
        )
    })
}

/// Title and text, if the body's first line is short, no sentence and no list item, or if bold type ends in it.
fn own_title(body: &str) -> Option<(&str, &str)> {
    let body = body.trim_start_matches([' ', '\t']);
    let (line, rest) = body.split_once('\n').unwrap_or((body, ""));
    // "**Step 1: Scene** The crop ...": the bold type began before the number.
    let bold = line
        .split_once("**")
        .filter(|(title, _)| line.matches("**").count() % 2 == 1 && !title.is_empty());
    if let Some((title, _)) = bold {
        return Some((clean(title), &body[title.len() + 2..]))
            .filter(|(title, _)| !title.is_empty());
    }
    let title = clean(line);
    let is_title = !rest.trim().is_empty()
        && !title.is_empty()
        && !line.starts_with(['-', '\u{2022}'])
        && !line.trim_end().ends_with(['.', ',', ';'])
        && !title.contains(':')
        && title.split_whitespace().count() <= TITLE_WORDS;
    is_title.then_some((title, rest))
}

fn clean(title: &str) -> &str {
    title.trim_matches(|c: char| is_decoration(c) || matches!(c, ':' | '.'))
}

/// White space and the signs with which Markdown sets off headings.
fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '#' | '*' | '_' | '>' | '-')
}
