//! Scoring one description after the other: probabilities, ranks and reasons.
//!
//! The chapters are scored first, and the search goes on in the likely ones only (a beam; see `branches`),
//! or in all of them where an encoder speaks for codes too.
//! Probabilities of headings and chapters are sums of those of their subheadings, so that the three levels
//! agree. Buffers are used again; a [`Scorer`] belongs to one thread.

use super::{
    branches::{Chapters, numbers},
    fusion::{
        Candidate, Case, ENCODER, EVIDENCE, Evidence, LEAST_SHARE, MARGINS, NEAREST, STATED, TAUGHT, VOTES,
        Weighing,
    },
    model::Model,
    national,
    particulars::{KINDS, Particulars},
    precedents::Similar,
    text::Reader,
    tree::{LEVELS, at_level, six_digits, written},
    vectors::Vector,
};

/// The exponent of a precedent's similarity in its vote: nearer ones count far more.
const VOTE_POWER: i32 = 4;

/// Likely candidates of a case from which the weights of evidence are learned.
const CANDIDATES: usize = 100;

/// A score so far below the best has the probability 0: it would be less than a ten-millionth.
const LEAST_SCORE: f32 = -17.0;

/// Chapters whose part of the score is farther below the best one's are not searched. On the validation
/// texts of published declarations no accuracy is lost by it.
const BEAM: f32 = 4.0;

/// Probabilities that are compared at once.
const RUN: usize = 16;

/// Of the other subheadings, one in so many is a candidate that stands for them.
const STRIDE: usize = 16;

/// Scores descriptions by one model.
pub struct Scorer<'a> {
    model: &'a Model,
    weighing: Weighing,
    weights: [f32; EVIDENCE],
    /// The edition of the HS whose codes may be predicted; absent: all.
    edition: Option<i32>,
    /// What each subheading's number of texts adds to its score; of a code that is invalid, that it has none.
    priors: Vec<f32>,
    /// What particulars add to the scores of each level's classes; absent: none is stated.
    stated: Option<[Vec<f32>; LEVELS]>,
    /// The numbers of the particulars that are stated, by kind.
    numbers: [Option<usize>; KINDS],
    /// What doubt gives to each valid class of each level.
    doubts: [Vec<f32>; LEVELS],
    reader: Reader,
    /// The description that was read last, whose evidence stands in what follows.
    description: Option<String>,
    vector: Vector,
    /// The margins of chapters.
    margins: Vec<f32>,
    /// The margins of headings, then of subheadings; true in the beam's chapters.
    below: Vec<f32>,
    /// The part of the score that each chapter gives.
    parts: Vec<f32>,
    /// The chapters in which the search goes on.
    beam: Chapters,
    /// The votes of precedents for the classes of each level.
    votes: [Vec<f32>; LEVELS],
    /// The similarity of each subheading's nearest precedent.
    nearest: Vec<f32>,
    similarities: Vec<f32>,
    similar: Vec<Similar>,
    /// The logarithm of each subheading's probability by the encoder's head; empty without one.
    encoded: Vec<f32>,
    scores: Vec<f32>,
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
        let mut scorer = Self {
            model,
            weighing,
            weights: weighing.weights.map(|weight| weight as f32),
            edition: None,
            stated: None,
            numbers: [None; KINDS],
            priors: Vec::new(),
            doubts: zeros(),
            reader: Reader::default(),
            description: None,
            vector: Vector::default(),
            margins: Vec::new(),
            below: Vec::new(),
            parts: Vec::new(),
            beam: 0,
            votes: zeros(),
            nearest: vec![0.0; model.classes.len()],
            similarities: Vec::new(),
            similar: Vec::new(),
            encoded: Vec::new(),
            scores: vec![0.0; model.classes.len()],
            probabilities: zeros(),
        };
        scorer.admit();
        scorer
    }

    /// From now on predicts only codes that are valid in a year.
    pub(super) fn in_year(&mut self, year: i32) {
        let edition = self.model.nomenclature.edition_in(year);
        if edition != self.edition {
            self.edition = edition;
            self.admit();
        }
    }

    /// From now on scores descriptions with these particulars; those that the model does not know say nothing.
    pub(super) fn state(&mut self, particulars: &Particulars<'_>) {
        self.state_numbers(self.model.usage.numbers(particulars));
    }

    /// The same, by the numbers that the particulars have in the model's usage.
    pub(super) fn state_numbers(&mut self, numbers: [Option<usize>; KINDS]) {
        if numbers == self.numbers {
            return;
        }
        self.numbers = numbers;
        let mut stated = self.stated.take().unwrap_or_default();
        for (level, sums) in stated.iter_mut().enumerate() {
            sums.clear();
            sums.resize(self.model.classes.codes(level).len(), 0.0);
        }
        for (kind, number) in numbers.into_iter().enumerate() {
            if let Some(number) = number {
                self.model.usage.add(kind, number, self.weights[STATED + kind], &mut stated);
            }
        }
        self.stated = numbers.iter().any(Option::is_some).then_some(stated);
    }

    /// Settles what each subheading has beside a description, which is nothing where its code is invalid.
    fn admit(&mut self) {
        let model = self.model;
        let is_valid = |class: usize| {
            let code = model.code(LEVELS - 1, class);
            self.edition.is_none_or(|edition| model.nomenclature.is_valid(code, edition))
        };
        let valid: Vec<bool> = (0..model.classes.len()).map(is_valid).collect();
        let prior = |taught: &u32| self.weights[TAUGHT] * (*taught.max(&1) as f32).ln();
        self.priors = model.taught.iter().map(prior).collect();
        let shares = &model.shares[LEVELS - 1];
        let admitted = || shares.iter().zip(&valid).filter(|(_, valid)| **valid);
        let all = admitted().map(|(share, _)| *share).sum::<f32>().max(f32::MIN_POSITIVE);
        self.doubts.iter_mut().for_each(|doubts| doubts.fill(0.0));
        for (class, path) in model.classes.paths().iter().enumerate() {
            if !valid[class] {
                self.priors[class] = f32::NEG_INFINITY;
                continue;
            }
            let doubt = self.weighing.doubt as f32 * shares[class] / all;
            for (doubts, class) in self.doubts.iter_mut().zip(path) {
                doubts[*class as usize] += doubt;
            }
        }
    }

    /// Whether it wants embeddings of descriptions.
    pub(super) fn uses_encoder(&self) -> bool {
        self.weighing.uses_encoder()
    }

    /// Scores a description, given its embedding (see [`Model::encode`]; empty for a model without an encoder);
    /// the other methods tell of it.
    pub(super) fn score(&mut self, description: &str, embedding: &[f32]) {
        // An encoder may speak for any chapter, and takes far longer than a search of all of them.
        let distance = if self.weighing.uses_encoder() { f32::INFINITY } else { BEAM };
        self.score_within(description, embedding, distance);
    }

    /// Scores a description in the chapters whose part of the score is at most so far below the best one's.
    /// Subheadings of other chapters are left to doubt.
    pub(super) fn score_within(&mut self, description: &str, embedding: &[f32], distance: f32) {
        self.gather(description, embedding, distance);
        let Self { model, weights, beam, below, scores, .. } = self;
        let (classes, headings) = (&model.classes, model.classes.codes(1).len());
        let uses_precedents = self.weighing.uses_precedents();
        let mut largest = f32::NEG_INFINITY;
        for chapter in numbers(*beam) {
            for heading in classes.under(0, chapter) {
                let mut above = self.parts[chapter] + weights[1] * below[heading];
                if let Some(stated) = &self.stated {
                    above += stated[1][heading];
                }
                if uses_precedents {
                    above += vote(weights, &self.votes, 1, heading);
                }
                for class in classes.under(1, heading) {
                    let mut score = above + weights[2] * below[headings + class] + self.priors[class];
                    if uses_precedents {
                        score +=
                            vote(weights, &self.votes, 2, class) + weights[NEAREST] * self.nearest[class];
                    }
                    if let Some(encoded) = self.encoded.get(class) {
                        score += weights[ENCODER] * encoded;
                    }
                    if let Some(stated) = &self.stated {
                        score += stated[2][class];
                    }
                    scores[class] = score;
                    largest = largest.max(score);
                }
            }
        }
        let mut sum = 0.0;
        for chapter in numbers(*beam) {
            let headings = classes.under(0, chapter);
            let subheadings = classes.under(1, headings.start).start..classes.under(1, headings.end - 1).end;
            for score in &mut scores[subheadings] {
                let less = *score - largest;
                // Not so where no code of the beam is valid, either.
                *score = if less >= LEAST_SCORE { less.exp() } else { 0.0 };
                sum += *score;
            }
        }
        let scale = if sum > 0.0 { (1.0 - self.weighing.doubt as f32) / sum } else { 0.0 };
        for (probabilities, doubts) in self.probabilities.iter_mut().zip(&self.doubts) {
            probabilities.copy_from_slice(doubts);
        }
        let [of_chapters, of_headings, of_subheadings] = &mut self.probabilities;
        for chapter in numbers(*beam) {
            for heading in classes.under(0, chapter) {
                let mut of_heading = 0.0;
                for class in classes.under(1, heading) {
                    let probability = scores[class] * scale;
                    of_subheadings[class] += probability;
                    of_heading += probability;
                }
                of_headings[heading] += of_heading;
                of_chapters[chapter] += of_heading;
            }
        }
    }

    /// The most likely class of a level, and its probability.
    pub(super) fn top(&self, level: usize) -> (usize, f32) {
        let mut best = Vec::with_capacity(2);
        self.leading(level, 1, &mut best);
        best.first().copied().unwrap_or_default()
    }

    /// The most likely classes of a level with their probabilities, the most likely first; of equals the one
    /// with the lower number.
    pub(super) fn leading(&self, level: usize, count: usize, found: &mut Vec<(usize, f32)>) {
        found.clear();
        let mut least = f32::NEG_INFINITY;
        for (run, probabilities) in self.probabilities[level].chunks(RUN).enumerate() {
            // Without a branch inside, so that the run is compared at once.
            if !probabilities.iter().fold(false, |any, probability| any | (*probability > least)) {
                continue;
            }
            for (class, probability) in (run * RUN..).zip(probabilities) {
                if *probability > least {
                    let place = found.partition_point(|(_, other)| other >= probability);
                    found.truncate(count - 1);
                    found.insert(place, (class, *probability));
                    if found.len() == count {
                        least = found[count - 1].1;
                    }
                }
            }
        }
    }

    /// The most likely codes of a level, the most likely first.
    pub fn best(&self, level: usize, count: usize) -> Vec<Choice> {
        let mut best = Vec::with_capacity(count + 1);
        self.leading(level, count, &mut best);
        let choice = |(class, probability): &(usize, f32)| Choice {
            code: written(self.model.code(level, *class), level),
            probability: *probability,
        };
        best.iter().map(choice).collect()
    }

    /// The place of a six-digit code's class among a level's classes, from 1, and its probability; `None`
    /// when no training text has it.
    pub(super) fn rank(&self, code: u32, level: usize) -> Option<(u32, f32)> {
        let class = self.model.classes.number(at_level(code, level), level)?;
        let (before, after) = self.probabilities[level].split_at(class);
        let own = self.probabilities[level][class];
        let before: u32 = before.iter().map(|other| u32::from(*other >= own)).sum();
        let after: u32 = after.iter().map(|other| u32::from(*other > own)).sum();
        Some((before + after + 1, own))
    }

    /// The most likely codes with national digits, the most likely first; a subheading that has none stands for itself.
    pub fn best_national(&self, count: usize) -> Vec<Choice> {
        let mut leading = Vec::with_capacity(2 * count + 1);
        self.leading(LEVELS - 1, 2 * count, &mut leading);
        let mut choices = Vec::new();
        for (class, probability) in leading {
            let shares = self.national_shares(class);
            if shares.is_empty() {
                let code = written(self.model.code(LEVELS - 1, class), LEVELS - 1);
                choices.push(Choice { code, probability });
            }
            choices.extend(shares.into_iter().map(|(code, share)| Choice {
                code: national::written(code),
                probability: probability * share,
            }));
        }
        choices.sort_by(|one, other| other.probability.total_cmp(&one.probability));
        choices.truncate(count);
        choices
    }

    /// The place of a code with national digits, from 1, and its probability; `None` when no training text has it.
    pub(super) fn rank_national(&self, code: &str) -> Option<(u32, f32)> {
        let wanted = national::national(code);
        let class = self.model.classes.number(six_digits(code)?, LEVELS - 1)?;
        let probabilities = &self.probabilities[LEVELS - 1];
        let shares = self.national_shares(class);
        let share = shares.iter().find(|(code, _)| *code == wanted).map(|(_, share)| *share)?;
        let own = probabilities[class] * share;
        let likely = probabilities.iter().enumerate().filter(|(_, probability)| **probability > own);
        let before: usize = likely
            .map(|(class, probability)| {
                let shares = self.national_shares(class);
                let more = shares.iter().filter(|(_, share)| probability * share > own).count();
                if shares.is_empty() { 1 } else { more }
            })
            .sum();
        Some((before as u32 + 1, own))
    }

    /// How a subheading's probability is shared out among its national codes.
    fn national_shares(&self, class: usize) -> Vec<(u64, f32)> {
        let precedents = &self.model.precedents;
        let votes = self.similar.iter().filter_map(|similar| {
            let precedent = &precedents[similar.number as usize];
            (precedent.class as usize == class)
                .then(|| (precedent.national, similar.similarity.powi(VOTE_POWER)))
        });
        self.model.nationals.shares(class, votes)
    }

    /// Whether the description says too little to choose a heading.
    pub fn is_vague(&self) -> bool {
        self.vector.features.is_empty() || self.top(1).1 < self.model.vague_below
    }

    /// Whether the description has a word, known or not.
    pub fn has_words(&self) -> bool {
        self.reader.words().len() > 0
    }

    /// The words and particulars that speak most for a six-digit code, with what they add to its score; best first.
    pub fn words(&self, code: &str, count: usize) -> Vec<(String, f32)> {
        let class = code.parse().ok().and_then(|code| self.model.classes.number(code, LEVELS - 1));
        let Some(class) = class else { return Vec::new() };
        let path = self.model.classes.paths()[class];
        let mut added = vec![0.0_f32; self.reader.words().len()];
        for (at, (feature, value)) in self.vector.row().pairs().enumerate() {
            for (level, class) in path.iter().enumerate() {
                let weight = self.model.weights[level].weight(feature, *class);
                added[self.vector.words[at] as usize] += self.weights[MARGINS + level] * weight * value;
            }
        }
        let mut words: Vec<(String, f32)> = self.reader.words().map(str::to_owned).zip(added).collect();
        for (kind, number) in self.numbers.into_iter().enumerate() {
            if let Some(number) = number {
                let says = self.weights[STATED + kind] * self.model.usage.says(kind, number, path);
                words.push((self.model.usage.name(kind, number), says));
            }
        }
        words.retain(|(_, added)| *added > 0.0);
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
        self.score_within(description, embedding, f32::INFINITY);
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

    /// Gathers what speaks for each class, and chooses the chapters of the beam.
    fn gather(&mut self, description: &str, embedding: &[f32], distance: f32) {
        if self.description.as_deref() != Some(description) {
            self.read(description, embedding);
        }
        self.parts.clear();
        self.parts.extend(self.margins.iter().map(|margin| self.weights[MARGINS] * margin));
        if self.weighing.uses_precedents() {
            for (chapter, part) in self.parts.iter_mut().enumerate() {
                *part += vote(&self.weights, &self.votes, 0, chapter);
            }
        }
        if let Some(stated) = &self.stated {
            for (part, stated) in self.parts.iter_mut().zip(&stated[0]) {
                *part += stated;
            }
        }
        let least = self.parts.iter().copied().fold(f32::NEG_INFINITY, f32::max) - distance;
        let likely = self.parts.iter().enumerate().filter(|(_, part)| **part >= least);
        self.beam = likely.fold(0, |beam, (chapter, _)| beam | 1 << chapter);
        self.model.branches.margins(self.vector.row(), self.beam, &mut self.below);
    }

    /// Reads a description: what it says by itself, whatever the beam and the particulars. Declarations often have
    /// the same one as the row before.
    fn read(&mut self, description: &str, embedding: &[f32]) {
        let known = self.description.get_or_insert_default();
        known.clear();
        known.push_str(description);
        self.model.vocabulary.vector(self.reader.read(description), &mut self.vector);
        self.encoded.clear();
        if let Some(encoding) = self.model.encoding.as_ref().filter(|_| self.weighing.uses_encoder()) {
            encoding.head.logarithms(embedding, &mut self.encoded);
        }
        self.model.weights[0].margins(self.vector.row(), &mut self.margins);
        self.similar.clear();
        if self.weighing.uses_precedents() {
            self.consult();
        }
    }

    /// Asks the precedents.
    fn consult(&mut self) {
        self.model.index.search(self.vector.row(), &mut self.similarities, &mut self.similar);
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

    /// The evidence for one subheading, after [`Scorer::gather`].
    fn evidence(&self, class: usize) -> Evidence {
        let path = self.model.classes.paths()[class].map(|class| class as usize);
        let [chapter, heading, own] = path;
        let headings = self.model.classes.codes(1).len();
        let mut evidence = [0.0; EVIDENCE];
        let margins = [self.margins[chapter], self.below[heading], self.below[headings + own]];
        for (level, margin) in margins.into_iter().enumerate() {
            evidence[MARGINS + level] = f64::from(margin);
        }
        for (level, class) in path.into_iter().enumerate() {
            evidence[VOTES + level] = f64::from(logarithm(self.votes[level][class]));
        }
        evidence[NEAREST] = f64::from(self.nearest[class]);
        evidence[TAUGHT] = f64::from(self.model.taught[class].max(1)).ln();
        evidence[ENCODER] = self.encoded.get(class).map_or(0.0, |encoded| f64::from(*encoded));
        for (kind, number) in self.numbers.into_iter().enumerate() {
            let says = |number| self.model.usage.says(kind, number, self.model.classes.paths()[class]);
            evidence[STATED + kind] = number.map_or(0.0, |number| f64::from(says(number)));
        }
        evidence
    }
}

/// The logarithm of a share of precedents, less that of no share, which is the same for all classes.
fn logarithm(share: f32) -> f32 {
    if share > 0.0 { ((share + LEAST_SHARE) / LEAST_SHARE).ln() } else { 0.0 }
}

/// What the precedents' votes for a class add to its score.
fn vote(weights: &[f32; EVIDENCE], votes: &[Vec<f32>; LEVELS], level: usize, class: usize) -> f32 {
    weights[VOTES + level] * logarithm(votes[level][class])
}
