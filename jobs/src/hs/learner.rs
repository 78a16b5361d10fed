//! The fit of the classifiers on the collective: a leader that deals them, shards that learn them.
//!
//! Every shard holds the training texts (or as many as [`Parameters::most_texts`] allows) and learns its
//! share of each round's classifiers, each whole: there is nothing to average, so that the model is the
//! same, byte for byte, for any number of shards and workers. This is the division by label of Babbar and
//! Schölkopf, "DiSMEC", WSDM 2017, section 2.1. A round is a run of classifiers of about equal cost, after
//! which the leader can be restored from its checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1::ParquetFile;
use tokio::sync::OnceCell;

use super::{
    svm::{Classifier, Learner, Settings},
    texts::{Texts, read_texts},
    tree::Classes,
    vectors::{Vectors, Vocabulary},
};
use crate::{
    Archive, Error, Result,
    learning::{Contribution, Leader, Progress, Shard, collective::ShardLoader, mix},
    threads::on_cpu,
};

/// The learner's name in a fit's task.
pub const LEARNER: &str = "hs";

/// Rounds in which the classifiers are learned.
const ROUNDS: u64 = 16;

/// How the classifiers are learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// What a text on the wrong side costs beside the size of the weights; above 0.
    pub cost: f64,
    /// Most passes over the texts of a classifier; 1 or more.
    pub passes: u32,
    /// Most training texts; of more, those with the lowest hashes are taken.
    pub most_texts: u64,
    /// The seed of the order in which texts are visited.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { cost: 1.0, passes: 15, most_texts: 1_000_000, seed: 0 }
    }
}

impl Parameters {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] naming the parameter, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("cost", self.cost, self.cost > 0.0 && self.cost <= 1e6, "above 0 and at most 1000000"),
            ("passes", f64::from(self.passes), (1..=1000).contains(&self.passes), "from 1 to 1000"),
            (
                "most_texts",
                self.most_texts as f64,
                (1..=u64::from(u32::MAX)).contains(&self.most_texts),
                "from 1 to 4294967295",
            ),
        ];
        for (name, value, good, range) in checks {
            if !good {
                let text =
                    format!("HS classifiers: the parameter {name} is {value}; set it to a value {range}");
                return Err(Error::input(text));
            }
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        Settings { cost: self.cost as f32, passes: self.passes, seed: self.seed }
    }
}

/// How shards are made of the file of training texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// How many shards there are.
    pub shards: u32,
    /// How the classifiers are learned.
    pub parameters: Parameters,
}

/// The training texts as every shard has them: ordered by their codes.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) texts: Texts,
    pub(super) vectors: Vectors,
    pub(super) vocabulary: Vocabulary,
    pub(super) classes: Classes,
}

impl Corpus {
    /// The corpus of training texts.
    pub(super) fn of(texts: Texts) -> Self {
        let mut order: Vec<u32> = (0..texts.codes.len() as u32).collect();
        order.sort_by_key(|row| texts.codes[*row as usize]);
        let texts = texts.take(&order);
        let descriptions = || texts.descriptions.iter().map(String::as_str);
        let vocabulary = Vocabulary::of(descriptions());
        let vectors = Vectors::of(&vocabulary, descriptions());
        let mut codes = texts.codes.clone();
        codes.dedup();
        Self { vectors, vocabulary, classes: Classes::new(codes), texts }
    }
}

/// Loads shards; the corpus that they share is read once.
#[derive(Debug)]
pub struct TextShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: Layout,
    corpus: OnceCell<Arc<Corpus>>,
}

impl TextShards {
    /// Shards over a file of training texts, which stands once for each of them.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: Layout) -> Self {
        Self { archive, files, layout, corpus: OnceCell::new() }
    }
}

#[async_trait::async_trait]
impl ShardLoader for TextShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let file = self.files.get(shard as usize);
        let file = file.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let read = async {
            let texts = read_texts(&self.archive, &file.path, self.layout.parameters.most_texts).await?;
            on_cpu(move || Ok(Arc::new(Corpus::of(texts)))).await
        };
        let corpus = Arc::clone(self.corpus.get_or_try_init(|| read).await?);
        Ok(Box::new(TextShard { number: shard, layout: self.layout.clone(), corpus }))
    }
}

/// A worker's side: the corpus, and which share of the classifiers is its own.
struct TextShard {
    number: u32,
    layout: Layout,
    corpus: Arc<Corpus>,
}

/// A shard over a corpus, as its loader makes it.
#[cfg(test)]
pub(super) fn shard_of(number: u32, layout: Layout, corpus: Arc<Corpus>) -> Box<dyn Shard> {
    Box::new(TextShard { number, layout, corpus })
}

impl Shard for TextShard {
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let answer = match Instruction::decode(instruction)?.ask {
            None => return Err(Error::internal("HS classifiers: an instruction asks nothing")),
            Some(Ask::Count(_)) => {
                // One shard speaks for all, which hold the same.
                let codes = if self.number == 0 { self.corpus.texts.codes.as_slice() } else { &[] };
                let mut counts = Counts::default();
                for run in codes.chunk_by(|one, next| one == next) {
                    counts.codes.push(run[0]);
                    counts.texts.push(run.len() as u32);
                }
                counts.encode_to_vec()
            }
            Some(Ask::Learn(Run { first, end })) => self.learn(first, end)?.encode_to_vec(),
        };
        Contribution::Gather(vec![(self.number, Bytes::from(answer))]).merge_onto(merged)
    }
}

impl TextShard {
    fn learn(&self, first: u32, end: u32) -> Result<Learned> {
        let corpus = &self.corpus;
        let mut learner = Learner::new(&corpus.vectors, corpus.vocabulary.len());
        let mut learned = Learned::default();
        for number in (first..end).filter(|number| number % self.layout.shards == self.number) {
            let question = corpus.classes.question(number as usize, &corpus.texts.codes)?;
            let mut settings = self.layout.parameters.settings();
            settings.seed = mix(settings.seed ^ u64::from(number));
            let Classifier { bias, weights } = learner.learn(&question, settings).pruned();
            let (features, weights) = weights.into_iter().unzip();
            learned.classifiers.push(StoredClassifier { number, bias, features, weights });
        }
        Ok(learned)
    }
}

/// Leads the fit: asks for the classes, then for the classifiers, a run a round.
pub struct HsLeader {
    state: State,
    rounds: Vec<Run>,
}

impl HsLeader {
    /// A fit that has not begun.
    pub fn new() -> Self {
        Self { state: State::default(), rounds: Vec::new() }
    }

    /// A fit that goes on from [`Leader::checkpoint`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no checkpoint of this kind of fit.
    pub fn restore(checkpoint: &[u8]) -> Result<Self> {
        let state = State::decode(checkpoint)?;
        let rounds = state.counts.as_ref().map_or_else(Vec::new, rounds);
        Ok(Self { state, rounds })
    }

    /// The classifiers, in the order of their numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] before the end.
    pub(super) fn classifiers(self) -> Result<Vec<Classifier>> {
        let mut stored = self.state.classifiers;
        stored.sort_by_key(|classifier| classifier.number);
        let whole = (0..).zip(&stored).all(|(number, classifier): (u32, _)| classifier.number == number)
            && self.rounds.last().map_or(0, |run| run.end as usize) == stored.len();
        if !whole {
            return Err(Error::internal("HS classifiers: the fit has not learned all of them"));
        }
        let classifier = |stored: StoredClassifier| Classifier {
            bias: stored.bias,
            weights: stored.features.into_iter().zip(stored.weights).collect(),
        };
        Ok(stored.into_iter().map(classifier).collect())
    }
}

impl Default for HsLeader {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs of classifiers that are about equally costly: a classifier costs the texts of its scope.
fn rounds(counts: &Counts) -> Vec<Run> {
    let classes = Classes::new(counts.codes.clone());
    let codes: Vec<u32> = counts
        .codes
        .iter()
        .zip(&counts.texts)
        .flat_map(|(code, texts)| std::iter::repeat_n(*code, *texts as usize))
        .collect();
    let count = classes.classifiers();
    let cost = |number: usize| {
        classes
            .question(number, &codes)
            .map_or(1, |question| if question.is_settled() { 1 } else { question.scope.len() as u64 })
    };
    let total: u64 = (0..count).map(cost).sum();
    let mut runs = Vec::new();
    let (mut first, mut spent) = (0, 0);
    for number in 0..count {
        spent += cost(number);
        if spent * ROUNDS >= total || number + 1 == count {
            runs.push(Run { first, end: number as u32 + 1 });
            (first, spent) = (number as u32 + 1, 0);
        }
    }
    runs
}

impl Leader for HsLeader {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        let ask = match self.rounds.get(self.state.done as usize) {
            _ if self.state.counts.is_none() => Ask::Count(Count {}),
            Some(run) => Ask::Learn(*run),
            None => return Ok(None),
        };
        Ok(Some(Bytes::from(Instruction { ask: Some(ask) }.encode_to_vec())))
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let Contribution::Gather(parts) = contribution else {
            return Err(Error::internal(
                "HS classifiers: the shards answered another question than was asked",
            ));
        };
        if self.state.counts.is_none() {
            let first = parts.first().map(|(_, part)| part.clone()).unwrap_or_default();
            let counts = Counts::decode(first)?;
            if counts.codes.len() < 2 {
                return Err(Error::input(format!(
                    "the training months have descriptions of {} HS codes; at least two are needed",
                    counts.codes.len()
                )));
            }
            self.rounds = rounds(&counts);
            self.state.counts = Some(counts);
            return Ok(());
        }
        for (_, part) in parts {
            self.state.classifiers.extend(Learned::decode(part)?.classifiers);
        }
        self.state.done += 1;
        Ok(())
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::from(self.state.encode_to_vec()))
    }

    fn history(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn at_milestone(&self) -> bool {
        self.state.done > 0
    }

    fn progress(&self) -> Progress {
        let end = self.state.done.checked_sub(1).and_then(|last| self.rounds.get(last as usize));
        Progress {
            done: end.map_or(0, |run| u64::from(run.end)),
            total: self.rounds.last().map_or(0, |run| u64::from(run.end)),
            note: String::new(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Instruction {
    #[prost(oneof = "Ask", tags = "1, 2")]
    ask: Option<Ask>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Ask {
    /// Count the texts of each code.
    #[prost(message, tag = "1")]
    Count(Count),
    /// Learn your share of these classifiers.
    #[prost(message, tag = "2")]
    Learn(Run),
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Count {}

/// Classifiers, by their numbers.
#[derive(Clone, Copy, PartialEq, Message)]
struct Run {
    #[prost(uint32, tag = "1")]
    first: u32,
    #[prost(uint32, tag = "2")]
    end: u32,
}

/// Codes, ascending, with their texts.
#[derive(Clone, PartialEq, Message)]
struct Counts {
    #[prost(uint32, repeated, tag = "1")]
    codes: Vec<u32>,
    #[prost(uint32, repeated, tag = "2")]
    texts: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Learned {
    #[prost(message, repeated, tag = "1")]
    classifiers: Vec<StoredClassifier>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredClassifier {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(float, tag = "2")]
    bias: f32,
    #[prost(uint32, repeated, tag = "3")]
    features: Vec<u32>,
    #[prost(float, repeated, tag = "4")]
    weights: Vec<f32>,
}

/// The leader's state between two rounds.
#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(message, optional, tag = "1")]
    counts: Option<Counts>,
    /// Rounds done.
    #[prost(uint32, tag = "2")]
    done: u32,
    #[prost(message, repeated, tag = "3")]
    classifiers: Vec<StoredClassifier>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::fit::fit_in_process;

    fn corpus() -> Arc<Corpus> {
        let goods = [
            ("frozen shrimps peeled", 30_617),
            ("shrimps frozen", 30_617),
            ("frozen prawns", 30_617),
            ("live horses", 10_129),
            ("horses for racing", 10_129),
            ("pure bred horses", 10_121),
            ("steel pipe", 730_419),
            ("steel pipes welded", 730_630),
            ("mobile phone", 851_712),
            ("phone with case", 851_712),
        ];
        let texts = Texts {
            descriptions: goods.iter().map(|(text, _)| (*text).to_owned()).collect(),
            codes: goods.iter().map(|(_, code)| *code).collect(),
            nationals: vec![0; goods.len()],
        };
        Arc::new(Corpus::of(texts))
    }

    fn fitted(shards: u32) -> Vec<Classifier> {
        let corpus = corpus();
        let layout = Layout { shards, parameters: Parameters::default() };
        let mut shards: Vec<Box<dyn Shard>> = (0..shards)
            .map(|number| {
                let (layout, corpus) = (layout.clone(), Arc::clone(&corpus));
                Box::new(TextShard { number, layout, corpus }) as Box<dyn Shard>
            })
            .collect();
        let mut leader = HsLeader::new();
        fit_in_process(&mut leader, &mut shards).expect("fits");
        leader.classifiers().expect("whole")
    }

    #[test]
    fn the_classifiers_do_not_depend_on_the_shards() {
        let one = fitted(1);
        assert_eq!(one.len(), 4 + 5 + 6);
        assert_eq!(one, fitted(3));
        assert!(one.iter().any(|classifier| !classifier.weights.is_empty()));
    }

    #[test]
    fn a_fit_goes_on_from_its_checkpoint() {
        let shard = |corpus: &Arc<Corpus>| TextShard {
            number: 0,
            layout: Layout { shards: 1, parameters: Parameters::default() },
            corpus: Arc::clone(corpus),
        };
        let corpus = corpus();
        let mut leader = HsLeader::new();
        for _ in 0..3 {
            let instruction = leader.instruct().expect("asks").expect("not done");
            let mut answer = None;
            shard(&corpus).contribute(&instruction, &mut answer).expect("answers");
            leader.absorb(answer.expect("one shard answered")).expect("absorbs");
        }
        assert!(leader.at_milestone() && leader.progress().done > 0);
        let mut again = HsLeader::restore(&leader.checkpoint().expect("writes")).expect("reads");
        fit_in_process(&mut again, &mut [Box::new(shard(&corpus))]).expect("fits");
        assert_eq!(again.classifiers().expect("whole"), fitted(1));
    }

    #[test]
    fn one_code_is_no_question_and_wrong_parameters_are_named() {
        let mut leader = HsLeader::new();
        let counts = Counts { codes: vec![10_121], texts: vec![7] };
        let error = leader.absorb(Contribution::Gather(vec![(0, Bytes::from(counts.encode_to_vec()))]));
        assert_eq!(error.expect_err("refused").kind(), crate::ErrorKind::Input);
        assert!(HsLeader::new().classifiers().is_ok_and(|none| none.is_empty()));
        let parameters = Parameters { cost: 0.0, ..Parameters::default() };
        assert!(parameters.validate().expect_err("refused").chain().contains("cost"));
    }
}
