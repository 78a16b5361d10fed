//! The fit of the classifiers on the collective.
//!
//! Classifiers are partitioned over the shards, not the texts: every worker holds all distinct training texts (at most
//! [`Parameters::most_texts`]), and a shard trains its share of each round's classifiers on all of them. So nothing is
//! averaged, and the model is the same, byte for byte, for any number of shards and workers. This is the division by
//! label of Babbar and Schölkopf, "DiSMEC", WSDM 2017, section 2.1. A round is a range of classifiers of about equal
//! cost; after each one the leader can be restored from its checkpoint. Start at [`ClassifierLeader`].

mod corpus;
mod leader;
mod parameters;
mod shard;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use corpus::Corpus;
pub use leader::ClassifierLeader;
pub use parameters::Parameters;
pub use shard::{ClassifierShards, LEARNER, Layout};

/// A shard over a corpus, as its loader makes it.
#[cfg(test)]
pub(crate) fn shard_of(
    number: u32,
    layout: Layout,
    corpus: std::sync::Arc<Corpus>,
) -> Box<dyn tidewaiter_collective::Shard> {
    Box::new(shard::ClassifierShard { number, layout, corpus })
}
