//! Scoring one description after the other: probabilities, ranks and reasons.
//!
//! The chapters are scored first, and the search continues in the likely ones only (a beam, see [`super::beam`]);
//! classifiers below an unlikely chapter are not read, and its subheadings keep the probability of label noise. A
//! chapter counts with the most that attributes add below it, because a unit may favour one subheading and disfavour
//! its chapter. The fit of the weights searches all chapters, and so does a model with an encoder, which takes longer
//! than the search. Probabilities of headings and chapters are sums of those of their subheadings, so that the three
//! levels agree.
//!
//! A [`Scorer`] uses its buffers again and belongs to one thread. Start at [`Scorer::new`], then score a description
//! and read its results.

use super::{
    beam::{BeamBuffers, ChapterSet, members},
    fusion::{
        ATTRIBUTES, ENCODER, FREQUENCY, Fusion, INPUTS, Inputs, LEAST_SHARE, MARGINS, NEAREST, NOMENCLATURE,
        VOTES,
    },
    hs_model::HsModel,
    inverted_index::Neighbour,
    nomenclature_texts::TEXT_LEVELS,
    top_k::{above, count_before, top_k},
};
use crate::{
    codes::digits::{LEVELS, at_level, national, six_digits, written, written_national},
    features::{
        attributes::{Attributes, KINDS},
        ngrams::Extractor,
        vectors::TextVector,
    },
};

/// Codes that are suggested at each level.
pub const SUGGESTED: usize = 5;

/// The exponent of a precedent's similarity in its vote, by which more similar ones count far more.
const VOTE_POWER: i32 = 4;

/// A score this far below the best or farther has the probability 0; it would be less than a ten-millionth.
const LEAST_SCORE: f32 = -17.0;

/// Chapters whose part of the score is farther below the best one's are not searched. On the validation texts of
/// published declarations this loses no accuracy.
const BEAM: f32 = 4.0;

/// Most chapters that are searched for a description without attributes and precedents (with precedents the search is
/// not what takes long). A vague text would have all chapters in its beam. On the same validation texts, one in two
/// hundred declared codes that were among the best ten is lost.
const MOST_CHAPTERS: usize = 16;

/// The k of the top-k classes of each level: more subheadings than are suggested, because national digits divide them.
const TOP_K: [usize; LEVELS] = [SUGGESTED, SUGGESTED, 2 * SUGGESTED];

/// Scores descriptions with one model.
pub struct Scorer<'a> {
    model: &'a HsModel,
    fusion: Fusion,
    weights: [f32; INPUTS],
    /// The edition of the HS whose codes may be predicted; absent: all.
    edition: Option<i32>,
    /// What each subheading's number of training texts adds to its score; minus infinity where the code is invalid.
    frequencies: Vec<f32>,
    /// What attributes add to the scores of each level's classes; absent: no attribute is known.
    attribute_scores: Option<[Vec<f32>; LEVELS]>,
    /// The most that they add to a subheading of each chapter, its heading's part included and its chapter's not.
    attribute_maxima: Vec<f32>,
    /// The numbers of the attributes in the model, by kind.
    attributes: [Option<usize>; KINDS],
    /// The probability that label noise gives to each class of each level.
    noise: [Vec<f32>; LEVELS],
    extractor: Extractor,
    /// The description that was read last, to which the fields below belong.
    description: Option<String>,
    vector: TextVector,
    /// The margins of chapters.
    margins: Vec<f32>,
    /// The margins of headings and subheadings by their places ([`super::beam`]), computed in the beam's chapters only.
    below: Vec<f32>,
    /// Buffers for the margins.
    buffers: BeamBuffers,
    /// The part of the score that each chapter gives to all that is below it.
    parts: Vec<f32>,
    /// The same part and the most that attributes add below the chapter.
    bounds: Vec<f32>,
    /// A buffer for selecting the best.
    ordered: Vec<f32>,
    /// The chapters in which the search continues.
    beam: ChapterSet,
    /// The share of the precedents' votes for each class of each level.
    votes: [Vec<f32>; LEVELS],
    /// The similarity of each subheading's nearest precedent.
    nearest: Vec<f32>,
    similarities: Vec<f32>,
    /// The most similar precedents, the most similar first.
    similar: Vec<Neighbour>,
    /// The similarity to each heading's and subheading's text of the nomenclature; empty where it does not count.
    nomenclature: [Vec<f32>; TEXT_LEVELS.len()],
    /// A buffer for a description's vector in the vocabulary of the nomenclature.
    nomenclature_vector: TextVector,
    /// The logarithm of each subheading's probability by the encoder's head; empty without one.
    encoded: Vec<f32>,
    /// The score of each subheading, then its unnormalised probability; computed in the beam's chapters only.
    scores: Vec<f32>,
    probabilities: [Vec<f32>; LEVELS],
    /// The top-k classes of each level with their probabilities.
    top: [Vec<(usize, f32)>; LEVELS],
}

/// A code and its probability.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Choice {
    /// The code: 2, 4 or 6 digits, or more with national digits.
    pub code: String,
    /// Its probability, 0 to 1.
    pub probability: f32,
}

/// A past declaration that resembles a description.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SimilarDeclaration {
    /// Its description.
    pub description: String,
    /// The six digits that it was declared under.
    pub code: String,
    /// The cosine similarity, from 0 to 1 for the same text.
    pub similarity: f32,
}

impl<'a> Scorer<'a> {
    /// A scorer of a model; a `fast` one leaves out precedents, the nomenclature's texts and the encoder.
    pub fn new(model: &'a HsModel, fast: bool) -> Self {
        let fusion = if fast { model.fast } else { model.whole };
        let zeros = || std::array::from_fn(|level| vec![0.0; model.classes.codes(level).len()]);
        let mut scorer = Self {
            model,
            fusion,
            weights: fusion.weights.map(|weight| weight as f32),
            edition: None,
            attribute_scores: None,
            attribute_maxima: Vec::new(),
            attributes: [None; KINDS],
            frequencies: Vec::new(),
            noise: zeros(),
            extractor: Extractor::default(),
            description: None,
            vector: TextVector::default(),
            margins: Vec::new(),
            below: Vec::new(),
            buffers: BeamBuffers::default(),
            parts: Vec::new(),
            bounds: Vec::new(),
            ordered: Vec::new(),
            beam: 0,
            votes: zeros(),
            nearest: vec![0.0; model.classes.len()],
            similarities: Vec::new(),
            similar: Vec::new(),
            nomenclature: Default::default(),
            nomenclature_vector: TextVector::default(),
            encoded: Vec::new(),
            scores: vec![0.0; model.classes.len()],
            probabilities: zeros(),
            top: Default::default(),
        };
        scorer.set_valid_codes();
        scorer
    }

    /// Sets the year of the next descriptions: only codes that are valid in it are predicted.
    pub(crate) fn set_year(&mut self, year: i32) {
        let edition = self.model.nomenclature.edition_in(year);
        if edition != self.edition {
            self.edition = edition;
            self.set_valid_codes();
        }
    }

    /// Sets the attributes of the next descriptions; values that the model does not know add nothing.
    pub(crate) fn set_attributes(&mut self, attributes: &Attributes<'_>) {
        self.set_attribute_numbers(self.model.attributes.numbers(attributes));
    }

    /// The same, by the numbers that the model gives to the attributes.
    pub(crate) fn set_attribute_numbers(&mut self, numbers: [Option<usize>; KINDS]) {
        if numbers == self.attributes {
            return;
        }
        self.attributes = numbers;
        let mut scores = self.attribute_scores.take().unwrap_or_default();
        for (level, sums) in scores.iter_mut().enumerate() {
            sums.clear();
            sums.resize(self.model.classes.codes(level).len(), 0.0);
        }
        for (kind, number) in numbers.into_iter().enumerate() {
            if let Some(number) = number {
                self.model.attributes.add(kind, number, self.weights[ATTRIBUTES + kind], &mut scores);
            }
        }
        let classes = &self.model.classes;
        let of_heading = |heading: usize| scores[1][heading] + largest(&scores[2][classes.under(1, heading)]);
        let of_chapter =
            |chapter| classes.under(0, chapter).map(of_heading).fold(f32::NEG_INFINITY, f32::max);
        self.attribute_maxima.clear();
        self.attribute_maxima.extend((0..scores[0].len()).map(of_chapter));
        self.attribute_scores = numbers.iter().any(Option::is_some).then_some(scores);
    }

    /// Computes each subheading's frequency score and label noise under the current edition; an invalid code gets
    /// neither.
    fn set_valid_codes(&mut self) {
        let model = self.model;
        let is_valid = |class: usize| {
            let code = model.code(LEVELS - 1, class);
            self.edition.is_none_or(|edition| model.nomenclature.is_valid(code, edition))
        };
        let valid: Vec<bool> = (0..model.classes.len()).map(is_valid).collect();
        let frequency = |texts: &u32| self.weights[FREQUENCY] * (*texts.max(&1) as f32).ln();
        self.frequencies = model.training_texts.iter().map(frequency).collect();
        let shares = &model.shares[LEVELS - 1];
        let valid_shares = || shares.iter().zip(&valid).filter(|(_, valid)| **valid);
        let all = valid_shares().map(|(share, _)| *share).sum::<f32>().max(f32::MIN_POSITIVE);
        self.noise.iter_mut().for_each(|noise| noise.fill(0.0));
        for (class, path) in model.classes.paths().iter().enumerate() {
            if !valid[class] {
                self.frequencies[class] = f32::NEG_INFINITY;
                continue;
            }
            let own = self.fusion.label_noise as f32 * shares[class] / all;
            for (noise, class) in self.noise.iter_mut().zip(path) {
                noise[*class as usize] += own;
            }
        }
    }

    /// Whether descriptions need embeddings.
    pub(crate) fn uses_encoder(&self) -> bool {
        self.fusion.uses_encoder()
    }

    /// Scores a description, given its embedding ([`HsModel::encode`]; empty without an encoder). The other methods
    /// then give its results.
    pub(crate) fn score(&mut self, description: &str, embedding: &[f32]) {
        // An encoder may favour any chapter, and takes far longer than a search of all of them.
        let distance = if self.fusion.uses_encoder() { f32::INFINITY } else { BEAM };
        self.score_within(description, embedding, distance);
    }

    /// Scores a description in the chapters whose part of the score is at most `distance` below the best one's;
    /// subheadings of other chapters get the probability of label noise.
    pub(crate) fn score_within(&mut self, description: &str, embedding: &[f32], distance: f32) {
        self.prepare(description, embedding, distance);
        let Self { model, weights, beam, below, scores, .. } = self;
        let (classes, places) = (&model.classes, &model.weights_below);
        let uses_precedents = self.fusion.uses_precedents();
        let mut largest = f32::NEG_INFINITY;
        for chapter in members(*beam) {
            for heading in classes.under(0, chapter) {
                let mut above = self.parts[chapter] + weights[1] * below[places.heading(chapter, heading)];
                if let Some(similarity) = self.nomenclature[0].get(heading) {
                    above += weights[NOMENCLATURE] * similarity;
                }
                if let Some(attributes) = &self.attribute_scores {
                    above += attributes[1][heading];
                }
                if uses_precedents {
                    above += vote(weights, &self.votes, 1, heading);
                }
                for class in classes.under(1, heading) {
                    let margin = below[places.subheading(chapter, class)];
                    let mut score = above + weights[2] * margin + self.frequencies[class];
                    if uses_precedents {
                        score +=
                            vote(weights, &self.votes, 2, class) + weights[NEAREST] * self.nearest[class];
                    }
                    if let Some(similarity) = self.nomenclature[1].get(class) {
                        score += weights[NOMENCLATURE + 1] * similarity;
                    }
                    if let Some(encoded) = self.encoded.get(class) {
                        score += weights[ENCODER] * encoded;
                    }
                    if let Some(attributes) = &self.attribute_scores {
                        score += attributes[2][class];
                    }
                    scores[class] = score;
                    largest = largest.max(score);
                }
            }
        }
        let mut sum = 0.0;
        for chapter in members(*beam) {
            let headings = classes.under(0, chapter);
            let subheadings = classes.under(1, headings.start).start..classes.under(1, headings.end - 1).end;
            for score in &mut scores[subheadings] {
                let less = *score - largest;
                // The comparison is false, too, where all scores are minus infinity: no code of the beam is valid.
                *score = if less >= LEAST_SCORE { less.exp() } else { 0.0 };
                sum += *score;
            }
        }
        let scale = if sum > 0.0 { (1.0 - self.fusion.label_noise as f32) / sum } else { 0.0 };
        for (probabilities, noise) in self.probabilities.iter_mut().zip(&self.noise) {
            probabilities.copy_from_slice(noise);
        }
        let [of_chapters, of_headings, of_subheadings] = &mut self.probabilities;
        for chapter in members(*beam) {
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
        for (level, top) in self.top.iter_mut().enumerate() {
            top_k(&self.probabilities[level], TOP_K[level], &mut self.ordered, top);
        }
    }

    /// The most likely classes of a level with their probabilities, at most [`TOP_K`], the most likely first; among
    /// equals the one with the lower number.
    pub(crate) fn top(&self, level: usize) -> &[(usize, f32)] {
        &self.top[level]
    }

    /// The most likely codes of a level, the most likely first; at most [`TOP_K`].
    pub fn best(&self, level: usize, count: usize) -> Vec<Choice> {
        let choice = |(class, probability): &(usize, f32)| Choice {
            code: written(self.model.code(level, *class), level),
            probability: *probability,
        };
        self.top[level].iter().take(count).map(choice).collect()
    }

    /// The rank of a six-digit code's class among a level's classes, from 1, and its probability; `None` when no
    /// training text has it.
    pub(crate) fn rank(&self, code: u32, level: usize) -> Option<(u32, f32)> {
        let class = self.model.classes.number(at_level(code, level), level)?;
        let probabilities = &self.probabilities[level];
        Some((count_before(probabilities, class) + 1, probabilities[class]))
    }

    /// The most likely codes with national digits, the most likely first; a subheading without national codes stands
    /// for itself.
    pub fn best_national(&self, count: usize) -> Vec<Choice> {
        let (mut shares, mut codes) = (Vec::new(), Vec::new());
        for (class, probability) in self.top[LEVELS - 1].iter().copied() {
            self.national_shares(class, &mut shares);
            if shares.is_empty() {
                codes.push((Err(class), probability));
            }
            codes.extend(shares.iter().map(|(code, share)| (Ok(*code), probability * share)));
        }
        codes.sort_by(|one, other| other.1.total_cmp(&one.1));
        let code = |code: Result<u64, usize>| match code {
            Ok(code) => written_national(code),
            Err(class) => written(self.model.code(LEVELS - 1, class), LEVELS - 1),
        };
        let choice = |(own, probability)| Choice { code: code(own), probability };
        codes.into_iter().take(count).map(choice).collect()
    }

    /// The rank of a code with national digits, from 1, and its probability; `None` when no training text has it.
    pub(crate) fn rank_national(&self, code: &str) -> Option<(u32, f32)> {
        let wanted = national(code);
        let class = self.model.classes.number(six_digits(code)?, LEVELS - 1)?;
        let probabilities = &self.probabilities[LEVELS - 1];
        let mut shares = Vec::new();
        self.national_shares(class, &mut shares);
        let share = shares.iter().find(|(code, _)| *code == wanted).map(|(_, share)| *share)?;
        let own = probabilities[class] * share;
        let mut before = 0;
        for (class, probability) in above(probabilities, own) {
            before += if self.model.nationals.is_divided(class) {
                self.national_shares(class, &mut shares);
                shares.iter().filter(|(_, share)| probability * share > own).count()
            } else {
                1
            };
        }
        Some((before as u32 + 1, own))
    }

    /// The shares of a subheading's probability that its national codes have.
    fn national_shares(&self, class: usize, shares: &mut Vec<(u64, f32)>) {
        let precedents = &self.model.precedents;
        let votes = self.similar.iter().filter_map(|similar| {
            let precedent = &precedents[similar.number as usize];
            (precedent.class as usize == class)
                .then(|| (precedent.national, similar.similarity.powi(VOTE_POWER)))
        });
        self.model.nationals.shares(class, votes, shares);
    }

    /// Whether the description is too vague to choose a heading.
    pub fn is_vague(&self) -> bool {
        self.vector.features.is_empty()
            || self.top[1].first().is_none_or(|(_, probability)| *probability < self.model.vague_below)
    }

    /// Whether the description has a word, known to the model or not.
    pub fn has_words(&self) -> bool {
        self.extractor.words().len() > 0
    }

    /// The words and attributes that add most to the score of a six-digit code, with what they add; the largest first.
    pub fn words(&self, code: &str, count: usize) -> Vec<(String, f32)> {
        let class = code.parse().ok().and_then(|code| self.model.classes.number(code, LEVELS - 1));
        let Some(class) = class else { return Vec::new() };
        let path = self.model.classes.paths()[class];
        let mut added = vec![0.0_f32; self.extractor.words().len()];
        for (at, (feature, value)) in self.vector.row().pairs().enumerate() {
            for (level, class) in path.iter().enumerate() {
                let weight = self.model.weights[level].weight(feature, *class);
                added[self.vector.words[at] as usize] += self.weights[MARGINS + level] * weight * value;
            }
        }
        let mut words: Vec<(String, f32)> = self.extractor.words().map(str::to_owned).zip(added).collect();
        for (kind, number) in self.attributes.into_iter().enumerate() {
            if let Some(number) = number {
                let score = self.weights[ATTRIBUTES + kind] * self.model.attributes.score(kind, number, path);
                words.push((self.model.attributes.name(kind, number), score));
            }
        }
        words.retain(|(_, added)| *added > 0.0);
        words.sort_by(|one, other| other.1.total_cmp(&one.1));
        words.truncate(count);
        words
    }

    /// The past declarations that resemble the description most.
    pub fn similar(&self, count: usize) -> Vec<SimilarDeclaration> {
        let declaration = |similar: &Neighbour| {
            let precedent = &self.model.precedents[similar.number as usize];
            SimilarDeclaration {
                description: precedent.description.clone(),
                code: written(self.model.code(LEVELS - 1, precedent.class as usize), LEVELS - 1),
                similarity: similar.similarity.min(1.0),
            }
        };
        self.similar.iter().take(count).map(declaration).collect()
    }

    /// The class of a six-digit code; `None` when no training text has it.
    pub(crate) fn subheading(&self, code: u32) -> Option<usize> {
        self.model.classes.number(code, LEVELS - 1)
    }

    /// The share of the training texts that belong to a subheading.
    pub(crate) fn training_share(&self, subheading: usize) -> f32 {
        self.model.shares[LEVELS - 1][subheading]
    }

    /// The probabilities of all classes of a level.
    pub(crate) fn probabilities(&self, level: usize) -> &[f32] {
        &self.probabilities[level]
    }

    /// Reads a description, scores the chapters, chooses the beam, and computes the margins below it.
    fn prepare(&mut self, description: &str, embedding: &[f32], distance: f32) {
        if self.description.as_deref() != Some(description) {
            self.read(description, embedding);
        }
        self.parts.clear();
        self.parts.extend(self.margins.iter().map(|margin| self.weights[MARGINS] * margin));
        if self.fusion.uses_precedents() {
            for (chapter, part) in self.parts.iter_mut().enumerate() {
                *part += vote(&self.weights, &self.votes, 0, chapter);
            }
        }
        if let Some(attributes) = &self.attribute_scores {
            for (part, attribute) in self.parts.iter_mut().zip(&attributes[0]) {
                *part += attribute;
            }
        }
        self.bounds.clear();
        self.bounds.extend_from_slice(&self.parts);
        if self.attribute_scores.is_some() {
            self.bounds.iter_mut().zip(&self.attribute_maxima).for_each(|(bound, most)| *bound += most);
        }
        self.choose_beam(distance);
        self.model.weights_below.margins(self.vector.row(), self.beam, &mut self.below, &mut self.buffers);
    }

    /// Chooses the chapters of the beam: those within the distance of the best one, or the best [`MOST_CHAPTERS`] of
    /// them in a fast search; all for an infinite distance.
    fn choose_beam(&mut self, distance: f32) {
        let mut least = largest(&self.bounds) - distance;
        let fast = distance.is_finite() && !self.fusion.uses_precedents() && self.attribute_scores.is_none();
        if fast && self.bounds.len() > MOST_CHAPTERS {
            self.ordered.clear();
            self.ordered.extend_from_slice(&self.bounds);
            let by = |one: &f32, other: &f32| other.total_cmp(one);
            least = least.max(*self.ordered.select_nth_unstable_by(MOST_CHAPTERS - 1, by).1);
        }
        let likely = self.bounds.iter().enumerate().filter(|(_, bound)| **bound >= least);
        self.beam = likely.fold(0, |beam, (chapter, _)| beam | 1 << chapter);
    }

    /// Reads a description and computes what depends neither on the beam nor on the attributes. It is not called again
    /// for the same description, which often follows itself in declarations.
    fn read(&mut self, description: &str, embedding: &[f32]) {
        let known = self.description.get_or_insert_default();
        known.clear();
        known.push_str(description);
        let features = self.extractor.read(description);
        self.model.vocabulary.vector(features, &mut self.vector);
        if let Some(texts) =
            self.model.nomenclature_texts.as_ref().filter(|_| self.fusion.uses_nomenclature())
        {
            texts.similarities(features, &mut self.nomenclature_vector, &mut self.nomenclature);
        }
        self.encoded.clear();
        if let Some(encoder) = self.model.encoder.as_ref().filter(|_| self.fusion.uses_encoder()) {
            encoder.head.logarithms(embedding, &mut self.encoded);
        }
        self.model.weights[0].margins(self.vector.row(), &mut self.margins);
        self.similar.clear();
        if self.fusion.uses_precedents() {
            self.search_precedents();
        }
    }

    /// Finds the similar precedents and counts their votes.
    fn search_precedents(&mut self) {
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

    /// The inputs of a subheading of the beam, once a description is scored.
    pub(crate) fn inputs(&self, class: usize) -> Inputs {
        let path = self.model.classes.paths()[class].map(|class| class as usize);
        let [chapter, heading, own] = path;
        let mut inputs = [0.0; INPUTS];
        let below = &self.model.weights_below;
        let places = [below.heading(chapter, heading), below.subheading(chapter, own)];
        let margins = [self.margins[chapter], self.below[places[0]], self.below[places[1]]];
        for (level, margin) in margins.into_iter().enumerate() {
            inputs[MARGINS + level] = f64::from(margin);
        }
        for (level, class) in path.into_iter().enumerate() {
            inputs[VOTES + level] = f64::from(logarithm(self.votes[level][class]));
        }
        inputs[NEAREST] = f64::from(self.nearest[class]);
        for (place, (similarities, class)) in self.nomenclature.iter().zip([heading, own]).enumerate() {
            inputs[NOMENCLATURE + place] =
                similarities.get(class).map_or(0.0, |similarity| f64::from(*similarity));
        }
        inputs[FREQUENCY] = f64::from(self.model.training_texts[class].max(1)).ln();
        inputs[ENCODER] = self.encoded.get(class).map_or(0.0, |encoded| f64::from(*encoded));
        for (kind, number) in self.attributes.into_iter().enumerate() {
            let score = |number| self.model.attributes.score(kind, number, self.model.classes.paths()[class]);
            inputs[ATTRIBUTES + kind] = number.map_or(0.0, |number| f64::from(score(number)));
        }
        inputs
    }
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The logarithm of a share of votes, less that of no vote at all, which is the same for all classes.
fn logarithm(share: f32) -> f32 {
    if share > 0.0 { ((share + LEAST_SHARE) / LEAST_SHARE).ln() } else { 0.0 }
}

/// What the votes for a class of a level add to a score.
fn vote(weights: &[f32; INPUTS], votes: &[Vec<f32>; LEVELS], level: usize, class: usize) -> f32 {
    weights[VOTES + level] * logarithm(votes[level][class])
}
