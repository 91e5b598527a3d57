//! Records in the format of the MORE data set, one a line, with an optional gold trace beside. Reads JSON lines and
//! the Python-dict lines the data set itself is published in, writes JSON lines; opens no image and knows no ontology.

mod literal;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One fact: an object of an image, an entity of a text, and the relation between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// File name of the image.
    pub img_id: String,
    /// The text as written.
    pub text: String,
    /// The text in tokens.
    pub token: Vec<String>,
    /// The entity in the text.
    pub h: Head,
    /// The object in the image.
    pub t: Tail,
    /// The label.
    pub relation: String,
    /// A gold answer, the whole response; MORE itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// The entity of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its tokens.
    pub name: Vec<String>,
    /// First token and the one behind the last.
    pub pos: [usize; 2],
}

/// The object of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// What it is called; not shown to any model.
    pub name: String,
    /// Centre x, centre y, width and height, as shares of the image.
    pub pos: [f64; 4],
}

impl Record {
    /// Where its image lies, if `images` holds it.
    ///
    /// # Errors
    /// A name that could lead out of the folder, and why it is refused.
    pub fn image_in(&self, images: &Path) -> Result<PathBuf, String> {
        let name = Path::new(&self.img_id);
        let mut parts = name.components().peekable();
        if parts.peek().is_some() && parts.all(|it| matches!(it, Component::Normal(_))) {
            return Ok(images.join(name));
        }
        let name = &self.img_id;
        Err(format!(
            "{name:?} is no plain name: it has to lead from the folder of images to a file inside, with no `.`, no `..` and no slash in front"
        ))
    }

    /// The entity as one string.
    pub fn entity(&self) -> String {
        self.h.name.join(" ")
    }

    /// The object's box: normalised centre x, centre y, width, height.
    pub const fn bbox(&self) -> [f64; 4] {
        self.t.pos
    }
}

#[cfg(test)]
impl Record {
    /// A fact for tests to change.
    pub(crate) fn example() -> Self {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        Self {
            img_id: "a.jpg".to_owned(),
            text: "Heat beat Celtics".to_owned(),
            token: words("Heat beat Celtics"),
            h: Head {
                name: words("Heat"),
                pos: [0, 1],
            },
            t: Tail {
                name: "player".to_owned(),
                pos: [0.5, 0.5, 1.0, 1.0],
            },
            relation: "none".to_owned(),
            trace: None,
        }
    }
}

/// One of the three parts of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose by.
    Dev,
    /// To judge by.
    Test,
}

impl Split {
    /// All three, in the order in which a corpus is used.
    pub const ALL: [Self; 3] = [Self::Train, Self::Dev, Self::Test];

    /// The name of its file, without the ending.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Every way a file of records can be unreadable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is neither JSON nor a Python literal.
    #[error("{path}, line {line}: neither JSON nor a Python dict: {reason}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was expected where.
        reason: String,
    },
    /// A field is missing or not of the right kind.
    #[error("{path}, line {line}: field `{field}`: {reason}")]
    Field {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which, with dots for what is inside.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// A line that could not be read, before the place is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    /// Neither JSON nor a Python dict, and why.
    Syntax(String),
    /// A field, and what is wrong with it.
    Field(&'static str, String),
}

/// Reads every record of a file; empty lines are skipped.
///
/// # Errors
/// The first line that is no record, by number and field.
pub fn read_records(path: &Path) -> Result<Vec<Record>, Error> {
    let file = File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    records_of(path, BufReader::new(file))
}

/// The records in what was opened at `path`.
pub(crate) fn records_of(path: &Path, lines: impl BufRead) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for (index, line) in lines.lines().enumerate() {
        let (content, line, path) = (line, index + 1, path.to_owned());
        let content = match content {
            Ok(content) => content,
            Err(source) if source.kind() == ErrorKind::InvalidData => {
                let reason = "the line is no UTF-8".to_owned();
                return Err(Error::Syntax { path, line, reason });
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        // Editors on Windows put a mark before the first line.
        let content = content.trim_start_matches('\u{feff}').trim();
        if content.is_empty() {
            continue;
        }
        records.push(parse_line(content).map_err(|error| match error {
            LineError::Syntax(reason) => Error::Syntax { path, line, reason },
            LineError::Field(field, reason) => Error::Field {
                path,
                line,
                field,
                reason,
            },
        })?);
    }
    Ok(records)
}

/// Writes one line of JSON for every item, on the disk when it returns.
pub(crate) fn write_lines<T: Serialize>(
    path: &Path,
    items: impl IntoIterator<Item = T>,
) -> Result<(), crate::Error> {
    let write = || {
        let mut lines = BufWriter::new(File::create(path)?);
        for item in items {
            writeln!(lines, "{}", serde_json::to_string(&item)?)?;
        }
        lines.into_inner()?.sync_all()
    };
    write().map_err(crate::Error::io(path))
}

fn parse_line(line: &str) -> Result<Record, LineError> {
    record(&parse_fields(line)?)
}

/// The dict of a line, whichever of the two ways it is written in.
pub(crate) fn parse_fields(line: &str) -> Result<Map<String, Value>, LineError> {
    let value = match serde_json::from_str(line) {
        Ok(value) => value,
        // Python's dicts are tried second: a line of JSON is the common case, and no dict with strings is both.
        Err(json) => literal::parse(line)
            .map_err(|python| LineError::Syntax(format!("as JSON, {json}; as Python, {python}")))?,
    };
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(LineError::Syntax("the line is no dict".to_owned())),
    }
}

/// The record that a dict holds.
pub(crate) fn record(fields: &Map<String, Value>) -> Result<Record, LineError> {
    let tail = object(fields, "t")?;
    Ok(Record {
        img_id: string(fields, "img_id", "img_id")?,
        text: match fields.get("text") {
            Some(_) => string(fields, "text", "text")?,
            None => strings(fields, "token", "token")?.join(" "),
        },
        token: strings(fields, "token", "token")?,
        h: head(object(fields, "h")?)?,
        t: Tail {
            name: joined(tail, "name", "t.name")?,
            pos: bbox(tail)?,
        },
        relation: string(fields, "relation", "relation")?,
        trace: match fields.get("trace") {
            None | Some(Value::Null) => None,
            Some(_) => Some(string(fields, "trace", "trace")?),
        },
    })
}

fn field<'a>(
    fields: &'a Map<String, Value>,
    key: &str,
    name: &'static str,
) -> Result<&'a Value, LineError> {
    fields
        .get(key)
        .ok_or_else(|| LineError::Field(name, "is missing".to_owned()))
}

fn object<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a Map<String, Value>, LineError> {
    match field(fields, name, name)? {
        Value::Object(inner) => Ok(inner),
        other => Err(wrong(name, "a dict", other)),
    }
}

fn string(fields: &Map<String, Value>, key: &str, name: &'static str) -> Result<String, LineError> {
    match field(fields, key, name)? {
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong(name, "a string", other)),
    }
}

/// A string; a list of strings counts as one with blanks between.
fn joined(fields: &Map<String, Value>, key: &str, name: &'static str) -> Result<String, LineError> {
    match fields.get(key) {
        Some(Value::Array(_)) => Ok(strings(fields, key, name)?.join(" ")),
        _ => string(fields, key, name),
    }
}

/// A list of strings; one string counts as its words.
fn strings(
    fields: &Map<String, Value>,
    key: &str,
    name: &'static str,
) -> Result<Vec<String>, LineError> {
    match field(fields, key, name)? {
        Value::String(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                other => Err(wrong(name, "a list of strings", other)),
            })
            .collect(),
        other => Err(wrong(name, "a list of strings", other)),
    }
}

/// An entity of the text.
pub(crate) fn head(fields: &Map<String, Value>) -> Result<Head, LineError> {
    Ok(Head {
        name: strings(fields, "name", "h.name")?,
        pos: span(fields)?,
    })
}

/// The token span of the entity.
fn span(head: &Map<String, Value>) -> Result<[usize; 2], LineError> {
    const NAME: &str = "h.pos";
    let [start, end] = numbers(head, "pos", NAME)?;
    if start < 0.0 || start.fract() != 0.0 || end.fract() != 0.0 || end < start {
        let reason = format!("[{start}, {end}] is no token span");
        return Err(LineError::Field(NAME, reason));
    }
    Ok([start as usize, end as usize])
}

/// The box of the object, under `pos` or under `box`.
fn bbox(tail: &Map<String, Value>) -> Result<[f64; 4], LineError> {
    let has = |key| tail.get(key).is_some_and(|it| !it.is_null());
    if has("pos") {
        numbers(tail, "pos", "t.pos")
    } else if has("box") {
        numbers(tail, "box", "t.box")
    } else {
        Err(LineError::Field(
            "t.pos",
            "is missing, and so is `t.box`".to_owned(),
        ))
    }
}

/// Exactly `N` finite numbers, each as such or as a string.
fn numbers<const N: usize>(
    fields: &Map<String, Value>,
    key: &str,
    name: &'static str,
) -> Result<[f64; N], LineError> {
    let Value::Array(items) = field(fields, key, name)? else {
        return Err(wrong(name, "a list of numbers", &fields[key]));
    };
    let numbers: Vec<f64> = items
        .iter()
        .map(|item| {
            let number = match item {
                Value::Number(number) => number.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            number
                .filter(|number| number.is_finite())
                .ok_or_else(|| wrong(name, "a finite number", item))
        })
        .collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|numbers: Vec<f64>| {
        LineError::Field(name, format!("has {} numbers, expected {N}", numbers.len()))
    })
}

fn wrong(name: &'static str, expected: &str, found: &Value) -> LineError {
    let found = found.to_string();
    let short: String = found.chars().take(40).collect(); // enough to recognise it in a message
    LineError::Field(name, format!("expected {expected}, found {short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = "{'img_id': 'a.jpg', 'text': \"Italy's Storm\", 'token': ['Italy', \"'s\", 'Storm'], \
        'h': {'name': ['Italy'], 'pos': [0, 1]}, \
        't': {'name': 'barbara', 'pos': ('0.439167','0.130326','0.075','0.185464')}, \
        'relation': '/per/misc/present_in'}";

    #[test]
    fn reads_the_lines_of_the_data_set() {
        let record = parse_line(PYTHON).expect("a line as published");
        assert_eq!(record.text, "Italy's Storm");
        assert_eq!(record.entity(), "Italy");
        assert_eq!(
            format!("{:?}", record.bbox()),
            "[0.439167, 0.130326, 0.075, 0.185464]"
        );
        assert_eq!(record.trace, None);
    }

    #[test]
    fn reads_box_and_plain_numbers() {
        let line = PYTHON.replace(
            "'pos': ('0.439167','0.130326','0.075','0.185464')",
            "'box': [0.5, 0.5, 1, 1]",
        );
        let record = parse_line(&line).expect("another key");
        assert_eq!(format!("{:?}", record.bbox()), "[0.5, 0.5, 1.0, 1.0]");
    }

    #[test]
    fn a_key_without_a_value_is_none() {
        let line = PYTHON.replace("'pos': ('0.4", "'pos': None, 'box': ('0.4");
        assert_eq!(parse_line(&line), parse_line(PYTHON));
        let line = PYTHON.replace(
            "'pos': ('0.439167','0.130326','0.075','0.185464')",
            "'pos': None",
        );
        assert!(matches!(
            parse_line(&line),
            Err(LineError::Field("t.pos", _))
        ));
    }

    #[test]
    fn a_name_may_be_a_list() {
        let line = PYTHON.replace("'barbara'", "['barbara', 'ann']");
        assert_eq!(parse_line(&line).expect("two words").t.name, "barbara ann");
    }

    #[test]
    fn a_mark_before_the_first_line_is_skipped() {
        let lines = format!("\u{feff}{PYTHON}\r\n\n{PYTHON}\n");
        let records = records_of(Path::new("x"), lines.as_bytes()).expect("two lines");
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn bytes_that_are_no_text_have_a_line() {
        let lines = [PYTHON.as_bytes(), b"\n\xff\n"].concat();
        let error = records_of(Path::new("x"), &lines[..]).expect_err("no UTF-8");
        assert!(error.to_string().starts_with("x, line 2: "), "{error}");
    }

    #[test]
    fn images_lie_in_their_folder() {
        let place = |name: &str| {
            let record = Record {
                img_id: name.to_owned(),
                ..Record::example()
            };
            record.image_in(Path::new("images"))
        };
        assert_eq!(place("a.jpg"), Ok(PathBuf::from("images/a.jpg")));
        assert_eq!(place("one/a.jpg"), Ok(PathBuf::from("images/one/a.jpg")));
        for name in ["", ".", "./a.jpg", "../a.jpg", "one/../../a.jpg", "/a.jpg"] {
            let reason = place(name).expect_err("no plain name");
            assert!(reason.contains("no plain name"), "{reason}");
        }
    }

    #[test]
    fn json_comes_back() {
        let mut record = parse_line(PYTHON).expect("a line as published");
        record.trace = Some("<think> …".to_owned());
        let line = serde_json::to_string(&record).expect("plain data");
        assert_eq!(parse_line(&line), Ok(record));
    }

    #[test]
    fn errors_name_the_field() {
        let cases = [
            (PYTHON.replace("'img_id'", "'image'"), "img_id"),
            (PYTHON.replace("[0, 1]", "[0]"), "h.pos"),
            (PYTHON.replace("[0, 1]", "[1, 0]"), "h.pos"),
            (PYTHON.replace("'0.075'", "'wide'"), "t.pos"),
            (PYTHON.replace("'0.075'", "'nan'"), "t.pos"),
            (PYTHON.replace("['Italy']", "[3]"), "h.name"),
            (PYTHON.replace("'barbara'", "None"), "t.name"),
        ];
        for (line, expected) in cases {
            match parse_line(&line) {
                Err(LineError::Field(field, _)) => assert_eq!(field, expected, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(matches!(parse_line("{'a': "), Err(LineError::Syntax(_))));
        assert!(matches!(parse_line("[1, 2]"), Err(LineError::Syntax(_))));
    }
}
