//! Record linkage: which rows mean the same person or company.
//!
//! The way of Fellegi and Sunter ("A Theory for Record Linkage", JASA 1969): rows that share a key are compared field
//! by field, each pair becomes a pattern of levels of agreement, the patterns' frequencies give each level its weight
//! (by expectation–maximisation, so that no labelled pairs are needed), and pairs above a weight join clusters. A
//! cluster never holds two rows that contradict each other.
//!
//! 1. [`normalise`]: names in capital ASCII letters, whatever script and transliteration they come in;
//! 2. [`blocking`]: the pairs that are compared, block by block, so that memory is that of the keys and one block;
//! 3. [`compare`]: how alike two values are;
//! 4. [`weights`]: what a level of agreement is worth;
//! 5. [`cluster`]: pairs become clusters, the surest first;
//! 6. [`link`]: all of it for rows of text. Start there.
//!
//! Results depend only on the rows and the parameters, not on hashing or threads.

pub mod blocking;
pub mod cluster;
pub mod compare;
pub mod link;
pub mod normalise;
pub mod weights;
