//! Scoring one description after the other: probabilities, ranks and reasons.
//!
//! The chapters are scored first, and the search goes on in the likely ones only (a beam; see `branches`),
//! or in all of them where an encoder speaks for codes too.
//! Probabilities of headings and chapters are sums of those of their subheadings, so that the three levels
//! agree. Buffers are used again; a [`Scorer`] belongs to one thread.

use super::{
    branches::{Chapters, Room, numbers},
    fusion::{
        Case, ENCODER, EVIDENCE, Evidence, LEAST_SHARE, MARGINS, NAMES, NEAREST, STATED, TAUGHT, VOTES,
        Weighing,
    },
    leaders::{above, before, leaders},
    model::Model,
    names::NAMED,
    national,
    particulars::{KINDS, Particulars},
    precedents::Similar,
    score::SUGGESTED,
    text::Reader,
    tree::{LEVELS, at_level, six_digits, written},
    vectors::Vector,
};

/// The exponent of a precedent's similarity in its vote: nearer ones count far more.
const VOTE_POWER: i32 = 4;

/// A score so far below the best has the probability 0: it would be less than a ten-millionth.
const LEAST_SCORE: f32 = -17.0;

/// Chapters whose part of the score is farther below the best one's are not searched. On the validation
/// texts of published declarations no accuracy is lost by it.
const BEAM: f32 = 4.0;

/// Most chapters that are searched by a description alone without precedents, which take longer than any search: a vague
/// text would have all of them. On the same texts, a declared code that was among the best ten is lost for one in two hundred.
const MOST_CHAPTERS: usize = 16;

/// Classes of each level that a scorer has in order: more subheadings than are suggested, as some of them part further.
const LEADING: [usize; LEVELS] = [SUGGESTED, SUGGESTED, 2 * SUGGESTED];

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
    /// The most that they add below each chapter.
    promised: Vec<f32>,
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
    /// The margins of headings and subheadings by their places in the branches; true in the beam's chapters.
    below: Vec<f32>,
    /// Room for finding the margins.
    room: Room,
    /// The part of the score that each chapter gives.
    parts: Vec<f32>,
    /// The most that each chapter may come to, as far as it is known before the search.
    hopes: Vec<f32>,
    /// Room for choosing the best of some.
    ordered: Vec<f32>,
    /// The chapters in which the search goes on.
    beam: Chapters,
    /// The votes of precedents for the classes of each level.
    votes: [Vec<f32>; LEVELS],
    /// The similarity of each subheading's nearest precedent.
    nearest: Vec<f32>,
    similarities: Vec<f32>,
    similar: Vec<Similar>,
    /// The similarity of each heading's and subheading's name; empty where none counts.
    named: [Vec<f32>; NAMED.len()],
    /// Room for a description's vector among names.
    among_names: Vector,
    /// The logarithm of each subheading's probability by the encoder's head; empty without one.
    encoded: Vec<f32>,
    scores: Vec<f32>,
    probabilities: [Vec<f32>; LEVELS],
    /// The most likely classes of each level with their probabilities.
    leading: [Vec<(usize, f32)>; LEVELS],
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
            promised: Vec::new(),
            numbers: [None; KINDS],
            priors: Vec::new(),
            doubts: zeros(),
            reader: Reader::default(),
            description: None,
            vector: Vector::default(),
            margins: Vec::new(),
            below: Vec::new(),
            room: Room::default(),
            parts: Vec::new(),
            hopes: Vec::new(),
            ordered: Vec::new(),
            beam: 0,
            votes: zeros(),
            nearest: vec![0.0; model.classes.len()],
            similarities: Vec::new(),
            similar: Vec::new(),
            named: Default::default(),
            among_names: Vector::default(),
            encoded: Vec::new(),
            scores: vec![0.0; model.classes.len()],
            probabilities: zeros(),
            leading: Default::default(),
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
        let classes = &self.model.classes;
        let of_heading = |heading: usize| stated[1][heading] + largest(&stated[2][classes.under(1, heading)]);
        let of_chapter =
            |chapter| classes.under(0, chapter).map(of_heading).fold(f32::NEG_INFINITY, f32::max);
        self.promised.clear();
        self.promised.extend((0..stated[0].len()).map(of_chapter));
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
        let (classes, branches) = (&model.classes, &model.branches);
        let uses_precedents = self.weighing.uses_precedents();
        let mut largest = f32::NEG_INFINITY;
        for chapter in numbers(*beam) {
            for heading in classes.under(0, chapter) {
                let mut above = self.parts[chapter] + weights[1] * below[branches.heading(chapter, heading)];
                if let Some(named) = self.named[0].get(heading) {
                    above += weights[NAMES] * named;
                }
                if let Some(stated) = &self.stated {
                    above += stated[1][heading];
                }
                if uses_precedents {
                    above += vote(weights, &self.votes, 1, heading);
                }
                for class in classes.under(1, heading) {
                    let margin = below[branches.subheading(chapter, class)];
                    let mut score = above + weights[2] * margin + self.priors[class];
                    if uses_precedents {
                        score +=
                            vote(weights, &self.votes, 2, class) + weights[NEAREST] * self.nearest[class];
                    }
                    if let Some(named) = self.named[1].get(class) {
                        score += weights[NAMES + 1] * named;
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
        for (level, leading) in self.leading.iter_mut().enumerate() {
            leaders(&self.probabilities[level], LEADING[level], &mut self.ordered, leading);
        }
    }

    /// The most likely classes of a level with their probabilities, [`LEADING`] of them where there are so many, the most
    /// likely first; of equals the one with the lower number.
    pub(super) fn leading(&self, level: usize) -> &[(usize, f32)] {
        &self.leading[level]
    }

    /// The most likely codes of a level, the most likely first; at most [`LEADING`].
    pub fn best(&self, level: usize, count: usize) -> Vec<Choice> {
        let choice = |(class, probability): &(usize, f32)| Choice {
            code: written(self.model.code(level, *class), level),
            probability: *probability,
        };
        self.leading[level].iter().take(count).map(choice).collect()
    }

    /// The place of a six-digit code's class among a level's classes, from 1, and its probability; `None`
    /// when no training text has it.
    pub(super) fn rank(&self, code: u32, level: usize) -> Option<(u32, f32)> {
        let class = self.model.classes.number(at_level(code, level), level)?;
        let probabilities = &self.probabilities[level];
        Some((before(probabilities, class) + 1, probabilities[class]))
    }

    /// The most likely codes with national digits, the most likely first; a subheading that has none stands for itself.
    pub fn best_national(&self, count: usize) -> Vec<Choice> {
        let (mut shares, mut codes) = (Vec::new(), Vec::new());
        for (class, probability) in self.leading[LEVELS - 1].iter().copied() {
            self.national_shares(class, &mut shares);
            if shares.is_empty() {
                codes.push((Err(class), probability));
            }
            codes.extend(shares.iter().map(|(code, share)| (Ok(*code), probability * share)));
        }
        codes.sort_by(|one, other| other.1.total_cmp(&one.1));
        let code = |code: Result<u64, usize>| match code {
            Ok(code) => national::written(code),
            Err(class) => written(self.model.code(LEVELS - 1, class), LEVELS - 1),
        };
        let choice = |(own, probability)| Choice { code: code(own), probability };
        codes.into_iter().take(count).map(choice).collect()
    }

    /// The place of a code with national digits, from 1, and its probability; `None` when no training text has it.
    pub(super) fn rank_national(&self, code: &str) -> Option<(u32, f32)> {
        let wanted = national::national(code);
        let class = self.model.classes.number(six_digits(code)?, LEVELS - 1)?;
        let probabilities = &self.probabilities[LEVELS - 1];
        let mut shares = Vec::new();
        self.national_shares(class, &mut shares);
        let share = shares.iter().find(|(code, _)| *code == wanted).map(|(_, share)| *share)?;
        let own = probabilities[class] * share;
        let mut before = 0;
        for (class, probability) in above(probabilities, own) {
            before += if self.model.nationals.is_parted(class) {
                self.national_shares(class, &mut shares);
                shares.iter().filter(|(_, share)| probability * share > own).count()
            } else {
                1
            };
        }
        Some((before as u32 + 1, own))
    }

    /// How a subheading's probability is shared out among its national codes.
    fn national_shares(&self, class: usize, shares: &mut Vec<(u64, f32)>) {
        let precedents = &self.model.precedents;
        let votes = self.similar.iter().filter_map(|similar| {
            let precedent = &precedents[similar.number as usize];
            (precedent.class as usize == class)
                .then(|| (precedent.national, similar.similarity.powi(VOTE_POWER)))
        });
        self.model.nationals.shares(class, votes, shares);
    }

    /// Whether the description says too little to choose a heading.
    pub fn is_vague(&self) -> bool {
        self.vector.features.is_empty()
            || self.leading[1].first().is_none_or(|(_, probability)| *probability < self.model.vague_below)
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
        let chance = f64::from(self.model.shares[LEVELS - 1][right]);
        Some(Case::of(&self.probabilities[LEVELS - 1], right, chance, |class| self.evidence(class)))
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
        self.hopes.clear();
        self.hopes.extend_from_slice(&self.parts);
        if self.stated.is_some() {
            self.hopes.iter_mut().zip(&self.promised).for_each(|(hope, promised)| *hope += promised);
        }
        self.choose(distance);
        self.model.branches.margins(self.vector.row(), self.beam, &mut self.below, &mut self.room);
    }

    /// Chooses the chapters of the beam: those near the best one, and of many only the best; all for a distance
    /// without end. Particulars may speak for a subheading and against its chapter, so that a chapter counts with the
    /// most that they add below it.
    fn choose(&mut self, distance: f32) {
        let mut least = largest(&self.hopes) - distance;
        let fast = distance.is_finite() && !self.weighing.uses_precedents() && self.stated.is_none();
        if fast && self.hopes.len() > MOST_CHAPTERS {
            self.ordered.clear();
            self.ordered.extend_from_slice(&self.hopes);
            let by = |one: &f32, other: &f32| other.total_cmp(one);
            least = least.max(*self.ordered.select_nth_unstable_by(MOST_CHAPTERS - 1, by).1);
        }
        let likely = self.hopes.iter().enumerate().filter(|(_, hope)| **hope >= least);
        self.beam = likely.fold(0, |beam, (chapter, _)| beam | 1 << chapter);
    }

    /// Reads a description: what it says by itself, whatever the beam and the particulars. Declarations often have
    /// the same one as the row before.
    fn read(&mut self, description: &str, embedding: &[f32]) {
        let known = self.description.get_or_insert_default();
        known.clear();
        known.push_str(description);
        let features = self.reader.read(description);
        self.model.vocabulary.vector(features, &mut self.vector);
        if let Some(names) = self.model.names.as_ref().filter(|_| self.weighing.uses_names()) {
            names.similarities(features, &mut self.among_names, &mut self.named);
        }
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
        let mut evidence = [0.0; EVIDENCE];
        let branches = &self.model.branches;
        let places = [branches.heading(chapter, heading), branches.subheading(chapter, own)];
        let margins = [self.margins[chapter], self.below[places[0]], self.below[places[1]]];
        for (level, margin) in margins.into_iter().enumerate() {
            evidence[MARGINS + level] = f64::from(margin);
        }
        for (level, class) in path.into_iter().enumerate() {
            evidence[VOTES + level] = f64::from(logarithm(self.votes[level][class]));
        }
        evidence[NEAREST] = f64::from(self.nearest[class]);
        for (place, (named, class)) in self.named.iter().zip([heading, own]).enumerate() {
            evidence[NAMES + place] = named.get(class).map_or(0.0, |named| f64::from(*named));
        }
        evidence[TAUGHT] = f64::from(self.model.taught[class].max(1)).ln();
        evidence[ENCODER] = self.encoded.get(class).map_or(0.0, |encoded| f64::from(*encoded));
        for (kind, number) in self.numbers.into_iter().enumerate() {
            let says = |number| self.model.usage.says(kind, number, self.model.classes.paths()[class]);
            evidence[STATED + kind] = number.map_or(0.0, |number| f64::from(says(number)));
        }
        evidence
    }
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The logarithm of a share of precedents, less that of no share, which is the same for all classes.
fn logarithm(share: f32) -> f32 {
    if share > 0.0 { ((share + LEAST_SHARE) / LEAST_SHARE).ln() } else { 0.0 }
}

/// What the precedents' votes for a class add to its score.
fn vote(weights: &[f32; EVIDENCE], votes: &[Vec<f32>; LEVELS], level: usize, class: usize) -> f32 {
    weights[VOTES + level] * logarithm(votes[level][class])
}
