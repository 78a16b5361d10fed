//! A detector over rows of images: [`operator`] is the plan node, [`objects`] its column of found objects, [`rows`] reads
//! its rows.

pub mod objects;
pub mod operator;
pub mod rows;
