//! How well objects and illicit images are found.
//!
//! [`average_precision`] for boxes, [`operating`] for images and false alarms, [`figures`] for all of a model's months.

pub mod average_precision;
pub mod figures;
pub mod operating;
