//! Cuts a sentence into words, quotations and marks. Knows no ontology and no grammar of English.

/// One token of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word in lower case, without a possessive `'s`.
    Word(String),
    /// What stood between quotation marks, as written.
    Quoted(String),
    /// Any other visible character; a line break counts as `.`.
    Mark(char),
}

/// The tokens of a text. Markdown's `*` and backslashes vanish; an apostrophe inside a word is no quotation mark.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text
        .chars()
        .map(plain_quote)
        .filter(|c| !matches!(c, '*' | '\\'))
        .collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if is_word(c) {
            let length = chars[at..].iter().take_while(|c| is_word(**c)).count();
            tokens.push(Token::Word(
                chars[at..at + length]
                    .iter()
                    .collect::<String>()
                    .to_lowercase(),
            ));
            at += length;
            at += possessive(&chars[at..]);
        } else if let Some(close) = closing_quote(&chars, at) {
            tokens.push(Token::Quoted(chars[at + 1..close].iter().collect()));
            at = close + 1;
        } else {
            match c {
                '\n' => tokens.push(Token::Mark('.')),
                '\'' | '"' | '`' => {} // a quotation that is never closed, or an apostrophe
                c if c.is_whitespace() => {}
                c => tokens.push(Token::Mark(c)),
            }
            at += 1;
        }
    }
    tokens
}

fn plain_quote(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        c => c,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of an `'s` that ends here, 0 if there is none.
fn possessive(rest: &[char]) -> usize {
    match rest {
        ['\'', 's' | 'S', next, ..] if is_word(*next) => 0,
        ['\'', 's' | 'S', ..] => 2,
        _ => 0,
    }
}

/// Where the quotation that opens at `at` closes; `None` if none opens there. A second opening mark before the close
/// makes the first one an apostrophe (`the '90s star ... 'Torvale'`).
fn closing_quote(chars: &[char], at: usize) -> Option<usize> {
    let quote = chars[at];
    let opens = |at: usize| {
        (at == 0 || !is_word(chars[at - 1]))
            && chars.get(at + 1).is_some_and(|next| !next.is_whitespace())
    };
    if !matches!(quote, '\'' | '"' | '`') || !opens(at) {
        return None;
    }
    let closes = |at: usize| {
        !chars[at - 1].is_whitespace() && chars.get(at + 1).is_none_or(|next| !is_word(*next))
    };
    let second = (at + 1..chars.len())
        .find(|&second| chars[second] == quote && (closes(second) || opens(second)))?;
    (second > at + 1 && closes(second)).then_some(second)
}
