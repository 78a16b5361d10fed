//! Blends three linear classifiers of the same features into one.
//!
//! The first is discriminative: a support vector machine for each class ([`super::svm`]). The second is naive Bayes,
//! smoothed along the HS tree ([`super::smoothing`]), which does better where texts are few (Ng and Jordan, "On
//! Discriminative vs. Generative Classifiers", NIPS 2001). The third is the centroid of a subheading's texts
//! (Rocchio's; Han and Karypis, "Centroid-Based Document Classification", PKDD 2000). Their errors differ, most where
//! texts are few. Their weighted sum is linear again, so that scoring costs what one classifier costs; the weights are
//! fitted on the validation texts. Start at [`Blend::of`].

use super::{loglinear::Case, smoothing::smoothed_weights};
use crate::{
    codes::{digits::LEVELS, tree::CodeTree},
    features::{
        ngrams::Extractor,
        texts::LabelledTexts,
        vectors::{TextVector, TextVectors, Vocabulary},
    },
    model::{
        inverted_index::InvertedIndex,
        loglinear::LogLinear,
        weights::{ClassWeights, Classifier},
    },
};

/// The inputs of the fit: the margins of the support vector machines of the three levels, the logarithm of the number
/// of training texts, the naive Bayes score, and the similarity to the centroid.
const FREQUENCY: usize = LEVELS;
const BAYES: usize = FREQUENCY + 1;
const CENTROID: usize = BAYES + 1;
const INPUTS: usize = CENTROID + 1;

/// Factors of the inputs that make weights of about 1 right; with weights of 1 they also choose the candidates.
const SCALES: [f64; INPUTS] = [1.5, 1.2, 0.6, 0.6, 0.05, 6.0];

/// The weight of the parent class's shares in the smoothing, in features, by level.
const PRIORS: [f64; LEVELS] = [300.0, 100.0, 30.0];

/// The least absolute value of a weight that is kept. On the validation texts of published declarations this loses no
/// accuracy, and half of the weights.
const LEAST_WEIGHT: f32 = 0.2;

/// The classifiers to blend.
pub(crate) struct Blend<'a> {
    vocabulary: &'a Vocabulary,
    classes: &'a CodeTree,
    training_texts: &'a [u32],
    svm: [ClassWeights; LEVELS],
    bayes: [ClassWeights; LEVELS],
    /// The centroids of subheadings.
    centroids: ClassWeights,
}

impl<'a> Blend<'a> {
    /// The support vector machines (chapters, headings, subheadings), and the other classifiers of the vectors of the
    /// training texts, which are in the order of their codes.
    pub(crate) fn of(
        vocabulary: &'a Vocabulary,
        classes: &'a CodeTree,
        training_texts: &'a [u32],
        vectors: &TextVectors,
        classifiers: &[Classifier],
    ) -> Self {
        let mut from = 0;
        let svm = std::array::from_fn(|level| {
            let count = classes.codes(level).len();
            from += count;
            ClassWeights::of(vocabulary.len(), &classifiers[from - count..from])
        });
        let class_of: Vec<u32> = (0..)
            .zip(training_texts)
            .flat_map(|(class, texts)| std::iter::repeat_n(class, *texts as usize))
            .collect();
        let index = InvertedIndex::of(vectors, vocabulary.len());
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
        let mut bayes = smoothed_weights(classes, &counts, PRIORS);
        // A bias belongs to each feature of a text, times the feature's value; all texts have about the same sum of
        // values.
        let values: f64 =
            (0..vectors.len()).flat_map(|text| vectors.row(text).values).map(|value| f64::from(*value)).sum();
        let mean = (values / vectors.len().max(1) as f64) as f32;
        bayes.iter_mut().flat_map(|weights| &mut weights.biases).for_each(|bias| *bias *= mean);

        let mut centroids =
            ClassWeights { starts: vec![0], biases: vec![0.0; classes.len()], ..ClassWeights::default() };
        for entries in sums {
            for (class, sum) in entries {
                centroids.classes.push(class);
                centroids.weights.push((sum / squares[class as usize].sqrt()) as f32);
            }
            centroids.starts.push(centroids.classes.len() as u32);
        }
        Self { vocabulary, classes, training_texts, svm, bayes, centroids }
    }

    /// The blended classifier of each class, with weights that are fitted on the validation texts.
    pub(crate) fn fit(self, valid: &LabelledTexts) -> [ClassWeights; LEVELS] {
        let mut fitted = LogLinear { weights: [1.0; INPUTS], label_noise: 0.02 };
        fitted.maximise_likelihood(
            &self.cases(valid),
            &(0..INPUTS).collect::<Vec<_>>(),
            Some(valid.codes.len()),
        );
        let weights: [f32; INPUTS] =
            std::array::from_fn(|input| (fitted.weights[input] * SCALES[input]) as f32);
        std::array::from_fn(|level| {
            let mut parts = vec![(&self.svm[level], weights[level]), (&self.bayes[level], weights[BAYES])];
            if level == LEVELS - 1 {
                parts.push((&self.centroids, weights[CENTROID]));
            }
            ClassWeights::sum(&parts).pruned(LEAST_WEIGHT)
        })
    }

    fn cases(&self, valid: &LabelledTexts) -> Vec<Case<INPUTS>> {
        let (mut extractor, mut vector) = (Extractor::default(), TextVector::default());
        let mut svm: [Vec<f32>; LEVELS] = Default::default();
        let mut bayes: [Vec<f32>; LEVELS] = Default::default();
        let (mut centroids, mut scores) = (Vec::new(), Vec::new());
        let all: u32 = self.training_texts.iter().sum();
        let mut cases = Vec::new();
        for (description, code) in valid.descriptions.iter().zip(&valid.codes) {
            let Some(right) = self.classes.number(*code, LEVELS - 1) else { continue };
            self.vocabulary.vector(extractor.read(description), &mut vector);
            let row = vector.row();
            for level in 0..LEVELS {
                self.svm[level].margins(row, &mut svm[level]);
                self.bayes[level].margins(row, &mut bayes[level]);
            }
            self.centroids.margins(row, &mut centroids);
            let inputs = |class: usize| {
                let mut inputs = [0.0; INPUTS];
                for (level, class) in self.classes.paths()[class].into_iter().enumerate() {
                    inputs[level] = f64::from(svm[level][class as usize]);
                    inputs[BAYES] += f64::from(bayes[level][class as usize]);
                }
                inputs[FREQUENCY] = f64::from(self.training_texts[class].max(1)).ln();
                inputs[CENTROID] = f64::from(centroids[class]);
                inputs.iter_mut().zip(SCALES).for_each(|(value, scale)| *value *= scale);
                inputs
            };
            scores.clear();
            scores.extend((0..self.classes.len()).map(|class| inputs(class).iter().sum::<f64>() as f32));
            let prior = f64::from(self.training_texts[right]) / f64::from(all.max(1));
            cases.push(Case::of(&scores, right, prior, inputs));
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
        let texts = LabelledTexts {
            descriptions: goods.iter().map(|(text, _)| (*text).to_owned()).collect(),
            codes: goods.iter().map(|(_, code)| *code).collect(),
            nationals: vec![0; goods.len()],
        };
        let words = || texts.descriptions.iter().map(String::as_str);
        let (vocabulary, classes) = (Vocabulary::of(words()), CodeTree::new(vec![10_129, 30_617, 730_419]));
        let vectors = TextVectors::of(&vocabulary, words());
        let classifiers: Vec<_> = (0..9)
            .map(|number| Classifier { bias: number as f32 / 10.0, weights: vec![(number % 4, 0.5)] })
            .collect();
        let blend = Blend::of(&vocabulary, &classes, &[3, 2, 2], &vectors, &classifiers);

        // A centroid has length 1, and its product with a text is that of the sum of the class's texts.
        let mut centroids = Vec::new();
        blend.centroids.margins(vectors.row(3), &mut centroids);
        let product = |one: usize, other: usize| -> f32 {
            let dense = |at: usize| {
                let mut dense = vec![0.0; vocabulary.len()];
                vectors.row(at).pairs().for_each(|(feature, value)| dense[feature] = value);
                dense
            };
            dense(one).iter().zip(dense(other)).map(|(one, other)| one * other).sum()
        };
        let length = (2.0 + 2.0 * product(3, 4)).sqrt();
        assert!((centroids[1] - (1.0 + product(3, 4)) / length).abs() < 1e-5, "{centroids:?}");

        let mut parts = Vec::new();
        for (weights, factor) in [(&blend.svm[2], 2.0), (&blend.bayes[2], -1.0), (&blend.centroids, 0.5)] {
            let mut margins = Vec::new();
            weights.margins(vectors.row(6), &mut margins);
            parts.push(margins.into_iter().map(|margin| factor * margin).collect::<Vec<f32>>());
        }
        let sum =
            ClassWeights::sum(&[(&blend.svm[2], 2.0), (&blend.bayes[2], -1.0), (&blend.centroids, 0.5)]);
        assert!(sum.is_whole(vocabulary.len(), 3));
        let mut margins = Vec::new();
        sum.margins(vectors.row(6), &mut margins);
        for (class, margin) in margins.iter().enumerate() {
            let expected: f32 = parts.iter().map(|part| part[class]).sum();
            assert!((margin - expected).abs() < 1e-4, "{class}: {margin} and {expected}");
        }

        let blended = blend.fit(&texts);
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
