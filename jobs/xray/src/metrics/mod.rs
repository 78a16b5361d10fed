//! How well objects and illicit images are found.
//!
//! [`average_precision`] for boxes, [`operating`] for images and false alarms.

pub mod average_precision;
pub mod operating;
