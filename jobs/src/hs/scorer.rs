//! Scoring one description after the other: probabilities, ranks and reasons.
//!
//! Probabilities of headings and chapters are sums of those of their subheadings, so that the three levels
//! agree. Buffers are used again; a [`Scorer`] belongs to one thread.

use super::{
    fusion::{Candidate, Case, ENCODER, EVIDENCE, Evidence, LEAST_SHARE, NEAREST, TAUGHT, Weighing},
    model::Model,
    precedents::Similar,
    text::Reader,
    tree::{LEVELS, at_level, written},
    vectors::Vector,
};

/// The exponent of a precedent's similarity in its vote: nearer ones count far more.
const VOTE_POWER: i32 = 4;

/// Likely candidates of a case from which the weights of evidence are learned.
const CANDIDATES: usize = 100;

/// A score so far below the best has the probability 0: it would be less than a ten-millionth.
const LEAST_SCORE: f32 = -17.0;

/// Of the other subheadings, one in so many is a candidate that stands for them.
const STRIDE: usize = 16;

/// Scores descriptions by one model.
pub struct Scorer<'a> {
    model: &'a Model,
    weighing: Weighing,
    reader: Reader,
    vector: Vector,
    margins: [Vec<f32>; LEVELS],
    /// The votes of precedents for the classes of each level.
    votes: [Vec<f32>; LEVELS],
    /// The similarity of each subheading's nearest precedent.
    nearest: Vec<f32>,
    similarities: Vec<f32>,
    similar: Vec<Similar>,
    /// The logarithm of each subheading's probability by the encoder's head; empty without one.
    encoded: Vec<f32>,
    probabilities: [Vec<f32>; LEVELS],
}

/// A code and its probability.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Choice {
    /// The code: 2, 4 or 6 digits.
    pub code: String,
    /// How likely it is, 0 to 1.
    pub probability: f32,
}

/// A past declaration that resembles a description.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SimilarDeclaration {
    /// Its description.
    pub description: String,
    /// The six digits that it was declared under.
    pub code: String,
    /// From 0 to 1, the same text.
    pub similarity: f32,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(model: &'a Model, weighing: Weighing) -> Self {
        let zeros = || std::array::from_fn(|level| vec![0.0; model.classes.codes(level).len()]);
        Self {
            model,
            weighing,
            reader: Reader::default(),
            vector: Vector::default(),
            margins: Default::default(),
            votes: zeros(),
            nearest: vec![0.0; model.classes.len()],
            similarities: Vec::new(),
            similar: Vec::new(),
            encoded: Vec::new(),
            probabilities: zeros(),
        }
    }

    /// Scores a description, given its embedding (see [`Model::encode`]; empty for a model without an encoder);
    /// the other methods tell of it.
    pub(super) fn score(&mut self, description: &str, embedding: &[f32]) {
        self.gather(description, embedding);
        let parts = self.parts();
        let [chapters, headings, subheadings] = &mut self.probabilities;
        let mut largest = f32::NEG_INFINITY;
        for (class, [chapter, heading, own]) in self.model.classes.paths().iter().enumerate() {
            let score = parts[0][*chapter as usize] + parts[1][*heading as usize] + parts[2][*own as usize];
            subheadings[class] = score;
            largest = largest.max(score);
        }
        let mut sum = 0.0;
        for score in subheadings.iter_mut() {
            let below = *score - largest;
            *score = if below < LEAST_SCORE { 0.0 } else { below.exp() };
            sum += *score;
        }
        let doubt = self.weighing.doubt as f32;
        let [of_chapters, of_headings, of_subheadings] = &self.model.shares;
        for (all, shares) in [(&mut *chapters, of_chapters), (&mut *headings, of_headings)] {
            for (probability, share) in all.iter_mut().zip(shares) {
                *probability = doubt * share;
            }
        }
        let paths = self.model.classes.paths().iter().zip(of_subheadings);
        for (probability, ([chapter, heading, _], share)) in subheadings.iter_mut().zip(paths) {
            if *probability > 0.0 {
                *probability *= (1.0 - doubt) / sum;
                chapters[*chapter as usize] += *probability;
                headings[*heading as usize] += *probability;
            }
            *probability += doubt * share;
        }
    }

    /// The most likely class of a level, and its probability.
    pub(super) fn top(&self, level: usize) -> (usize, f32) {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, probability) in self.probabilities[level].iter().enumerate() {
            if *probability > best.1 {
                best = (class, *probability);
            }
        }
        best
    }

    /// The most likely codes of a level, the most likely first.
    pub fn best(&self, level: usize, count: usize) -> Vec<Choice> {
        let probabilities = &self.probabilities[level];
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        let by = |one: &usize, other: &usize| {
            probabilities[*other].total_cmp(&probabilities[*one]).then(one.cmp(other))
        };
        if order.len() > count {
            order.select_nth_unstable_by(count, by);
            order.truncate(count);
        }
        order.sort_unstable_by(by);
        let choice = |class: &usize| Choice {
            code: written(self.model.code(level, *class), level),
            probability: probabilities[*class],
        };
        order.iter().map(choice).collect()
    }

    /// The place of a six-digit code's class among a level's classes, from 1, and its probability; `None`
    /// when no training text has it.
    pub(super) fn rank(&self, code: u32, level: usize) -> Option<(u32, f32)> {
        let class = self.model.classes.number(at_level(code, level), level)?;
        let probabilities = &self.probabilities[level];
        let own = probabilities[class];
        let before = probabilities.iter().enumerate();
        let before = before
            .filter(|(other, probability)| **probability > own || (**probability == own && *other < class));
        Some((before.count() as u32 + 1, own))
    }

    /// Whether the description says too little to choose a heading.
    pub fn is_vague(&self) -> bool {
        self.vector.features.is_empty() || self.top(1).1 < self.model.vague_below
    }

    /// Whether the description has a word, known or not.
    pub fn has_words(&self) -> bool {
        self.reader.words().len() > 0
    }

    /// The words that speak most for a six-digit code, with what they add to its score; best first.
    pub fn words(&self, code: &str, count: usize) -> Vec<(String, f32)> {
        let class = code.parse().ok().and_then(|code| self.model.classes.number(code, LEVELS - 1));
        let Some(class) = class else { return Vec::new() };
        let path = self.model.classes.paths()[class];
        let mut added = vec![0.0_f32; self.reader.words().len()];
        for (at, (feature, value)) in self.vector.row().pairs().enumerate() {
            for (level, class) in path.iter().enumerate() {
                let weight = self.model.weights[level].weight(feature, *class);
                added[self.vector.words[at] as usize] += self.weighing.weights[level] as f32 * weight * value;
            }
        }
        let mut words: Vec<(String, f32)> =
            self.reader.words().map(str::to_owned).zip(added).filter(|(_, added)| *added > 0.0).collect();
        words.sort_by(|one, other| other.1.total_cmp(&one.1));
        words.truncate(count);
        words
    }

    /// The past declarations that resemble the description most.
    pub fn similar(&self, count: usize) -> Vec<SimilarDeclaration> {
        let tell = |similar: &Similar| {
            let precedent = &self.model.precedents[similar.number as usize];
            SimilarDeclaration {
                description: precedent.description.clone(),
                code: written(self.model.code(LEVELS - 1, precedent.class as usize), LEVELS - 1),
                similarity: similar.similarity.min(1.0),
            }
        };
        self.similar.iter().take(count).map(tell).collect()
    }

    /// The evidence for the likely subheadings of a description whose code is known; `None` when no training
    /// text has that code.
    pub(super) fn case(&mut self, description: &str, embedding: &[f32], code: u32) -> Option<Case> {
        let right = self.model.classes.number(code, LEVELS - 1)?;
        self.score(description, embedding);
        let probabilities = &self.probabilities[LEVELS - 1];
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        let by = |one: &usize, other: &usize| {
            probabilities[*other].total_cmp(&probabilities[*one]).then(one.cmp(other))
        };
        let likely = CANDIDATES.min(order.len());
        if likely < order.len() {
            order.select_nth_unstable_by(likely, by);
            order[likely..].sort_unstable();
        }
        let (likely, others) = order.split_at(likely);
        let sampled: Vec<usize> = others.iter().copied().step_by(STRIDE).collect();
        let each = others.len() as f64 / sampled.len().max(1) as f64;
        let candidate =
            |class: &usize, stands_for: f64| Candidate { evidence: self.evidence(*class), stands_for };
        let mut candidates: Vec<Candidate> = likely.iter().map(|class| candidate(class, 1.0)).collect();
        candidates.extend(sampled.iter().map(|class| candidate(class, each)));
        let place = likely.iter().position(|class| *class == right).unwrap_or_else(|| {
            candidates.push(candidate(&right, 1.0));
            candidates.len() - 1
        });
        Some(Case { candidates, right: place, chance: f64::from(self.model.shares[LEVELS - 1][right]) })
    }

    /// Reads the description and gathers what speaks for each class.
    fn gather(&mut self, description: &str, embedding: &[f32]) {
        self.model.vocabulary.vector(self.reader.read(description), &mut self.vector);
        let row = self.vector.row();
        for (weights, margins) in self.model.weights.iter().zip(&mut self.margins) {
            weights.margins(row, margins);
        }
        self.encoded.clear();
        if let Some(encoding) = self.model.encoding.as_ref().filter(|_| self.weighing.uses_encoder()) {
            encoding.head.logarithms(embedding, &mut self.encoded);
        }
        self.similar.clear();
        if !self.weighing.uses_precedents() {
            return;
        }
        self.model.index.search(row, &mut self.similarities, &mut self.similar);
        self.votes.iter_mut().for_each(|votes| votes.fill(0.0));
        self.nearest.fill(0.0);
        let total: f32 = self.similar.iter().map(|similar| similar.similarity.powi(VOTE_POWER)).sum();
        for similar in &self.similar {
            let class = self.model.precedents[similar.number as usize].class as usize;
            let share = similar.similarity.powi(VOTE_POWER) / total;
            for (votes, class) in self.votes.iter_mut().zip(self.model.classes.paths()[class]) {
                votes[class as usize] += share;
            }
            self.nearest[class] = self.nearest[class].max(similar.similarity);
        }
    }

    /// The part of the score that each class of each level gives to the subheadings below it.
    fn parts(&self) -> [Vec<f32>; LEVELS] {
        let weights = self.weighing.weights.map(|weight| weight as f32);
        let uses_precedents = self.weighing.uses_precedents();
        let mut parts: [Vec<f32>; LEVELS] = std::array::from_fn(|level| {
            let mut part: Vec<f32> =
                self.margins[level].iter().map(|margin| weights[level] * margin).collect();
            if uses_precedents {
                for (part, share) in part.iter_mut().zip(&self.votes[level]) {
                    if *share > 0.0 {
                        *part += weights[LEVELS + level] * ((share + LEAST_SHARE) / LEAST_SHARE).ln();
                    }
                }
            }
            part
        });
        for (class, part) in parts[LEVELS - 1].iter_mut().enumerate() {
            *part += weights[NEAREST] * self.nearest[class]
                + weights[TAUGHT] * (self.model.taught[class].max(1) as f32).ln();
        }
        for (part, encoded) in parts[LEVELS - 1].iter_mut().zip(&self.encoded) {
            *part += weights[ENCODER] * encoded;
        }
        parts
    }

    /// The evidence for one subheading, after [`Scorer::gather`].
    fn evidence(&self, class: usize) -> Evidence {
        let path = self.model.classes.paths()[class];
        let mut evidence = [0.0; EVIDENCE];
        for (level, class) in path.iter().enumerate() {
            evidence[level] = f64::from(self.margins[level][*class as usize]);
            // The logarithm of the share, less that of no share, which is the same for all classes.
            let share = (self.votes[level][*class as usize] + LEAST_SHARE) / LEAST_SHARE;
            evidence[LEVELS + level] = f64::from(share.ln());
        }
        evidence[NEAREST] = f64::from(self.nearest[class]);
        evidence[TAUGHT] = f64::from(self.model.taught[class].max(1)).ln();
        evidence[ENCODER] = self.encoded.get(class).map_or(0.0, |encoded| f64::from(*encoded));
        evidence
    }
}
