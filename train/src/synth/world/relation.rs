//! The relations as Rust values, so that tables and rules cannot misspell a label. Says nothing about who has them.

/// A relation of the MORE ontology that is not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Two persons compete.
    Opponent,
    /// Two persons cooperate.
    Partner,
    /// Two persons are family.
    Relatives,
    /// A person and a nickname.
    Alias,
    /// A person competes with an organisation.
    OpposedTo,
    /// A person leads an organisation.
    LeaderOf,
    /// A person belongs to an organisation.
    MemberOf,
    /// A person was born in a place.
    Birth,
    /// A person lives in a place or has come to it.
    Residence,
    /// A person governs a place.
    Governance,
    /// A person takes part in an event.
    PresentIn,
    /// A person was given an award.
    Awarded,
    /// A person belongs to a political camp.
    Party,
    /// A person has a nationality.
    Nationality,
    /// A person presides over something.
    President,
    /// An organisation and a nickname.
    OrgAlias,
    /// An organisation is part of another.
    Subsidiary,
    /// An organisation is at home in a place.
    LocateAt,
    /// An organisation takes part in an event.
    OrgPresentIn,
    /// One place contains the other.
    Contain,
}

impl Relation {
    /// Every relation, in the order of the ontology.
    pub const ALL: [Self; 20] = [
        Self::Opponent,
        Self::Partner,
        Self::Relatives,
        Self::Alias,
        Self::OpposedTo,
        Self::LeaderOf,
        Self::MemberOf,
        Self::Birth,
        Self::Residence,
        Self::Governance,
        Self::PresentIn,
        Self::Awarded,
        Self::Party,
        Self::Nationality,
        Self::President,
        Self::OrgAlias,
        Self::Subsidiary,
        Self::LocateAt,
        Self::OrgPresentIn,
        Self::Contain,
    ];

    /// The label as the ontology writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Opponent => "/per/per/opponent",
            Self::Partner => "/per/per/partner",
            Self::Relatives => "/per/per/relatives",
            Self::Alias => "/per/per/alternate_names",
            Self::OpposedTo => "/per/org/opposed_to",
            Self::LeaderOf => "/per/org/leader_of",
            Self::MemberOf => "/per/org/member_of",
            Self::Birth => "/per/loc/place_of_birth",
            Self::Residence => "/per/loc/place_of_residence",
            Self::Governance => "/per/loc/place_of_governance",
            Self::PresentIn => "/per/misc/present_in",
            Self::Awarded => "/per/misc/awarded",
            Self::Party => "/per/misc/party",
            Self::Nationality => "/per/misc/nationality",
            Self::President => "/per/misc/president",
            Self::OrgAlias => "/org/org/alternate_names",
            Self::Subsidiary => "/org/org/subsidiary",
            Self::LocateAt => "/org/loc/locate_at",
            Self::OrgPresentIn => "/org/misc/present_in",
            Self::Contain => "/loc/loc/contain",
        }
    }
}
