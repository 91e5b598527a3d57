//! The closed list of relations and the entity types they connect. Knows nothing of prompts or answers.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The label that says "no relation"; every ontology has it and it alone carries no types.
pub const NONE: &str = "none";

/// A named, closed set of relation labels over a small set of entity types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ontology {
    /// Short name, `more` for the default.
    #[schema(example = "more")]
    pub name: String,
    /// The types an object or an entity can have.
    pub types: Vec<EntityType>,
    /// The relations, in the order in which prompts and candidates list them.
    pub labels: Vec<Label>,
}

/// One type of object or entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityType {
    /// Code used inside labels, such as `per`.
    #[schema(example = "per")]
    pub name: String,
    /// The word a prompt explains the code with, such as `person`.
    #[schema(example = "person")]
    pub description: String,
}

/// One relation. The object is what the photo shows, the entity what the text names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Full name, such as `/per/org/member_of`, or `none`.
    #[schema(example = "/per/org/member_of")]
    pub name: String,
    /// Type of the object; absent only for `none`.
    pub object_type: Option<String>,
    /// Type of the entity; absent only for `none`.
    pub entity_type: Option<String>,
    /// What the relation means, in one clause.
    pub definition: String,
}

/// Every way an ontology file can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum OntologyError {
    /// The text is no JSON, or not of this shape.
    #[error("the ontology is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// Type names end up inside labels and sentences, so they are plain words.
    #[error(
        "the entity type name {name:?} is empty or holds a character other than a-z, A-Z, 0-9 and `_`"
    )]
    TypeName {
        /// The name as given.
        name: String,
    },
    /// Two types share a name.
    #[error("the entity type {name:?} is listed twice")]
    DuplicateType {
        /// The repeated name.
        name: String,
    },
    /// Two labels share a name.
    #[error("the label {name:?} is listed twice")]
    DuplicateLabel {
        /// The repeated name.
        name: String,
    },
    /// The label that stands for "no relation" is absent.
    #[error("the label \"none\" is missing")]
    MissingNone,
    /// `none` carries a type, or another label lacks one.
    #[error(
        "the label {name:?} needs {needs}, it has object type {object_type:?} and entity type {entity_type:?}"
    )]
    TypeCount {
        /// The label.
        name: String,
        /// What this label should carry.
        needs: &'static str,
        /// Its object type.
        object_type: Option<String>,
        /// Its entity type.
        entity_type: Option<String>,
    },
    /// A label names a type the ontology does not list.
    #[error("the label {label:?} uses the entity type {name:?}, which is not listed")]
    UnknownType {
        /// The label.
        label: String,
        /// The unlisted type.
        name: String,
    },
    /// A label's name does not repeat its own types.
    #[error("the label {label:?} should read {expected:?} followed by a plain word")]
    LabelName {
        /// The label as given.
        label: String,
        /// The beginning its types ask for.
        expected: String,
    },
}

impl Ontology {
    /// The 21 labels of the MORE data set.
    ///
    /// # Panics
    /// Never: the embedded file is checked by the tests of this crate.
    pub fn more() -> &'static Self {
        static MORE: LazyLock<Ontology> = LazyLock::new(|| {
            Ontology::from_json(include_str!("../data/more.json"))
                .expect("the embedded ontology is tested")
        });
        &MORE
    }

    /// Reads and validates an ontology.
    ///
    /// # Errors
    /// When the JSON is malformed, a name repeats, `none` is missing, or a label disagrees with its own types.
    pub fn from_json(json: &str) -> Result<Self, OntologyError> {
        let ontology: Self = serde_json::from_str(json)?;
        ontology.validate()?;
        Ok(ontology)
    }

    /// The label of this name; a missing leading slash is forgiven, since the paper's own prompt sheet drops it once.
    pub fn find(&self, name: &str) -> Option<&Label> {
        self.labels.iter().find(|label| {
            label.name == name
                || label
                    .name
                    .strip_prefix('/')
                    .is_some_and(|bare| bare == name)
        })
    }

    /// Where the label of this full name stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.labels.iter().position(|label| label.name == name)
    }

    /// Names of the labels possible between these types, in ontology order, `none` always last.
    pub fn candidates(&self, object_type: &str, entity_type: &str) -> Vec<&str> {
        self.labels
            .iter()
            .filter(|label| {
                label.object_type.as_deref() == Some(object_type)
                    && label.entity_type.as_deref() == Some(entity_type)
            })
            .map(|label| label.name.as_str())
            .chain(std::iter::once(NONE))
            .collect()
    }

    /// BLAKE3 of the ontology as compact JSON with its fields in declaration order, in hexadecimal.
    ///
    /// # Panics
    /// Never: strings and lists always serialise.
    pub fn hash(&self) -> String {
        let canonical = serde_json::to_vec(self).expect("strings and lists always serialise");
        blake3::hash(&canonical).to_hex().to_string()
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// When a name repeats, `none` is missing, or a label disagrees with its own types.
    pub fn validate(&self) -> Result<(), OntologyError> {
        let mut types = HashSet::new();
        for EntityType { name, .. } in &self.types {
            // The reader of step 4 takes a hyphen for the end of a word.
            if !is_plain_word(name) || name.contains('-') {
                return Err(OntologyError::TypeName { name: name.clone() });
            }
            if !types.insert(name.as_str()) {
                return Err(OntologyError::DuplicateType { name: name.clone() });
            }
        }
        let mut labels = HashSet::new();
        for label in &self.labels {
            if !labels.insert(label.name.as_str()) {
                return Err(OntologyError::DuplicateLabel {
                    name: label.name.clone(),
                });
            }
            label.validate(&types)?;
        }
        if labels.contains(NONE) {
            Ok(())
        } else {
            Err(OntologyError::MissingNone)
        }
    }
}

impl Label {
    fn validate(&self, types: &HashSet<&str>) -> Result<(), OntologyError> {
        let count = |needs| OntologyError::TypeCount {
            name: self.name.clone(),
            needs,
            object_type: self.object_type.clone(),
            entity_type: self.entity_type.clone(),
        };
        let (object_type, entity_type) = match (&self.object_type, &self.entity_type) {
            (None, None) if self.name == NONE => return Ok(()),
            _ if self.name == NONE => return Err(count("no types")),
            (Some(object_type), Some(entity_type)) => (object_type, entity_type),
            _ => return Err(count("both types")),
        };
        if let Some(name) = [object_type, entity_type]
            .into_iter()
            .find(|name| !types.contains(name.as_str()))
        {
            return Err(OntologyError::UnknownType {
                label: self.name.clone(),
                name: name.clone(),
            });
        }
        let expected = format!("/{object_type}/{entity_type}/");
        if self.name.strip_prefix(&expected).is_some_and(is_plain_word) {
            Ok(())
        } else {
            Err(OntologyError::LabelName {
                label: self.name.clone(),
                expected,
            })
        }
    }
}

fn is_plain_word(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
