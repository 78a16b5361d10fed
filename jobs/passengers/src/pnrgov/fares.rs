//! Tickets, fares and payments of a booking (TKT, MON, FOP).

use super::reader::Reader;
use crate::{
    edifact::{IssueKind, Segment},
    records::{Payment, Ticket},
};

impl Reader<'_> {
    pub(super) fn ticket(&mut self, segment: Segment<'_>) {
        let ticket = Ticket {
            traveller: self.open.traveller,
            booking: self.open.booking,
            number: segment.get(1, 0).to_owned(),
            segment: segment.number(),
            ..Ticket::default()
        };
        self.records().tickets.push(ticket);
    }

    /// MON: the fare of the ticket before it, without (B) and with (T) taxes.
    pub(super) fn fare(&mut self, segment: Segment<'_>) {
        for element in 1..=segment.elements() {
            let amount = self.context.amount(segment, segment.get(element, 1));
            let Some(ticket) = self.context.records.tickets.last_mut() else {
                return self.context.keep(segment, IssueKind::MisplacedSegment);
            };
            match segment.get(element, 0) {
                "B" => ticket.base = amount,
                "T" => ticket.total = amount,
                _ => continue,
            }
            segment.get(element, 2).clone_into(&mut ticket.currency);
        }
    }

    pub(super) fn payment(&mut self, segment: Segment<'_>) {
        let (traveller, booking) = (self.open.traveller, self.open.booking);
        for element in 1..=segment.elements() {
            let form = segment.get(element, 0);
            if !FORMS.contains(&form) {
                self.context.issue(
                    segment,
                    IssueKind::UnknownCode,
                    format!("{form:?} is no form of payment"),
                );
            }
            let amount = self.context.amount(segment, segment.get(element, 2));
            let records = &mut self.context.records;
            let ticket = records.tickets.last().filter(|ticket| ticket.traveller == traveller);
            let payment = Payment {
                traveller,
                booking,
                form: form.to_owned(),
                vendor: segment.get(element, 3).to_owned(),
                account: segment.get(element, 4).to_owned(),
                expires: segment.get(element, 5).to_owned(),
                amount,
                currency: ticket.map_or(String::new(), |ticket| ticket.currency.clone()),
                payer: String::new(),
                segment: segment.number(),
            };
            records.payments.push(payment);
        }
    }
}

/// Forms of payment (code list 9888).
const FORMS: [&str; 10] = ["CC", "CA", "CK", "GR", "MS", "DP", "EX", "IN", "NR", "TK"];
