//! What is counted: sums that only grow, and distributions in fixed buckets, each by the values of its labels.

use std::sync::{Mutex, PoisonError};

use crate::page::{Kind, Page};

/// The values of a family's labels, and what is counted for them.
type Series<T> = Mutex<Vec<(Vec<String>, T)>>;

/// Changes what is counted for some values of labels, which begins as `T::default()`.
fn change<T: Default>(series: &Series<T>, labels: &[&str], with: impl FnOnce(&mut T)) {
    let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
    // A family has few series: kinds of jobs, or operations of a store.
    match series.iter_mut().find(|(known, _)| known.iter().eq(labels)) {
        Some((_, value)) => with(value),
        None => {
            let mut value = T::default();
            with(&mut value);
            series.push((labels.iter().map(|label| (*label).to_owned()).collect(), value));
        }
    }
}

/// A sum that only grows.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: Series<f64>,
}

impl Counter {
    /// A counter; its name ends in `_total`, and before that has its unit.
    pub const fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, labels, series: Mutex::new(Vec::new()) }
    }

    /// Adds to the sum of these values of the labels, which are in the order of the counter's.
    pub fn add(&self, labels: &[&str], amount: f64) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        change(&self.series, labels, |sum| *sum += amount.max(0.0));
    }

    /// The sum of these values of the labels.
    pub fn value(&self, labels: &[&str]) -> f64 {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.iter().find(|(known, _)| known.iter().eq(labels)).map_or(0.0, |(_, sum)| *sum)
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.family(self.name, self.help, Kind::Counter);
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, sum) in series.iter() {
            page.sample(self.name, &pairs(self.labels, values), *sum);
        }
        if series.is_empty() && self.labels.is_empty() {
            page.sample(self.name, &[], 0.0);
        }
    }
}

/// How values are distributed.
#[derive(Debug)]
pub struct Histogram {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    /// The upper bounds of the buckets, ascending.
    bounds: &'static [f64],
    series: Series<Distribution>,
}

#[derive(Debug, Default)]
struct Distribution {
    /// How many values are in each bucket, and in none of the buckets below.
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// A histogram with buckets up to each of the ascending bounds, and one for what is beyond.
    pub const fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Self {
        Self { name, help, labels, bounds, series: Mutex::new(Vec::new()) }
    }

    /// Counts a value.
    pub fn observe(&self, labels: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        change(&self.series, labels, |known| {
            known.buckets.resize(self.bounds.len(), 0);
            if let Some(bucket) = self.bounds.iter().position(|bound| value <= *bound) {
                known.buckets[bucket] += 1;
            }
            (known.count, known.sum) = (known.count + 1, known.sum + value.max(0.0));
        });
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.family(self.name, self.help, Kind::Histogram);
        let (bucket, sum, count) =
            (format!("{}_bucket", self.name), format!("{}_sum", self.name), format!("{}_count", self.name));
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, known) in series.iter() {
            let labels = pairs(self.labels, values);
            let mut below = 0;
            for (bound, within) in self.bounds.iter().zip(&known.buckets) {
                below += within;
                let bound = bound.to_string();
                page.sample(&bucket, &[&labels[..], &[("le", &bound)]].concat(), below as f64);
            }
            page.sample(&bucket, &[&labels[..], &[("le", "+Inf")]].concat(), known.count as f64);
            page.sample(&sum, &labels, known.sum);
            page.sample(&count, &labels, known.count as f64);
        }
    }
}

fn pairs<'a>(names: &[&'static str], values: &'a [String]) -> Vec<(&'static str, &'a str)> {
    names.iter().copied().zip(values.iter().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_a_sum_for_each_value_of_its_labels() {
        let counter = Counter::new("things_total", "Things.", &["kind"]);
        counter.add(&["a"], 1.0);
        counter.add(&["b"], 2.5);
        counter.add(&["a"], 1.0);
        counter.add(&["a"], -7.0);
        let mut page = Page::default();
        counter.write(&mut page);
        assert_eq!(
            page.text(),
            "# HELP things_total Things.\n# TYPE things_total counter\n\
             things_total{kind=\"a\"} 2\nthings_total{kind=\"b\"} 2.5\n"
        );
        assert_eq!((counter.value(&["b"]), counter.value(&["c"])), (2.5, 0.0));
    }

    #[test]
    fn the_buckets_of_a_histogram_hold_all_below_their_bound() {
        let histogram = Histogram::new("wait_seconds", "Waits.", &[], &[1.0, 10.0]);
        [0.5, 1.0, 7.0, 70.0].into_iter().for_each(|value| histogram.observe(&[], value));
        let mut page = Page::default();
        histogram.write(&mut page);
        let samples: Vec<&str> = page.text().lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "wait_seconds_bucket{le=\"1\"} 2",
                "wait_seconds_bucket{le=\"10\"} 3",
                "wait_seconds_bucket{le=\"+Inf\"} 4",
                "wait_seconds_sum 78.5",
                "wait_seconds_count 4",
            ]
        );
    }
}
