//! Large messages travel as pieces, so that no message is large and none makes others wait for long.
//!
//! The bytes of a contribution, an instruction or a history that are more than [`MOST_BYTES`] are preceded by messages
//! that hold nothing but their beginning, in order; the message itself has the rest. Promises: cutting copies nothing,
//! so that an instruction to many workers is in memory once; [`Joiner`] gives the message that was cut, wherever it was
//! cut. The values of a mean need no pieces: they are fetched part by part ([`crate::mean`]).

use bytes::Bytes;
use tidewaiter_proto::v1::{
    Averaged, Contribution, Gathered, LeaderMessage, ShardAnswer, ShardValues, WorkerMessage,
    contribution::Answer, leader_message, worker_message,
};

/// The most bytes of one message, about. At 100 Mbit/s it takes a third of a second, less than heartbeats are apart.
pub(crate) const MOST_BYTES: usize = 4 << 20;

/// A worker's message as messages of at most `most` bytes, not counting the numbers of shards.
pub(crate) fn cut_of_worker(message: WorkerMessage, most: usize) -> Vec<WorkerMessage> {
    let whole = |message| WorkerMessage { message: Some(message) };
    match message.message {
        Some(worker_message::Message::Contribution(contribution)) => {
            let mut cut = Vec::new();
            for mut part in by_shard(contribution, most) {
                if let Some(bytes) = bytes_of(&mut part) {
                    cut.extend(cut_off(bytes, most).map(worker_message::Message::Piece).map(whole));
                }
                cut.push(whole(worker_message::Message::Contribution(part)));
            }
            cut
        }
        message => vec![WorkerMessage { message }],
    }
}

/// A leader's message as messages of at most `most` bytes, not counting the numbers of shards.
pub(crate) fn cut_of_leader(mut message: LeaderMessage, most: usize) -> Vec<LeaderMessage> {
    let bytes = match &mut message.message {
        Some(leader_message::Message::Assign(assign)) => Some(&mut assign.history),
        Some(leader_message::Message::Instruct(instruct)) => Some(&mut instruct.payload),
        _ => None,
    };
    let pieces = bytes.into_iter().flat_map(|bytes| cut_off(bytes, most));
    let piece = |piece| LeaderMessage { message: Some(leader_message::Message::Piece(piece)) };
    let mut cut: Vec<_> = pieces.map(piece).collect();
    cut.push(message);
    cut
}

/// A large contribution that holds a part of each shard, shard by shard.
fn by_shard(contribution: Contribution, most: usize) -> Vec<Contribution> {
    let Contribution { round, shards, assignment, answer } = contribution;
    let parts: Vec<(u32, Answer)> = match answer {
        Some(Answer::Gathered(Gathered { answers }))
            if answers.iter().map(|answer| answer.answer.len()).sum::<usize>() > most =>
        {
            let of_shard =
                |answer: ShardAnswer| (answer.shard, Answer::Gathered(Gathered { answers: vec![answer] }));
            answers.into_iter().map(of_shard).collect()
        }
        Some(Answer::Averaged(Averaged { shards }))
            if shards.iter().map(|shard| shard.note.len() + shard.values.len()).sum::<usize>() > most =>
        {
            let of_shard =
                |shard: ShardValues| (shard.shard, Answer::Averaged(Averaged { shards: vec![shard] }));
            shards.into_iter().map(of_shard).collect()
        }
        answer => return vec![Contribution { round, shards, assignment, answer }],
    };
    let whole =
        |(shard, answer)| Contribution { round, shards: vec![shard], assignment, answer: Some(answer) };
    parts.into_iter().map(whole).collect()
}

/// The bytes of a contribution that pieces may begin.
fn bytes_of(contribution: &mut Contribution) -> Option<&mut Bytes> {
    match contribution.answer.as_mut()? {
        Answer::Sum(bytes) => Some(bytes),
        Answer::Gathered(Gathered { answers }) => answers.last_mut().map(|answer| &mut answer.answer),
        Answer::Averaged(Averaged { shards }) => shards.last_mut().map(|shard| &mut shard.note),
    }
}

/// Cuts pieces of `most` bytes off the beginning, until the rest is no longer.
fn cut_off(bytes: &mut Bytes, most: usize) -> impl Iterator<Item = Bytes> {
    let most = most.max(1);
    let mut pieces = Vec::new();
    while bytes.len() > most {
        pieces.push(bytes.split_to(most));
    }
    pieces.into_iter()
}

/// Puts the messages of one stream together again.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    pieces: Vec<Bytes>,
}

impl Joiner {
    /// The message that ends with this one; `None` after a piece.
    pub(crate) fn of_worker(&mut self, mut message: WorkerMessage) -> Option<WorkerMessage> {
        match &mut message.message {
            Some(worker_message::Message::Piece(piece)) => {
                self.pieces.push(std::mem::take(piece));
                return None;
            }
            Some(worker_message::Message::Contribution(contribution)) => {
                if let Some(bytes) = bytes_of(contribution) {
                    self.complete(bytes);
                }
            }
            _ => {}
        }
        Some(message)
    }

    /// The message that ends with this one; `None` after a piece.
    pub(crate) fn of_leader(&mut self, mut message: LeaderMessage) -> Option<LeaderMessage> {
        match &mut message.message {
            Some(leader_message::Message::Piece(piece)) => {
                self.pieces.push(std::mem::take(piece));
                return None;
            }
            Some(leader_message::Message::Assign(assign)) => self.complete(&mut assign.history),
            Some(leader_message::Message::Instruct(instruct)) => self.complete(&mut instruct.payload),
            _ => {}
        }
        Some(message)
    }

    fn complete(&mut self, last: &mut Bytes) {
        if self.pieces.is_empty() {
            return;
        }
        let mut whole = Vec::with_capacity(self.pieces.iter().map(Bytes::len).sum::<usize>() + last.len());
        for piece in self.pieces.drain(..) {
            whole.extend_from_slice(&piece);
        }
        whole.extend_from_slice(last);
        *last = Bytes::from(whole);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use tidewaiter_proto::v1::{Assign, Heartbeat, Instruct};

    use super::*;
    use crate::fit::Contribution as Merged;

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    /// Integers as bytes, of as many as were drawn.
    fn sum() -> impl Strategy<Value = Answer> {
        prop::collection::vec(any::<i64>(), 0..60)
            .prop_map(|values| Answer::Sum(values.iter().flat_map(|value| value.to_le_bytes()).collect()))
    }

    fn gathered() -> impl Strategy<Value = Answer> {
        prop::collection::vec(bytes(), 1..6).prop_map(|parts| {
            let answers = (0..).zip(parts).map(|(shard, answer)| ShardAnswer { shard, answer });
            Answer::Gathered(Gathered { answers: answers.collect() })
        })
    }

    fn merged(messages: impl IntoIterator<Item = WorkerMessage>) -> Option<Merged> {
        let (mut joiner, mut merged) = (Joiner::default(), None);
        for message in messages {
            if let Some(WorkerMessage { message: Some(worker_message::Message::Contribution(whole)) }) =
                joiner.of_worker(message)
            {
                Merged::merge_answer(&mut merged, whole.answer.expect("an answer")).expect("merges");
            }
        }
        merged
    }

    proptest! {
        #[test]
        fn a_contribution_is_the_same_in_any_pieces(answer in prop_oneof![sum(), gathered()], most in 1..300_usize) {
            let shards = match &answer {
                Answer::Gathered(gathered) => gathered.answers.iter().map(|answer| answer.shard).collect(),
                _ => vec![0],
            };
            let contribution = Contribution { round: 3, shards: shards.clone(), assignment: 1, answer: Some(answer) };
            let whole = WorkerMessage { message: Some(worker_message::Message::Contribution(contribution)) };
            let cut = cut_of_worker(whole.clone(), most);
            let mut answered: Vec<u32> = Vec::new();
            for message in &cut {
                // Numbers of shards and the like beside the bytes.
                prop_assert!(message.encoded_len() <= most + 60, "{} bytes", message.encoded_len());
                if let Some(worker_message::Message::Contribution(part)) = &message.message {
                    answered.extend(&part.shards);
                }
            }
            prop_assert_eq!(answered, shards);
            let beat = WorkerMessage { message: Some(worker_message::Message::Heartbeat(Heartbeat {})) };
            let with_heartbeats = cut.into_iter().flat_map(|message| [beat.clone(), message]);
            prop_assert_eq!(merged(with_heartbeats), merged([whole]));
        }

        #[test]
        fn a_history_and_an_instruction_are_the_same_in_any_pieces(
            history in bytes(), payload in bytes(), most in 1..300_usize
        ) {
            let assign = Assign { shards: vec![1, 2], history, number: 7 };
            let instruct = Instruct { round: 9, payload, answered: vec![1], again: false };
            let messages = [leader_message::Message::Assign(assign), leader_message::Message::Instruct(instruct)]
                .map(|message| LeaderMessage { message: Some(message) });
            let mut joiner = Joiner::default();
            let mut joined = Vec::new();
            for message in messages.iter().flat_map(|message| cut_of_leader(message.clone(), most)) {
                prop_assert!(message.encoded_len() <= most + 60, "{} bytes", message.encoded_len());
                joined.extend(joiner.of_leader(message));
            }
            prop_assert_eq!(joined, messages);
        }
    }
}
