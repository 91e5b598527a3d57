//! What can be wrong with a field of a question; every variant knows the field it is about. Decides no status.

use std::borrow::Cow;

use vision::BoxError;

/// What is wrong with a field.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// Not there.
    #[error("the field `{field}` is missing")]
    Missing {
        /// Its name.
        field: Cow<'static, str>,
    },
    /// Not known.
    #[error("there is no field `{field}`; there are {known}")]
    Unknown {
        /// Its name.
        field: String,
        /// The names of those that are.
        known: String,
    },
    /// There more than once.
    #[error("the field `{field}` is given twice")]
    Duplicate {
        /// Its name.
        field: String,
    },
    /// Of a wrong type or form.
    #[error("{field}: {reason}")]
    Invalid {
        /// Its name.
        field: Cow<'static, str>,
        /// What is wrong with it.
        reason: String,
    },
    /// There without content.
    #[error("{field} is empty")]
    Empty {
        /// Its name.
        field: &'static str,
    },
    /// More characters than allowed.
    #[error("{field} has {got} characters, the limit is {limit}")]
    TooLong {
        /// Its name.
        field: &'static str,
        /// How many there are.
        got: usize,
        /// How many may be.
        limit: usize,
    },
    /// More of something than allowed.
    #[error("{field}: {got} are too many, the limit is {limit}")]
    TooMany {
        /// Its name.
        field: &'static str,
        /// How many there are.
        got: usize,
        /// How many may be.
        limit: usize,
    },
    /// An image could not be had from its address.
    #[error("image: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The entity is no part of the text.
    #[error(
        "entity does not occur in text (compared without regard to case, runs of white space as one space)"
    )]
    EntityNotInText,
    /// The box is unusable in this image.
    #[error("{0}")]
    Box(#[from] BoxError),
    /// The image, or its cut-out, is unusable.
    #[error("{field}: {source}")]
    Image {
        /// `image`, or `bbox` when it is the cut-out.
        field: &'static str,
        /// Why.
        source: vision::Error,
    },
}

impl FieldError {
    /// The field at fault.
    pub fn field(&self) -> &str {
        match self {
            Self::Missing { field } | Self::Invalid { field, .. } => field,
            Self::Unknown { field, .. } | Self::Duplicate { field } => field,
            Self::Empty { field }
            | Self::TooLong { field, .. }
            | Self::TooMany { field, .. }
            | Self::Image { field, .. } => field,
            Self::Unreachable { .. } => "image",
            Self::EntityNotInText => "entity",
            Self::Box(BoxError::UnknownFormat { .. }) => "box_format",
            Self::Box(_) => "bbox",
        }
    }

    /// The limit that was broken, where it is a whole number.
    pub fn limit(&self) -> Option<u64> {
        match self {
            Self::TooLong { limit, .. } | Self::TooMany { limit, .. } => Some(*limit as u64),
            Self::Box(BoxError::Outside { limit, .. }) => Some(u64::from(*limit)),
            Self::Image { source, .. } => match source {
                vision::Error::TooManyBytes { limit, .. } => Some(*limit as u64),
                vision::Error::SideTooLong { limit, .. }
                | vision::Error::AspectRatio { limit, .. } => Some(u64::from(*limit)),
                vision::Error::TooManyPixels { limit, .. } => Some(*limit),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
        }
    }
}
