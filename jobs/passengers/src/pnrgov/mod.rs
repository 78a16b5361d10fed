//! PNRGOV: bookings (PNR) as airlines send them to governments, in the IATA/WCO implementation guide's versions 10.1 to
//! 13.1.
//!
//! A message has any number of bookings, each with its travellers, then its legs with seats and bags, then its history.
//! Documents are matched to travellers when a booking is complete, as an infant's stands with the adult's; history is
//! counted and not mixed with what is valid. Start at [`read`].

mod booking;
mod contacts;
mod documents;
mod fares;
mod reader;

pub use reader::read;
