//! Features and their values as texts, for readers who do not know the model.
//!
//! A feature of the past is about one thing (`the importer`) or two things together (`HS 6 × origin`); where a
//! feature is a logarithm, the text gives the amount or the count itself. A reason of a score is a feature with its value,
//! or something that a network learned of the item's importer or HS code and that no feature shows. Start at
//! [`sentence`] and [`reason`].

use tidewaiter_declarations::COLUMNS;
use tidewaiter_report::format;

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
pub(crate) fn reason(index: usize, value: impl Fn(usize) -> f32) -> String {
    match index.checked_sub(features().len()) {
        None => sentence(index, value),
        Some(learned) => LEARNED.get(learned).map_or_else(String::new, |learned| learned.1.to_owned()),
    }
}

/// A short name of the feature: `past illicit share of the importer`.
pub(crate) fn label(feature: &Feature) -> String {
    match feature.source {
        Source::Past(Measure::Rate, of) => format!("past illicit share of {of}"),
        Source::Past(Measure::Labelled, of) => format!("past outcomes of {of}"),
        Source::Past(Measure::Seen, of) => format!("past items of {of}"),
        Source::Past(Measure::Days, of) => format!("days since the last item of {of}"),
        Source::Past(Measure::PriceDeviation, of) => format!("price deviation from {of}"),
        Source::Past(Measure::PriceRatio, of) => format!("price per kg against {of}"),
        Source::Code(name) => {
            let column = COLUMNS.iter().find(|column| column.name == name);
            let meaning = column.map_or(name, |column| column.meaning);
            meaning.split(',').next().unwrap_or(name).to_owned()
        }
        Source::Row => match feature.name.as_str() {
            "ln_customs_value" => "customs value",
            "ln_net_mass" => "net mass",
            "ln_quantity" => "supplementary quantity",
            "ln_price_per_kg" => "customs value per kg",
            "ln_value_per_quantity" => "customs value per unit of quantity",
            "gross_net_ratio" => "gross mass against net mass",
            "duty_rate" => "tariff rate",
            "tax_rate" => "rate of other taxes",
            "tax_ratio" => "duty and taxes against customs value",
            "hs6_code" => "commodity code, 6 digits",
            "hs4_code" => "heading, 4 digits",
            "hs2_code" => "chapter, 2 digits",
            "day_of_week" => "day of the week",
            "month" => "month of acceptance",
            "day_of_year" => "day of the year",
            name => name,
        }
        .to_owned(),
    }
}

/// A sentence about what the feature measures.
pub(crate) fn meaning(feature: &Feature) -> String {
    match feature.source {
        Source::Past(Measure::Rate, of) => format!(
            "Illicit share of the earlier outcomes of {of}; the fewer there are, the more it is drawn towards the \
             share of all items."
        ),
        Source::Past(Measure::Labelled, of) => format!("How many earlier outcomes of {of} are known."),
        Source::Past(Measure::Seen, of) => format!("How many items of {of} came on earlier days."),
        Source::Past(Measure::Days, of) => format!("Days since the last item of {of}."),
        Source::Past(Measure::PriceDeviation, of) => format!(
            "Customs value per kg against earlier items of {of}, in standard deviations of its logarithm."
        ),
        Source::Past(Measure::PriceRatio, of) => {
            format!("Customs value per kg, divided by the geometric mean of earlier items of {of}.")
        }
        Source::Code(_) => format!("The declared code: {}.", label(feature)),
        Source::Row => format!("Declared: {}.", label(feature)),
    }
}

/// The feature at `index` of [`features`] and its value for an item: `past illicit share of the importer: 41.2 %,
/// from 120 outcomes`. `value` gives the item's value of any feature; NaN is missing.
pub(crate) fn sentence(index: usize, value: impl Fn(usize) -> f32) -> String {
    let Some(feature) = features().get(index) else { return String::new() };
    let own = value(index);
    if own.is_nan() {
        return format!("{}: not known", label(feature));
    }
    let own = f64::from(own);
    match feature.source {
        Source::Past(measure, of) => {
            let mut text = past(feature, measure, of, own);
            let outcomes =
                features().iter().position(|other| other.source == Source::Past(Measure::Labelled, of));
            if let (Measure::Rate, Some(outcomes)) = (measure, outcomes) {
                let count = f64::from(value(outcomes)).exp_m1().round();
                let noun = if count == 1.0 { "outcome" } else { "outcomes" };
                text.push_str(&format!(", from {} {noun}", format::count(count)));
            }
            text
        }
        Source::Code(_) => match code(own) {
            // The feature ends after three bytes, so a longer code looks like one of three.
            code if code.len() == 3 => format!("{} beginning with {code}", label(feature)),
            code => format!("{}: {code}", label(feature)),
        },
        Source::Row => format!("{}: {}", label(feature), declared(&feature.name, own)),
    }
}

fn past(feature: &Feature, measure: Measure, of: &str, value: f64) -> String {
    match measure {
        Measure::Rate => format!("{}: {}", label(feature), format::percent(value)),
        Measure::Labelled | Measure::Seen => match value.exp_m1().round() {
            0.0 if measure == Measure::Seen => format!("first item of {of}"),
            0.0 => format!("no past outcome of {of}"),
            count => format!("{}: {}", label(feature), format::count(count)),
        },
        Measure::Days => format!("{}: {}", label(feature), format::count(value)),
        Measure::PriceDeviation => {
            let side = if value < 0.0 { "below" } else { "above" };
            format!(
                "price per kg {} standard deviations {side} the past of {of}",
                format::fixed(value.abs(), 1)
            )
        }
        Measure::PriceRatio => match value.exp() {
            ratio if ratio < 1.995 => {
                format!("price per kg is {} of the usual of {of}", format::percent(ratio))
            }
            ratio => format!("price per kg is {} times the usual of {of}", format::fixed(ratio, 1)),
        },
    }
}

fn declared(name: &str, value: f64) -> String {
    let of = |names: &[&str]| {
        let index = (value as usize).checked_sub(1);
        index
            .and_then(|index| names.get(index))
            .map_or_else(|| format::number(value), |name| (*name).to_owned())
    };
    match name {
        "ln_customs_value" => format::number(value.exp_m1()),
        "ln_net_mass" => format!("{}\u{a0}kg", format::number(value.exp_m1())),
        "ln_quantity" => format::number(value.exp_m1()),
        "ln_price_per_kg" | "ln_value_per_quantity" => format::number(value.exp()),
        "gross_net_ratio" => format!("{} times", format::number(value)),
        "duty_rate" | "tax_rate" => format!("{}\u{a0}%", format::number(value)),
        "tax_ratio" => format::percent(value),
        "hs6_code" => format!("{value:06.0}"),
        "hs4_code" => format!("{value:04.0}"),
        "hs2_code" => format!("{value:02.0}"),
        "day_of_week" => of(&WEEKDAYS),
        "month" => of(&MONTHS),
        _ => format::number(value),
    }
}

/// The characters of a code by its number.
fn code(value: f64) -> String {
    let bytes: Vec<u8> = (value as u32).to_be_bytes().into_iter().filter(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, value: f32) -> String {
        let place = features().iter().position(|feature| feature.name == name).expect("a feature");
        let others = 3_f32.ln_1p();
        sentence(place, |at| if at == place { value } else { others }).replace('\u{a0}', " ")
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
        let labels: std::collections::BTreeSet<String> = features().iter().map(label).collect();
        assert_eq!(labels.len(), features().len());
        for feature in features() {
            assert!(feature.name == "month" || label(feature) != feature.name, "{}", feature.name);
            assert!(!label(feature).contains('_') && meaning(feature).ends_with('.'), "{}", feature.name);
            assert!(label(feature).chars().count() <= 57, "{}", label(feature));
        }
    }
}
