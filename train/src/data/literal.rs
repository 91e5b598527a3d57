//! Python literals as JSON values: dicts, lists, tuples, strings, numbers, `None`, `True` and `False`, which is what
//! `repr` of a record holds. No expressions, no byte strings, no sets.

use serde_json::{Map, Number, Value};

/// Deepest nesting accepted; a record needs three, and hostile input must not exhaust the stack.
const DEPTH: usize = 32;

/// Reads one literal that fills the whole text; the error says what was expected at which character.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader {
        characters: text.chars().collect(),
        at: 0,
    };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == reader.characters.len() {
        Ok(value)
    } else {
        Err(reader.expected("the end of the line"))
    }
}

struct Reader {
    characters: Vec<char>,
    at: usize,
}

impl Reader {
    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.skip_space();
        match self.peek() {
            Some('{') => self.dict(depth),
            Some('[') => self.list(']', depth),
            Some('(') => self.list(')', depth),
            Some('\'' | '"') => self.strings().map(Value::String),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.word(),
            _ => Err(self.expected("a value")),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut fields = Map::new();
        loop {
            self.skip_space();
            if self.eat('}') {
                return Ok(Value::Object(fields));
            }
            let key = match self.peek() {
                Some('\'' | '"') => self.strings()?,
                _ => return Err(self.expected("a quoted key")),
            };
            self.skip_space();
            if !self.eat(':') {
                return Err(self.expected("`:`"));
            }
            fields.insert(key, self.value(depth + 1)?);
            self.skip_space();
            if !self.eat(',') && self.peek() != Some('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, close: char, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.eat(close) {
                return Ok(Value::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if !self.eat(',') && self.peek() != Some(close) {
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// A string, or several with nothing but space between: Python takes them for one.
    fn strings(&mut self) -> Result<String, String> {
        let mut text = String::new();
        while let Some(quote @ ('\'' | '"')) = self.peek() {
            self.string(quote, &mut text)?;
            self.skip_space();
        }
        Ok(text)
    }

    /// Puts the string that opens with `quote` behind `text`.
    fn string(&mut self, quote: char, text: &mut String) -> Result<(), String> {
        self.at += 1;
        loop {
            let Some(character) = self.next() else {
                return Err(self.expected("a closing quote"));
            };
            match character {
                '\\' => self.escape(text)?,
                c if c == quote => return Ok(()),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let character = match self.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('x') => self.code(2)?,
            Some('u') => self.code(4)?,
            Some('U') => self.code(8)?,
            Some('0'..='7') => self.octal(),
            Some(c @ ('\\' | '\'' | '"')) => c,
            None | Some('N') => return Err(self.expected("a known escape")),
            Some(c) => {
                text.push('\\'); // Python keeps it before what it does not know.
                c
            }
        };
        text.push(character);
        Ok(())
    }

    /// Up to three digits, the first of which was read.
    fn octal(&mut self) -> char {
        self.at -= 1;
        let mut code = 0;
        for _ in 0..3 {
            let Some(digit) = self.peek().and_then(|it| it.to_digit(8)) else {
                break;
            };
            code = 8 * code + digit;
            self.at += 1;
        }
        char::from_u32(code).expect("three octal digits stay below 512")
    }

    fn code(&mut self, digits: usize) -> Result<char, String> {
        let end = (self.at + digits).min(self.characters.len());
        let hex: String = self.characters[self.at..end].iter().collect();
        let code = u32::from_str_radix(&hex, 16)
            .ok()
            .filter(|_| hex.len() == digits);
        let Some(character) = code.and_then(char::from_u32) else {
            return Err(self.expected("a character code"));
        };
        self.at = end;
        Ok(character)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))
        {
            self.at += 1;
        }
        let text: String = self.characters[start..self.at].iter().collect();
        let integer = text.parse::<i64>().ok().map(Number::from);
        let number = integer.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
        number.map(Value::Number).ok_or_else(|| {
            self.at = start;
            self.expected("a number")
        })
    }

    fn word(&mut self) -> Result<Value, String> {
        for (word, value) in [
            ("None", Value::Null),
            ("True", Value::Bool(true)),
            ("False", Value::Bool(false)),
        ] {
            let end = self.at + word.len();
            if end <= self.characters.len()
                && self.characters[self.at..end]
                    .iter()
                    .copied()
                    .eq(word.chars())
            {
                self.at = end;
                return Ok(value);
            }
        }
        Err(self.expected("None, True or False"))
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.characters[self.at.min(self.characters.len())..]
            .iter()
            .take(16)
            .collect();
        format!(
            "expected {what} at character {}, found {found:?}",
            self.at + 1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn literals_become_values() {
        let cases = [
            (
                "{'a': (1, -2.5e1), \"b\": [None, True, False,],}",
                json!({"a": [1, -25.0], "b": [null, true, false]}),
            ),
            (r"'it\'s \x41\u00e9\n'", json!("it's Aé\n")),
            ("()", json!([])),
            (r"'\a\b\f\v'", json!("\u{7}\u{8}\u{c}\u{b}")),
            (r"'\0|\101|\1018|\777|\8'", json!("\0|A|A8|\u{1ff}|\\8")),
            (r"'a\qb'", json!(r"a\qb")),
            (r#"['a' "b", 'c']"#, json!(["ab", "c"])),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "{",
            "{'a' 1}",
            "{1: 2}",
            "'open",
            "nan",
            "1.2.3",
            "[1 2]",
            "[] x",
            r"'\u00'",
            r"'\N{BULLET}'",
            r"'\",
            "'a' b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(10_000)).is_err());
    }
}
