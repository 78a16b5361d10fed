//! What a detector sees of the archive's images: squares of one size, with what is known of them.
//!
//! [`images`] is the query over the table, [`tiles`] cuts what is too large, [`squares`] are the shards' files and
//! [`squares_operator`] writes them.

pub mod images;
pub mod sections;
pub mod squares;
pub mod squares_operator;
pub mod tiles;
