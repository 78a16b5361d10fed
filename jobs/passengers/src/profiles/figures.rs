//! Figures of profiles: intervals, months, overlap, and whom they select.
//!
//! Intervals are E. B. Wilson's of a share (JASA 1927). That of the training months is corrected for the number of rules that
//! compete (C. E. Bonferroni, 1936): among so many some rule is good by chance. The test months were not searched, so
//! that theirs needs no correction. Start at [`interval`].

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Float32Type},
};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Result, answers};

use super::search::Bits;

/// A share with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Finds.
    pub found: u64,
    /// Of so many.
    pub of: u64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Share {
    /// The share itself; `None` of nothing.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.found as f64 / self.of as f64)
    }
}

/// The quantile of the normal distribution (P. J. Acklam's approximation, to 1e-9 of itself).
#[must_use]
pub fn normal_quantile(share: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [0.007_784_695_709_041_462, 0.322_467_129_070_039_8, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let polynomial = |factors: &[f64], at: f64| factors.iter().fold(0.0, |sum, factor| sum * at + factor);
    if share <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if share >= 1.0 {
        return f64::INFINITY;
    }
    if share < 0.024_25 {
        let at = (-2.0 * share.ln()).sqrt();
        return polynomial(&C, at) / polynomial(&[D[0], D[1], D[2], D[3], 1.0], at);
    }
    if share > 1.0 - 0.024_25 {
        return -normal_quantile(1.0 - share);
    }
    let (at, square) = (share - 0.5, (share - 0.5) * (share - 0.5));
    at * polynomial(&A, square) / polynomial(&[B[0], B[1], B[2], B[3], B[4], 1.0], square)
}

/// A share with its 95 % interval, which holds of `compared` shares together.
#[must_use]
pub fn interval(found: u64, of: u64, compared: u64) -> Share {
    if of == 0 {
        return Share { found, of, low: 0.0, high: 1.0 };
    }
    let z = -normal_quantile(0.025 / compared.max(1) as f64);
    let (count, share) = (of as f64, found as f64 / of as f64);
    let weight = z * z / count;
    let middle = (share + weight / 2.0) / (1.0 + weight);
    let half = z / (1.0 + weight) * (share * (1.0 - share) / count + weight / (4.0 * count)).sqrt();
    Share { found, of, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// Finds and inspections of a rule by month.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] where a column is absent.
pub fn by_month(rows: &RecordBatch, holds: &[bool]) -> Result<BTreeMap<String, (u64, u64)>> {
    let days = answers::column(rows, "flight_date")?.as_primitive::<Date32Type>();
    let labels = answers::column(rows, "label")?.as_primitive::<Float32Type>();
    let mut months: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (row, holds) in holds.iter().enumerate() {
        let day = crate::network::days::text(days.value(row)).unwrap_or_default();
        let (found, of) = months.entry(day.chars().take(7).collect()).or_default();
        if *holds && labels.is_valid(row) {
            *of += 1;
            *found += u64::from(labels.value(row) > 0.5);
        }
    }
    Ok(months)
}

/// How much two sets of rows overlap: what is in both over what is in either (P. Jaccard, 1901).
#[must_use]
pub fn overlap(one: &Bits, other: &Bits) -> f64 {
    let either = one.or(other).count();
    if either == 0 { 0.0 } else { one.common(other) as f64 / either as f64 }
}

/// A group of travellers by a protected attribute, and how many of them are selected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// The attribute.
    pub attribute: String,
    /// Its value.
    pub group: String,
    /// Travellers.
    pub trips: u64,
    /// Selected travellers.
    pub selected: u64,
    /// The share that is selected over that of all others; none where nobody of these is.
    pub ratio: Option<f64>,
    /// Share of finds among the inspected of the group; none without inspections.
    pub found: Option<f64>,
}

/// Groups of fewer travellers are not shown.
const LEAST_OF_GROUP: u64 = 50;

/// Groups of an attribute at most.
const MOST_GROUPS: usize = 12;

/// Whom a selection hits, by protected attributes.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] where a column is absent.
pub fn impact(rows: &RecordBatch, selected: &[bool]) -> Result<Vec<Impact>> {
    let labels = answers::column(rows, "label")?.as_primitive::<Float32Type>();
    let all = (rows.num_rows() as u64, selected.iter().filter(|selected| **selected).count() as u64);
    let mut impacts = Vec::new();
    for attribute in super::selectors::PROTECTED {
        let values = groups(rows, attribute)?;
        // Travellers, selected, inspected, finds.
        let mut counts: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
        for (row, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let [trips, hits, inspected, found] = counts.entry(value.as_str()).or_default();
            *trips += 1;
            *hits += u64::from(selected[row]);
            *inspected += u64::from(labels.is_valid(row));
            *found += u64::from(labels.is_valid(row) && labels.value(row) > 0.5);
        }
        let mut counts: Vec<_> =
            counts.into_iter().filter(|(_, counts)| counts[0] >= LEAST_OF_GROUP).collect();
        counts.sort_by(|one, other| other.1[0].cmp(&one.1[0]).then(one.0.cmp(other.0)));
        for (group, [trips, hits, inspected, found]) in counts.into_iter().take(MOST_GROUPS) {
            let others = (all.0 - trips, all.1 - hits);
            let ratio = (others.1 > 0)
                .then(|| hits as f64 / trips as f64 / (others.1 as f64 / others.0.max(1) as f64));
            impacts.push(Impact {
                attribute: attribute.to_owned(),
                group: group.to_owned(),
                trips,
                selected: hits,
                ratio,
                found: (inspected > 0).then(|| found as f64 / inspected as f64),
            });
        }
    }
    Ok(impacts)
}

/// The group of each row by an attribute.
fn groups(rows: &RecordBatch, attribute: &str) -> Result<Vec<Option<String>>> {
    if attribute == "age" {
        let ages = answers::column(rows, "age")?.as_primitive::<Float32Type>();
        let class = |age: f32| match age {
            _ if age < 18.0 => "under 18",
            _ if age < 30.0 => "18 to 29",
            _ if age < 45.0 => "30 to 44",
            _ if age < 60.0 => "45 to 59",
            _ => "60 and over",
        };
        return Ok(ages.iter().map(|age| age.map(|age| class(age).to_owned())).collect());
    }
    let column = cast(answers::column(rows, attribute)?, &DataType::Utf8)?;
    Ok(column
        .as_string::<i32>()
        .iter()
        .map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_intervals_are_those_of_tables() {
        for (share, quantile) in
            [(0.975, 1.959_963_985), (0.5, 0.0), (0.001, -3.090_232_306), (1e-7, -5.199_337_582)]
        {
            assert!((normal_quantile(share) - quantile).abs() < 1e-6, "{share}: {}", normal_quantile(share));
        }
        // Wilson's interval of 8 of 10.
        let share = interval(8, 10, 1);
        assert!((share.low - 0.490_16).abs() < 1e-4 && (share.high - 0.943_32).abs() < 1e-4, "{share:?}");
        let corrected = interval(8, 10, 10_000);
        assert!(corrected.low < share.low && corrected.high > share.high);
        assert_eq!((interval(0, 0, 1).share(), interval(1, 4, 1).share()), (None, Some(0.25)));
    }

    #[test]
    fn overlap_is_what_both_have_of_what_either_has() {
        let bits = |rows: [bool; 4]| Bits::new(&rows);
        let (one, other) = (bits([true, true, false, false]), bits([false, true, true, false]));
        assert!((overlap(&one, &other) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(overlap(&bits([false; 4]), &bits([false; 4])), 0.0);
    }
}
