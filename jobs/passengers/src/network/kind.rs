//! The kinds of links between travellers.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What two travellers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A booking.
    Travel,
    /// A telephone or an e-mail address.
    Contact,
    /// A payment account.
    Payment,
    /// A postal address.
    Address,
    /// A travel document.
    Document,
    /// The agency that made the booking.
    Agency,
}

impl Kind {
    /// All kinds, by their numbers.
    pub const ALL: [Self; 6] =
        [Self::Travel, Self::Contact, Self::Payment, Self::Address, Self::Document, Self::Agency];

    /// Its name in tables and exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Travel => "travel",
            Self::Contact => "contact",
            Self::Payment => "payment",
            Self::Address => "address",
            Self::Document => "document",
            Self::Agency => "agency",
        }
    }

    /// What two travellers have in common, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Travel => "travelled in one booking",
            Self::Contact => "same telephone or e-mail",
            Self::Payment => "same payment account",
            Self::Address => "same address",
            Self::Document => "same travel document",
            Self::Agency => "booked at the same agency",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How much one thing of the kind that two travellers share says, against one booking.
    #[must_use]
    pub fn weight(self) -> f32 {
        match self {
            Self::Travel | Self::Contact | Self::Payment => 1.0,
            Self::Address => 0.7,
            Self::Document => 2.0,
            Self::Agency => 0.2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_their_names_and_numbers() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!((Kind::of_name(kind.name()), kind as usize), (Some(kind), number));
        }
        assert_eq!(Kind::of_name("friend"), None);
    }
}
