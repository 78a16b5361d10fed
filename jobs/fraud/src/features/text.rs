//! Features and their values as texts in the language of a page, for readers who do not know the model.
//!
//! A feature of the past is about one thing (`the importer`) or two things together (`HS 6 × origin`); where a
//! feature is a logarithm, the text gives the amount or the count itself. A reason of a score is a feature with its value,
//! or something that a network learned of the item's importer or HS code and that no feature shows. Start at
//! [`sentence`] and [`reason`].

use tidewaiter_declarations::COLUMNS;
use tidewaiter_report::words::Words;

use super::catalogue::{Feature, Measure, Source, features};

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a network learned of an item besides its features: a name for programs, and a text. A classifier without such
/// embeddings attributes nothing to them.
pub(crate) const LEARNED: [(&str, &str); 2] = [
    ("importer_embedding", "what the model learned of this importer from its items in the training months"),
    ("hs_code_embedding", "what the model learned of this HS code from its items in the training months"),
];

/// How many numbers attribute a score: one for each feature, then one for each of [`LEARNED`].
pub(crate) fn attribution_width() -> usize {
    features().len() + LEARNED.len()
}

/// The reason at `index` of an attribution, for programs.
pub(crate) fn reason_name(index: usize) -> &'static str {
    match features().get(index) {
        Some(feature) => &feature.name,
        None => LEARNED.get(index - features().len()).map_or("", |learned| learned.0),
    }
}

/// The reason at `index` of an attribution, in words; `value` as in [`sentence`].
pub(crate) fn reason(words: &Words, index: usize, value: impl Fn(usize) -> f32) -> String {
    match index.checked_sub(features().len()) {
        None => sentence(words, index, value),
        Some(learned) => LEARNED.get(learned).map_or_else(String::new, |own| words.say(own.1).to_owned()),
    }
}

/// What the reason at `index` is about, as the index of the first reason about the same: a price told in several ways is
/// one fact, and so are the outcomes of one history, and how often and how long ago it was seen.
pub(crate) fn theme(index: usize) -> usize {
    let subject = |feature: &Feature| match feature.source {
        Source::Past(Measure::PriceDeviation | Measure::PriceRatio, _) => Some((0, "")),
        Source::Row if ["ln_price_per_kg", "ln_value_per_quantity"].contains(&feature.name.as_str()) => {
            Some((0, ""))
        }
        Source::Past(Measure::Rate | Measure::Labelled, of) => Some((1, of)),
        Source::Past(Measure::Seen | Measure::Days, of) => Some((2, of)),
        _ => None,
    };
    let Some(own) = features().get(index).and_then(subject) else { return index };
    features().iter().position(|other| subject(other) == Some(own)).unwrap_or(index)
}

/// A short name of the feature: `past illicit share of the importer`.
pub(crate) fn label(words: &Words, feature: &Feature) -> String {
    let past = |text: &str, of: &'static str| words.fill(text, &[("of", words.say(of))]);
    match feature.source {
        Source::Past(Measure::Rate, of) => past(words.say("past illicit share of {of}"), of),
        Source::Past(Measure::Labelled, of) => past(words.say("past outcomes of {of}"), of),
        Source::Past(Measure::Seen, of) => past(words.say("past items of {of}"), of),
        Source::Past(Measure::Days, of) => past(words.say("days since the last item of {of}"), of),
        Source::Past(Measure::PriceDeviation, of) => past(words.say("price deviation from {of}"), of),
        Source::Past(Measure::PriceRatio, of) => past(words.say("price per kg against {of}"), of),
        Source::Code(name) => {
            let column = COLUMNS.iter().find(|column| column.name == name);
            let meaning = column.map_or(name, |column| column.meaning);
            words.say(meaning.split(',').next().unwrap_or(name)).to_owned()
        }
        Source::Row => match feature.name.as_str() {
            "ln_customs_value" => words.say("customs value"),
            "ln_net_mass" => words.say("net mass"),
            "ln_quantity" => words.say("supplementary quantity"),
            "ln_price_per_kg" => words.say("customs value per kg"),
            "ln_value_per_quantity" => words.say("customs value per unit of quantity"),
            "gross_net_ratio" => words.say("gross mass against net mass"),
            "duty_rate" => words.say("tariff rate"),
            "tax_rate" => words.say("rate of other taxes"),
            "tax_ratio" => words.say("duty and taxes against customs value"),
            "hs6_code" => words.say("commodity code, 6 digits"),
            "hs4_code" => words.say("heading, 4 digits"),
            "hs2_code" => words.say("chapter, 2 digits"),
            "day_of_week" => words.say("day of the week"),
            "month" => words.say("month of acceptance"),
            "day_of_year" => words.say("day of the year"),
            name => name,
        }
        .to_owned(),
    }
}

/// A sentence about what the feature measures.
pub(crate) fn meaning(words: &Words, feature: &Feature) -> String {
    let past = |text: &str, of: &'static str| words.fill(text, &[("of", words.say(of))]);
    let own = || label(words, feature);
    match feature.source {
        Source::Past(Measure::Rate, of) => past(
            words.say(
                "Illicit share of the earlier outcomes of {of}; the fewer there are, the more it is drawn towards the share \
                 of all items.",
            ),
            of,
        ),
        Source::Past(Measure::Labelled, of) => {
            past(words.say("How many earlier outcomes of {of} are known."), of)
        }
        Source::Past(Measure::Seen, of) => past(words.say("How many items of {of} came on earlier days."), of),
        Source::Past(Measure::Days, of) => past(words.say("Days since the last item of {of}."), of),
        Source::Past(Measure::PriceDeviation, of) => past(
            words.say("Customs value per kg against earlier items of {of}, in standard deviations of its logarithm."),
            of,
        ),
        Source::Past(Measure::PriceRatio, of) => past(
            words.say("Customs value per kg, divided by the geometric mean of earlier items of {of}."),
            of,
        ),
        Source::Code(_) => words.fill("The declared code: {feature}.", &[("feature", &own())]),
        Source::Row => words.fill("Declared: {feature}.", &[("feature", &own())]),
    }
}

/// The feature at `index` of [`features`] and its value for an item: `past illicit share of the importer: 41.2 %,
/// from 120 outcomes`. `value` gives the item's value of any feature; NaN is missing.
pub(crate) fn sentence(words: &Words, index: usize, value: impl Fn(usize) -> f32) -> String {
    let Some(feature) = features().get(index) else { return String::new() };
    let (own, name) = (value(index), label(words, feature));
    let with = |value: &str| words.fill("{name}: {value}", &[("name", &name), ("value", value)]);
    if own.is_nan() {
        return with(words.say("not known"));
    }
    let own = f64::from(own);
    match feature.source {
        Source::Past(measure, of) => {
            let mut text = past(words, &name, measure, of, own);
            let outcomes =
                features().iter().position(|other| other.source == Source::Past(Measure::Labelled, of));
            if let (Measure::Rate, Some(outcomes)) = (measure, outcomes) {
                let count = f64::from(value(outcomes)).exp_m1().round();
                let said = match count {
                    0.0 => return with(words.say("no earlier outcome is known")),
                    1.0 => words.say(", from 1 outcome"),
                    _ => words.say(", from {n} outcomes"),
                };
                text.push_str(&words.fill(said, &[("n", &words.numbers().count(count))]));
            }
            text
        }
        Source::Code(_) => match code(own) {
            // The feature ends after three bytes, so a longer code looks like one of three.
            code if code.len() == 3 => {
                words.fill("{name} beginning with {code}", &[("name", &name), ("code", &code)])
            }
            code => with(&code),
        },
        Source::Row => with(&declared(words, &feature.name, own)),
    }
}

fn past(words: &Words, name: &str, measure: Measure, of: &'static str, value: f64) -> String {
    let of = words.say(of);
    let numbers = words.numbers();
    let with = |value: String| words.fill("{name}: {value}", &[("name", name), ("value", &value)]);
    match measure {
        Measure::Rate => with(numbers.percent(value)),
        Measure::Labelled | Measure::Seen => match value.exp_m1().round() {
            0.0 if measure == Measure::Seen => words.fill("first item of {of}", &[("of", of)]),
            0.0 => words.fill("no past outcome of {of}", &[("of", of)]),
            count => with(numbers.count(count)),
        },
        Measure::Days => with(numbers.count(value)),
        Measure::PriceDeviation => {
            let text = match value < 0.0 {
                true => words.say("price per kg {n} standard deviations below the past of {of}"),
                false => words.say("price per kg {n} standard deviations above the past of {of}"),
            };
            words.fill(text, &[("n", &numbers.fixed(value.abs(), 1)), ("of", of)])
        }
        Measure::PriceRatio => match value.exp() {
            ratio if ratio < 1.995 => words.fill(
                "price per kg is {share} of the usual of {of}",
                &[("share", &numbers.percent(ratio)), ("of", of)],
            ),
            ratio => words.fill(
                "price per kg is {n} times the usual of {of}",
                &[("n", &numbers.fixed(ratio, 1)), ("of", of)],
            ),
        },
    }
}

fn declared(words: &Words, name: &str, value: f64) -> String {
    let numbers = words.numbers();
    let of = |names: &[&'static str]| {
        let index = (value as usize).checked_sub(1);
        index
            .and_then(|index| names.get(index))
            .map_or_else(|| numbers.number(value), |name| words.say(name).to_owned())
    };
    match name {
        "ln_customs_value" => numbers.number(value.exp_m1()),
        "ln_net_mass" => format!("{}\u{a0}kg", numbers.number(value.exp_m1())),
        "ln_quantity" => numbers.number(value.exp_m1()),
        "ln_price_per_kg" | "ln_value_per_quantity" => numbers.number(value.exp()),
        "gross_net_ratio" => words.fill("{n} times", &[("n", &numbers.number(value))]),
        "duty_rate" | "tax_rate" => format!("{}\u{a0}%", numbers.number(value)),
        "tax_ratio" => numbers.percent(value),
        "hs6_code" => format!("{value:06.0}"),
        "hs4_code" => format!("{value:04.0}"),
        "hs2_code" => format!("{value:02.0}"),
        "day_of_week" => of(&WEEKDAYS),
        "month" => of(&MONTHS),
        _ => numbers.number(value),
    }
}

/// The characters of a code by its number.
fn code(value: f64) -> String {
    let bytes: Vec<u8> = (value as u32).to_be_bytes().into_iter().filter(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use tidewaiter_report::words::Language;

    use super::*;

    fn text(name: &str, value: f32) -> String {
        let place = features().iter().position(|feature| feature.name == name).expect("a feature");
        let others = 3_f32.ln_1p();
        sentence(&Words::default(), place, |at| if at == place { value } else { others })
            .replace('\u{a0}', " ")
    }

    #[test]
    fn values_are_given_in_their_own_units() {
        insta::assert_snapshot!(
            [
                text("hs6_origin_rate", 0.412),
                text("importer_seen", 0.0),
                text("importer_seen", 124_f32.ln()),
                text("exporter_labelled", 0.0),
                text("declarant_days", 12.0),
                text("hs6_price_ratio", 0.31_f32.ln()),
                text("hs6_origin_price_ratio", 3.2_f32.ln()),
                text("hs6_price_deviation", -2.13),
                text("ln_customs_value", 1_250_300_f32.ln_1p()),
                text("ln_net_mass", 12.5_f32.ln_1p()),
                text("duty_rate", 8.0),
                text("tax_ratio", 0.285),
                text("hs6_code", 10_121.0),
                text("day_of_week", 7.0),
                text("month", 4.0),
                text("origin_code", f32::from(b'C') * 65536.0 + f32::from(b'N') * 256.0),
                text("preference_code", 65536.0 * 70.0 + 256.0 * 67.0 + 78.0),
                text("exporter_rate", f32::NAN),
            ]
            .join("\n"),
            @r"
        past illicit share of HS 6 × origin: 41.2 %, from 3 outcomes
        first item of the importer
        past items of the importer: 123
        no past outcome of the exporter
        days since the last item of the declarant: 12
        price per kg is 31.0 % of the usual of the HS 6 code
        price per kg is 3.2 times the usual of HS 6 × origin
        price per kg 2.1 standard deviations below the past of the HS 6 code
        customs value: 1,250,300
        net mass: 12.5 kg
        tariff rate: 8 %
        duty and taxes against customs value: 28.5 %
        commodity code, 6 digits: 010121
        day of the week: Sunday
        month of acceptance: April
        country of origin: CN
        tariff treatment or preference beginning with FCN
        past illicit share of the exporter: not known
        "
        );
    }

    #[test]
    fn every_feature_has_a_name_of_its_own_that_is_not_its_columns() {
        let words = Words::default();
        let label = |feature: &Feature| label(&words, feature);
        let labels: std::collections::BTreeSet<String> = features().iter().map(label).collect();
        assert_eq!(labels.len(), features().len());
        for feature in features() {
            assert!(feature.name == "month" || label(feature) != feature.name, "{}", feature.name);
            assert!(
                !label(feature).contains('_') && meaning(&words, feature).ends_with('.'),
                "{}",
                feature.name
            );
            assert!(label(feature).chars().count() <= 57, "{}", label(feature));
        }
    }

    #[test]
    fn every_feature_is_named_in_every_language() {
        let english = Words::default();
        for language in [Language::French, Language::Spanish] {
            let words = Words::new(language, &[include_str!("../report/words.tsv")]);
            for feature in features() {
                for (own, other) in [
                    (label(&words, feature), label(&english, feature)),
                    (meaning(&words, feature), meaning(&english, feature)),
                ] {
                    assert_ne!(own, other, "{}", feature.name);
                    assert!(!own.contains('{') && !own.contains(" the "), "{own}");
                }
                let [one, other] = [&words, &english].map(|words| sentence(words, 0, |_| 0.5));
                assert_ne!(one, other);
            }
            for name in WEEKDAYS.iter().chain(&MONTHS).chain(LEARNED.iter().map(|learned| &learned.1)) {
                assert_ne!(words.say(name), *name);
            }
        }
    }

    #[test]
    fn one_fact_told_in_several_ways_is_one_theme() {
        let of = |name: &str| {
            theme(features().iter().position(|feature| feature.name == name).expect("a feature"))
        };
        let prices =
            ["ln_price_per_kg", "hs6_price_ratio", "hs6_price_deviation", "hs6_origin_price_ratio"].map(of);
        assert!(prices.iter().all(|theme| *theme == prices[0]), "{prices:?}");
        assert_eq!(of("importer_rate"), of("importer_labelled"));
        assert_eq!(of("importer_seen"), of("importer_days"));
        assert!(of("importer_rate") != of("importer_seen") && of("importer_rate") != of("exporter_rate"));
        assert!(of("duty_rate") != of("tax_rate"));
        assert_eq!(theme(features().len() + 1), features().len() + 1, "what a network learned");
    }
}
