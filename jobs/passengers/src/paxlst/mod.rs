//! PAXLST: passenger and crew lists (API), of UN/EDIFACT's directories D.02B to D.16B.
//!
//! The groups follow the WCO/IATA/ICAO implementation guide: the reporting party, the flight with its ports, each
//! traveller (NAD) with what belongs to it, and each document (DOC) with its dates and issuer. A code that the guide
//! does not have is kept and becomes an issue. Start at [`read`].

mod reader;

pub use reader::read;
