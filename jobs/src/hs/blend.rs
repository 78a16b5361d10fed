//! Three linear classifiers of the same features, blended to one.
//!
//! The first was learned to tell classes apart ([`super::svm`]). The second counts how usual each feature is in a class
//! ([`super::shrinkage`]), which is naive Bayes, and does better where texts are few (Ng and Jordan, "On Discriminative
//! vs. Generative Classifiers", NIPS 2001). The third is the direction of the sum of a subheading's texts (Rocchio's;
//! Han and Karypis, "Centroid-Based Document Classification", PKDD 2000). Their weighted sum is linear again, so that
//! scoring costs what one classifier costs; the weights are those under which the validation texts' codes are the most
//! likely. Start at [`Blend::of`].

use super::{
    loglinear::{Case, LogLinear},
    precedents::Index,
    shrinkage::shrunk,
    svm::Classifier,
    text::Reader,
    texts::Texts,
    tree::{Classes, LEVELS, Weights},
    vectors::{Vector, Vectors, Vocabulary},
};

/// The places of what is weighed: the learned margins of the three levels, how many texts taught, the usage of
/// features, and the similarity to the centre.
const TAUGHT: usize = LEVELS;
const USAGE: usize = TAUGHT + 1;
const CENTRE: usize = USAGE + 1;
const KINDS: usize = CENTRE + 1;

/// What evidence is multiplied by, so that weights of about 1 are wanted; what such weights say chooses the candidates.
const SCALES: [f64; KINDS] = [1.5, 1.2, 0.6, 0.6, 0.05, 6.0];

/// How many features of a class the usage in the class above counts for, by level.
const PRIORS: [f64; LEVELS] = [300.0, 100.0, 30.0];

/// Weights that are kept are at least this far from 0. On the validation texts of published declarations no accuracy
/// is lost by it, and half of the weights are.
const LEAST_WEIGHT: f32 = 0.2;

/// The classifiers.
pub(super) struct Blend<'a> {
    vocabulary: &'a Vocabulary,
    classes: &'a Classes,
    taught: &'a [u32],
    learned: [Weights; LEVELS],
    usage: [Weights; LEVELS],
    /// Of subheadings.
    centres: Weights,
}

impl<'a> Blend<'a> {
    /// The classifiers that were learned, and those that are counted on the vectors of training texts, which are in
    /// the order of their codes.
    pub(super) fn of(
        vocabulary: &'a Vocabulary,
        classes: &'a Classes,
        taught: &'a [u32],
        vectors: &Vectors,
        classifiers: &[Classifier],
    ) -> Self {
        let mut from = 0;
        let learned = std::array::from_fn(|level| {
            let count = classes.codes(level).len();
            from += count;
            Weights::of(vocabulary.len(), &classifiers[from - count..from])
        });
        let class_of: Vec<u32> = (0..)
            .zip(taught)
            .flat_map(|(class, texts)| std::iter::repeat_n(class, *texts as usize))
            .collect();
        let index = Index::of(vectors, vocabulary.len());
        let (mut counts, mut sums) = (Vec::new(), Vec::new());
        let mut squares = vec![0.0_f64; classes.len()];
        for feature in 0..vocabulary.len() {
            let mut entries: Vec<(u32, f64, f64)> = Vec::new();
            for (text, value) in index.texts_with(feature) {
                let (class, value) = (class_of[text as usize], f64::from(value));
                match entries.last_mut().filter(|(last, ..)| *last == class) {
                    Some((_, count, sum)) => (*count, *sum) = (*count + 1.0, *sum + value),
                    None => entries.push((class, 1.0, value)),
                }
            }
            for (class, _, sum) in &entries {
                squares[*class as usize] += sum * sum;
            }
            counts.push(entries.iter().map(|(class, count, _)| (*class, *count)).collect());
            sums.push(entries.into_iter().map(|(class, _, sum)| (class, sum)).collect::<Vec<_>>());
        }
        let mut usage = shrunk(classes, &counts, PRIORS);
        // A bias counts once for each feature, with the feature's value; texts have about the same sum of values.
        let values: f64 =
            (0..vectors.len()).flat_map(|text| vectors.row(text).values).map(|value| f64::from(*value)).sum();
        let mean = (values / vectors.len().max(1) as f64) as f32;
        usage.iter_mut().flat_map(|weights| &mut weights.biases).for_each(|bias| *bias *= mean);

        let mut centres = Weights { starts: vec![0], biases: vec![0.0; classes.len()], ..Weights::default() };
        for entries in sums {
            for (class, sum) in entries {
                centres.classes.push(class);
                centres.weights.push((sum / squares[class as usize].sqrt()) as f32);
            }
            centres.starts.push(centres.classes.len() as u32);
        }
        Self { vocabulary, classes, taught, learned, usage, centres }
    }

    /// One classifier for each class, blended as texts with known codes want it.
    pub(super) fn blended(self, valid: &Texts) -> [Weights; LEVELS] {
        let mut weighing = LogLinear { weights: [1.0; KINDS], doubt: 0.02 };
        weighing.climb(&self.cases(valid), &(0..KINDS).collect::<Vec<_>>(), Some(valid.codes.len()));
        let weights: [f32; KINDS] =
            std::array::from_fn(|kind| (weighing.weights[kind] * SCALES[kind]) as f32);
        std::array::from_fn(|level| {
            let mut parts =
                vec![(&self.learned[level], weights[level]), (&self.usage[level], weights[USAGE])];
            if level == LEVELS - 1 {
                parts.push((&self.centres, weights[CENTRE]));
            }
            Weights::sum(&parts).pruned(LEAST_WEIGHT)
        })
    }

    fn cases(&self, valid: &Texts) -> Vec<Case<KINDS>> {
        let (mut reader, mut vector) = (Reader::default(), Vector::default());
        let mut learned: [Vec<f32>; LEVELS] = Default::default();
        let mut usage: [Vec<f32>; LEVELS] = Default::default();
        let (mut centres, mut scores) = (Vec::new(), Vec::new());
        let all: u32 = self.taught.iter().sum();
        let mut cases = Vec::new();
        for (description, code) in valid.descriptions.iter().zip(&valid.codes) {
            let Some(right) = self.classes.number(*code, LEVELS - 1) else { continue };
            self.vocabulary.vector(reader.read(description), &mut vector);
            let row = vector.row();
            for level in 0..LEVELS {
                self.learned[level].margins(row, &mut learned[level]);
                self.usage[level].margins(row, &mut usage[level]);
            }
            self.centres.margins(row, &mut centres);
            let evidence = |class: usize| {
                let mut evidence = [0.0; KINDS];
                for (level, class) in self.classes.paths()[class].into_iter().enumerate() {
                    evidence[level] = f64::from(learned[level][class as usize]);
                    evidence[USAGE] += f64::from(usage[level][class as usize]);
                }
                evidence[TAUGHT] = f64::from(self.taught[class].max(1)).ln();
                evidence[CENTRE] = f64::from(centres[class]);
                evidence.iter_mut().zip(SCALES).for_each(|(value, scale)| *value *= scale);
                evidence
            };
            scores.clear();
            scores.extend((0..self.classes.len()).map(|class| evidence(class).iter().sum::<f64>() as f32));
            let chance = f64::from(self.taught[right]) / f64::from(all.max(1));
            cases.push(Case::of(&scores, right, chance, evidence));
        }
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blend_is_the_weighted_sum_of_its_parts() {
        let goods = [
            ("live horses", 10_129),
            ("live horses", 10_129),
            ("horses for racing", 10_129),
            ("frozen shrimps", 30_617),
            ("frozen shrimps peeled", 30_617),
            ("steel pipe", 730_419),
            ("steel pipe frozen", 730_419),
        ];
        let texts = Texts {
            descriptions: goods.iter().map(|(text, _)| (*text).to_owned()).collect(),
            codes: goods.iter().map(|(_, code)| *code).collect(),
            nationals: vec![0; goods.len()],
        };
        let words = || texts.descriptions.iter().map(String::as_str);
        let (vocabulary, classes) = (Vocabulary::of(words()), Classes::new(vec![10_129, 30_617, 730_419]));
        let vectors = Vectors::of(&vocabulary, words());
        let classifiers: Vec<_> = (0..9)
            .map(|number| Classifier { bias: number as f32 / 10.0, weights: vec![(number % 4, 0.5)] })
            .collect();
        let blend = Blend::of(&vocabulary, &classes, &[3, 2, 2], &vectors, &classifiers);

        // A centre has length 1, and its product with a text is that of the sum of the class's texts.
        let mut centres = Vec::new();
        blend.centres.margins(vectors.row(3), &mut centres);
        let product = |one: usize, other: usize| -> f32 {
            let dense = |at: usize| {
                let mut dense = vec![0.0; vocabulary.len()];
                vectors.row(at).pairs().for_each(|(feature, value)| dense[feature] = value);
                dense
            };
            dense(one).iter().zip(dense(other)).map(|(one, other)| one * other).sum()
        };
        let length = (2.0 + 2.0 * product(3, 4)).sqrt();
        assert!((centres[1] - (1.0 + product(3, 4)) / length).abs() < 1e-5, "{centres:?}");

        let mut parts = Vec::new();
        for (weights, factor) in [(&blend.learned[2], 2.0), (&blend.usage[2], -1.0), (&blend.centres, 0.5)] {
            let mut margins = Vec::new();
            weights.margins(vectors.row(6), &mut margins);
            parts.push(margins.into_iter().map(|margin| factor * margin).collect::<Vec<f32>>());
        }
        let sum = Weights::sum(&[(&blend.learned[2], 2.0), (&blend.usage[2], -1.0), (&blend.centres, 0.5)]);
        assert!(sum.is_whole(vocabulary.len(), 3));
        let mut margins = Vec::new();
        sum.margins(vectors.row(6), &mut margins);
        for (class, margin) in margins.iter().enumerate() {
            let expected: f32 = parts.iter().map(|part| part[class]).sum();
            assert!((margin - expected).abs() < 1e-4, "{class}: {margin} and {expected}");
        }

        let blended = blend.blended(&texts);
        for (text, code) in texts.codes.iter().enumerate() {
            let mut scores = vec![0.0; 3];
            for weights in &blended {
                weights.margins(vectors.row(text), &mut margins);
                scores.iter_mut().zip(&margins).for_each(|(score, margin)| *score += margin);
            }
            let best = (0..3).max_by(|one, other| scores[*one].total_cmp(&scores[*other])).expect("three");
            assert_eq!(classes.codes(2)[best], *code, "{scores:?}");
        }
    }
}
