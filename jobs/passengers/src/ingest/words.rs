//! The words by which tables name what records are.

use crate::records::{AgeClass, ContactKind, ContactRole, DocumentKind, Sex, TravellerKind};

/// The kind of a contact that is a frequent flyer number.
pub(super) const FREQUENT_FLYER: &str = "frequent flyer";

pub(super) fn of_traveller(kind: TravellerKind) -> &'static str {
    match kind {
        TravellerKind::Passenger => "passenger",
        TravellerKind::Crew => "crew",
        TravellerKind::TransitPassenger => "transit passenger",
        TravellerKind::TransitCrew => "transit crew",
    }
}

/// Empty where the age class is not known.
pub(super) fn of_age(age: AgeClass) -> &'static str {
    match age {
        AgeClass::Unknown => "",
        AgeClass::Adult => "adult",
        AgeClass::Child => "child",
        AgeClass::Infant => "infant",
    }
}

pub(super) fn of_sex(sex: Sex) -> &'static str {
    match sex {
        Sex::Male => "M",
        Sex::Female => "F",
        Sex::Other => "X",
    }
}

pub(super) fn of_document(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Passport => "passport",
        DocumentKind::Visa => "visa",
        DocumentKind::Identity => "identity",
        DocumentKind::Crew => "crew",
        DocumentKind::Military => "military",
        DocumentKind::Permit => "permit",
        DocumentKind::Other => "other",
    }
}

pub(super) fn of_contact(kind: ContactKind) -> &'static str {
    match kind {
        ContactKind::Phone => "phone",
        ContactKind::Email => "email",
        ContactKind::Address => "address",
    }
}

pub(super) fn of_role(role: ContactRole) -> &'static str {
    match role {
        ContactRole::Traveller => "traveller",
        ContactRole::Payer => "payer",
        ContactRole::Reporter => "reporter",
    }
}
