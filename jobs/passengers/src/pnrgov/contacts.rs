//! Addresses, telephones, e-mail and free text of a booking (ADD, IFT, SSR DOCA).

use std::borrow::Cow;

use super::{documents, reader::Reader};
use crate::{
    edifact::{IssueKind, Segment},
    free_text::{self, Found},
    records::{Contact, ContactKind, ContactRole, Index, Remark},
};

impl Reader<'_> {
    /// ADD: an address, with telephones in its last component.
    pub(super) fn address(&mut self, segment: Segment<'_>) {
        let (traveller, booking, number) = (self.open.traveller, self.open.booking, segment.number());
        let contact = Contact { traveller, booking, segment: number, ..Contact::default() };
        for element in 2..=segment.elements() {
            let get = |component| segment.get(element, component);
            let mut components = segment.components(element).skip(7);
            let mut last = components.next().unwrap_or_default().to_owned();
            for component in components {
                last.push(' ');
                last.push_str(component);
            }
            let digits = last.bytes().filter(u8::is_ascii_digit).count();
            let is_phone = digits >= 5;
            if !is_phone && !last.is_empty() && get(6).is_empty() {
                self.context.issue(
                    segment,
                    IssueKind::MisplacedValue,
                    "the postcode stands in the place of the telephone",
                );
            }
            let postcode = if get(6).is_empty() && !is_phone { last.as_str() } else { get(6) };
            let region = if get(3).is_empty() { get(4) } else { get(3) };
            if !get(1).is_empty() || !get(2).is_empty() {
                let address = Contact {
                    kind: ContactKind::Address,
                    value: get(1).to_owned(),
                    city: get(2).to_owned(),
                    region: region.to_owned(),
                    postcode: postcode.to_owned(),
                    country: self.context.country(segment, get(5)),
                    ..contact.clone()
                };
                self.records().contacts.push(address);
            }
            if is_phone {
                let phones = free_text::phones(&last).map(|value| Contact { value, ..contact.clone() });
                self.context.records.contacts.extend(phones);
            }
        }
    }

    /// IFT: a contact (28), the payer (43), or text.
    pub(super) fn free_text(&mut self, segment: Segment<'_>) {
        let code = segment.get(1, 1);
        let texts: Vec<Cow<'_, str>> =
            (2..=segment.elements()).map(|element| segment.rest(element, 0)).collect();
        if code == "43" {
            return self.payer(segment, &texts);
        }
        let text = texts.join(" ");
        if !self.contact(segment, &text) && !text.is_empty() {
            self.remark(segment, self.open.traveller, &format!("IFT {code}"), text);
        }
    }

    /// Keeps the contact of a text, if it has one.
    pub(super) fn contact(&mut self, segment: Segment<'_>, text: &str) -> bool {
        let Some(found) = free_text::contact(text) else { return false };
        let (kind, value) = match found {
            Found::Email(value) => (ContactKind::Email, value),
            Found::Phone(value) => (ContactKind::Phone, value),
        };
        let (traveller, booking, segment) = (self.open.traveller, self.open.booking, segment.number());
        self.records().contacts.push(Contact {
            traveller,
            booking,
            kind,
            value,
            segment,
            ..Contact::default()
        });
        true
    }

    /// Name, address and telephone of who paid.
    pub(super) fn payer(&mut self, segment: Segment<'_>, texts: &[Cow<'_, str>]) {
        let (traveller, booking) = (self.open.traveller, self.open.booking);
        let contact = Contact {
            traveller,
            booking,
            role: ContactRole::Payer,
            segment: segment.number(),
            ..Contact::default()
        };
        let text = |at: usize| texts.get(at).map_or("", |text| &**text);
        if let Some(payment) = self.records().payments.last_mut().filter(|it| it.traveller == traveller) {
            text(0).clone_into(&mut payment.payer);
        }
        if !text(1).is_empty() {
            let address =
                Contact { kind: ContactKind::Address, value: text(1).to_owned(), ..contact.clone() };
            self.records().contacts.push(address);
        }
        if let Some(value) = free_text::phone(text(2)) {
            self.records().contacts.push(Contact { value, ..contact });
        }
    }

    pub(super) fn remark(
        &mut self,
        segment: Segment<'_>,
        traveller: Option<Index>,
        code: &str,
        text: String,
    ) {
        let (booking, segment) = (self.open.booking, segment.number());
        self.records().remarks.push(Remark { booking, traveller, code: code.to_owned(), text, segment });
    }

    /// DOCA: `/D/AUS/STREET/CITY/REGION/POSTCODE`, an address of residence or destination.
    pub(super) fn stay(&mut self, segment: Segment<'_>, own: Option<Index>) {
        let text = documents::service_text(segment);
        let [_, _, country, street, city, region, postcode] = documents::parts(&text);
        let reference = documents::service_reference(segment);
        let country = self.context.country(segment, country);
        let contact = Contact {
            traveller: self.open.by_reference(&self.context.records, reference).or(own),
            booking: self.open.booking,
            kind: ContactKind::Address,
            value: street.to_owned(),
            city: city.to_owned(),
            region: region.to_owned(),
            postcode: postcode.to_owned(),
            country,
            segment: segment.number(),
            ..Contact::default()
        };
        self.records().contacts.push(contact);
    }
}
