//! External yardsticks: S-FFSD (simulated payments) and Bitcoin OTC (real ratings), both labelled, neither of passengers.
//!
//! The kinds of features are those of [`crate::features`]: counts, shares of finds, recency and streaks of whoever takes part
//! (history), and what is known of those a link away (network), each from earlier rows only; the trees are those of a
//! retrain. Protocol: rows by time, labels known at once (which is generous); S-FFSD the first 60 % of the labelled rows, OTC
//! the first 80 % of all train. Run by hand, as fits take seconds: `cargo test -p tidewaiter-passengers --release yardstick
//! -- --ignored --nocapture`. The figures are in docs/benchmarks.md.

use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
    path::PathBuf,
};

use tidewaiter_core::statistics::average_precision;
use tidewaiter_learning::gbdt::{Dataset, Parameters, fit_alone};

use crate::sage::{Sage, Samples, Settings};

/// A shared table without its heading; `None` where it is not beside the checkout.
fn shared(name: &str) -> Option<Vec<Vec<String>>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = folder.ancestors().map(|above| above.join("shared/data/passengers/graph"));
    let Some(found) = folders.find(|folder| folder.is_dir()) else {
        eprintln!(
            "SKIPPED: the yardsticks are not beside the checkout (shared/data/passengers/graph): {name}"
        );
        return None;
    };
    let mut text = String::new();
    let file = std::fs::File::open(found.join(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

/// What is known of one who takes part, or of a pair of values.
#[derive(Debug, Clone, Default)]
struct Tally {
    seen: f64,
    known: f64,
    found: f64,
    last: f64,
    last_found: f64,
    /// Equal results one after the other: above 0 finds, below 0 others.
    streak: f64,
    /// Results with weights that fall by 0.7 and by 0.95 from one to the next: finds and all.
    recent: [[f64; 2]; 2],
    results: Vec<f32>,
    amount: f64,
}

/// Columns of a tally.
const TALLY: usize = 12;

impl Tally {
    fn learn(&mut self, time: f64, amount: f64, found: Option<bool>) {
        self.seen += 1.0;
        self.amount += amount;
        self.last = time;
        let Some(found) = found else { return };
        let hit = f64::from(u8::from(found));
        self.known += 1.0;
        self.found += hit;
        self.last_found = if found { time } else { self.last_found };
        let sign = if found { 1.0 } else { -1.0 };
        self.streak = if self.streak * sign > 0.0 { self.streak + sign } else { sign };
        for (sums, keep) in self.recent.iter_mut().zip([0.7, 0.95]) {
            *sums = [sums[0] * keep + hit, sums[1] * keep + 1.0];
        }
        self.results.insert(0, hit as f32);
        self.results.truncate(3);
    }

    fn share(&self, mean: f64) -> f64 {
        (self.found + 2.0 * mean) / (self.known + 2.0)
    }

    /// Its columns at a time, before the row itself is known.
    fn columns(&self, time: f64, amount: f64, mean: f64) -> [f32; TALLY] {
        let since = |last: f64, is_known: bool| if is_known { (time - last) as f32 } else { f32::NAN };
        let drawn = |sums: [f64; 2]| ((sums[0] + mean) / (sums[1] + 1.0)) as f32;
        let result = |at: usize| self.results.get(at).copied().unwrap_or(f32::NAN);
        [
            self.seen as f32,
            self.known as f32,
            self.found as f32,
            self.share(mean) as f32,
            since(self.last, self.seen > 0.0),
            since(self.last_found, self.found > 0.0),
            self.streak as f32,
            drawn(self.recent[0]),
            drawn(self.recent[1]),
            result(0),
            result(1),
            if self.seen > 0.0 { (amount * self.seen / self.amount.max(1e-9)) as f32 } else { f32::NAN },
        ]
    }
}

/// Rows with their parts: which columns are of which.
#[derive(Default)]
struct Table {
    rows: Vec<Vec<f32>>,
    labels: Vec<f32>,
    parts: BTreeMap<&'static str, Vec<usize>>,
}

/// The row that is made.
#[derive(Default)]
struct Row {
    values: Vec<f32>,
    parts: BTreeMap<&'static str, Vec<usize>>,
}

impl Row {
    fn add(&mut self, part: &'static str, values: impl IntoIterator<Item = f32>) {
        for value in values {
            self.parts.entry(part).or_default().push(self.values.len());
            self.values.push(value);
        }
    }
}

impl Table {
    fn push(&mut self, row: Row, found: bool) {
        self.parts = row.parts;
        self.rows.push(row.values);
        self.labels.push(f32::from(u8::from(found)));
    }

    /// ROC AUC and average precision of scores of the rows from `train` on.
    fn figures(&self, scores: &[f64], train: usize) -> (f64, f64) {
        let mut ranked: Vec<(f64, bool)> =
            scores.iter().copied().zip(self.labels[train..].iter().map(|label| *label > 0.5)).collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
        let (mut above, mut pairs, mut groups) = (0_u64, 0.0, Vec::new());
        for tied in ranked.chunk_by(|one, other| one.0 == other.0) {
            let hits = tied.iter().filter(|row| row.1).count() as u64;
            let others = tied.len() as u64 - hits;
            pairs += others as f64 * (above as f64 + hits as f64 / 2.0);
            above += hits;
            groups.push((hits, tied.len() as u64));
        }
        let others = ranked.len() as u64 - above;
        (pairs / (above as f64 * others as f64), average_precision(groups).unwrap())
    }

    /// Fits trees on the first `train` rows and some parts, and evaluates them on the others.
    fn evaluate(&self, name: &str, parts: &[&str], train: usize) -> (f64, f64) {
        let columns: Vec<usize> = parts.iter().flat_map(|part| self.parts[part].iter().copied()).collect();
        let take = |rows: std::ops::Range<usize>| {
            let column =
                |at: &usize| self.rows[rows.clone()].iter().map(|row| row[*at]).collect::<Vec<f32>>();
            columns.iter().map(column).collect::<Vec<_>>()
        };
        let parameters = Parameters {
            trees: 150,
            leaves: 15,
            learning_rate: 0.05,
            min_rows_per_leaf: 40,
            l2: 5.0,
            feature_fraction: 0.5,
            row_fraction: 0.7,
            early_stopping_rounds: 0,
            bins: 64,
            ..Parameters::default()
        };
        let data = Dataset::new(take(0..train), &self.labels[..train], vec![false; train]).unwrap();
        let model = fit_alone(data, &parameters).unwrap();
        let test = take(train..self.rows.len());
        let scores = model.predict_raw(&test.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let (auc, precision) = self.figures(&scores, train);
        println!("{name}: AUC {auc:.4}, average precision {precision:.4}, {} columns", columns.len());
        (auc, precision)
    }
}

/// The share of finds among those a link away: both sums over some tallies.
fn share_of<'a>(tallies: impl Iterator<Item = &'a Tally>, mean: f64) -> [f32; 2] {
    let (known, found) = tallies.fold((0.0, 0.0), |sum, one| (sum.0 + one.known, sum.1 + one.found));
    [known as f32, ((found + 2.0 * mean) / (known + 2.0)) as f32]
}

/// Who had to do with whom, the newest last and each once.
#[derive(Default)]
struct Links(HashMap<String, Vec<String>>);

impl Links {
    fn add(&mut self, one: &str, other: &str) {
        let known = self.0.entry(one.to_owned()).or_default();
        if !known.iter().any(|known| known == other) {
            known.push(other.to_owned());
        }
    }

    fn of(&self, one: &str, most: usize) -> impl Iterator<Item = &String> {
        self.0.get(one).into_iter().flat_map(move |known| known.iter().rev().take(most))
    }
}

fn payments() -> Option<Table> {
    let mut tallies: HashMap<String, Tally> = HashMap::new();
    let (mut of_target, mut of_source) = (Links::default(), Links::default());
    let mut all = Tally::default();
    let mut table = Table::default();
    for (time, line) in shared("s_ffsd_transactions.csv.gz")?.iter().enumerate() {
        let [_, source, target, amount, place, kind, label] = &line[..] else { panic!("seven columns") };
        let (time, amount): (f64, f64) = (time as f64, amount.parse().unwrap());
        let found = (label != "2").then(|| label == "1");
        let mean = all.share(0.1);
        let keys = [
            format!("target {target}"),
            format!("source {source}"),
            format!("place {place}"),
            format!("kind {kind}"),
            format!("target {target} kind {kind}"),
            format!("place {place} kind {kind}"),
        ];
        if let Some(found) = found {
            let mut row = Row::default();
            row.add("row", [amount as f32, f32::from(u8::from(amount.fract() == 0.0))]);
            for key in &keys {
                let columns = tallies.get(key).cloned().unwrap_or_default().columns(time, amount, mean);
                row.add("row", [columns[0], columns[4], columns[11]]);
                // Shares and streaks mean the same in later months; counts and days grow.
                row.add("history", [3, 6, 7, 8, 9, 10].map(|at| columns[at]));
                row.add("counts", [1, 2, 5].map(|at| columns[at]));
            }
            row.add("history", [((all.recent[1][0] + mean) / (all.recent[1][1] + 1.0)) as f32]);
            let of = |mark: &str, name: &String| tallies.get(&format!("{mark} {name}"));
            let sources = of_target.of(target, 30).filter(|own| *own != source);
            row.add("network", share_of(sources.filter_map(|own| of("source", own)), mean));
            let targets = of_source.of(source, 30).filter(|own| *own != target);
            row.add("network", share_of(targets.filter_map(|own| of("target", own)), mean));
            let beside = of_target.of(target, 20).flat_map(|own| of_source.of(own, 10));
            let beside = beside.filter(|own| *own != target).filter_map(|own| of("target", own));
            row.add("network", share_of(beside, mean));
            table.push(row, found);
        }
        for key in keys {
            tallies.entry(key).or_default().learn(time, amount, found);
        }
        all.learn(time, amount, found);
        of_target.add(target, source);
        of_source.add(source, target);
    }
    Some(table)
}

#[test]
#[ignore = "measures what docs/benchmarks.md tells, in half a minute; the head of this file has the command"]
fn yardstick_of_payments() {
    let Some(table) = payments() else { return };
    let train = table.rows.len() * 60 / 100;
    let of_target = |at: usize| -> Vec<f64> {
        table.rows[train..].iter().map(|row| f64::from(row[table.parts["history"][at]])).collect()
    };
    println!("past share of finds of the target alone: {:?}", table.figures(&of_target(0), train));
    println!("its recent share alone: {:?}", table.figures(&of_target(3), train));
    table.evaluate("amount and activity", &["row"], train);
    table.evaluate("amount, activity, network", &["row", "network"], train);
    table.evaluate("all", &["row", "history", "counts", "network"], train);
    table.evaluate("history and network", &["history", "network"], train);
    let (auc, precision) = table.evaluate("history", &["history"], train);
    assert!(auc > 0.93 && precision > 0.86, "{auc}, {precision}");
}

/// Neighbours of a rating's samples.
const NEIGHBOURS: usize = 10;

fn ratings() -> Option<(Table, Samples)> {
    let mut lines: Vec<(f64, String, String, f64)> = shared("bitcoin_otc_ratings.csv.gz")?
        .into_iter()
        .map(|line| {
            let number = |at: usize| line[at].parse::<f64>().unwrap();
            (number(3) / 86_400.0, line[0].clone(), line[1].clone(), number(2))
        })
        .collect();
    lines.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut got, mut given): (HashMap<String, Tally>, HashMap<String, Tally>) = Default::default();
    let mut by_rater: HashMap<String, Vec<(String, f64, f64)>> = HashMap::new();
    let mut by_rated: HashMap<String, Vec<(String, f64, f64)>> = HashMap::new();
    let mut all = Tally::default();
    let mut table = Table::default();
    let mut samples = Samples { widths: [0, 5, 3], neighbours: NEIGHBOURS, ..Samples::default() };
    for (day, rater, rated, rating) in lines {
        let mean = all.share(0.1);
        let of =
            |tallies: &HashMap<String, Tally>, who: &String| tallies.get(who).cloned().unwrap_or_default();
        let mut row = Row::default();
        row.add("rated", of(&got, &rated).columns(day, 1.0, mean));
        row.add("history", of(&given, &rater).columns(day, 1.0, mean));
        row.add("history", of(&got, &rater).columns(day, 1.0, mean));
        row.add("history", of(&given, &rated).columns(day, 1.0, mean));
        row.add("history", [((all.recent[1][0] + mean) / (all.recent[1][1] + 1.0)) as f32]);
        let trusted: HashMap<&String, f64> =
            by_rater.get(&rater).into_iter().flatten().map(|(who, own, _)| (who, *own)).collect();
        let ratings = || by_rated.get(&rated).into_iter().flatten();
        // Ratings by the standing of who gave them, by how hard they are, and by the rater's trust in them.
        let (mut weight, mut weighted, mut bad, mut excess, mut trust) = (0.0, 0.0, 0.0, 0.0, [0.0; 3]);
        for (who, own, _) in ratings() {
            let standing = of(&got, who);
            let own_weight = (1.0 - standing.share(mean)) * (1.2 + standing.known).ln();
            let is_bad = f64::from(u8::from(*own < 0.0));
            weight += own_weight;
            weighted += own_weight * own;
            bad += own_weight * is_bad;
            excess += is_bad - of(&given, who).share(mean);
            if let Some(trusted) = trusted.get(who) {
                trust = [trust[0] + trusted * own, trust[1] + 1.0, trust[2] + is_bad];
            }
        }
        let over = |sum: f64| if weight > 0.0 { (sum / weight) as f32 } else { f32::NAN };
        row.add("network", [over(weighted), over(bad), excess as f32]);
        row.add("network", trust.map(|value| value as f32));
        let back = by_rater.get(&rated).into_iter().flatten().find(|(who, _, _)| *who == rater);
        row.add(
            "network",
            [
                back.map_or(f32::NAN, |back| back.1 as f32),
                back.map_or(f32::NAN, |back| (day - back.2) as f32),
            ],
        );
        let rated_by_rated =
            by_rater.get(&rated).into_iter().flatten().filter_map(|(who, _, _)| got.get(who));
        row.add("network", share_of(rated_by_rated, mean));
        let rated_by_rater =
            by_rater.get(&rater).into_iter().flatten().filter_map(|(who, _, _)| got.get(who));
        row.add("network", share_of(rated_by_rater, mean));
        let found = rating < 0.0;
        // The last who rated the rated, and the mean of the last ratings that each of these got.
        let mut count = 0;
        for (who, own, then) in by_rated.get(&rated).into_iter().flatten().rev().take(NEIGHBOURS) {
            let (given_by, got_by) = (of(&given, who), of(&got, who));
            let near = [
                own / 10.0,
                given_by.share(mean),
                got_by.share(mean),
                got_by.known.ln_1p(),
                (day - then) / 365.0,
            ];
            samples.near.extend(near.map(|value| value as f32));
            let last = by_rated.get(who).into_iter().flatten().rev().take(NEIGHBOURS);
            let sum = last.fold([0.0; 4], |sum, (other, own, _)| {
                let harsh = given.get(other).map_or(mean, |given| given.share(mean));
                [sum[0] + own / 10.0, sum[1] + harsh, sum[2] + f64::from(u8::from(*own < 0.0)), sum[3] + 1.0]
            });
            samples.far.extend([0, 1, 2].map(|at| (sum[at] / sum[3].max(1.0)) as f32));
            count += 1;
        }
        samples.counts.push(count as u32);
        samples.near.resize(5 * NEIGHBOURS * samples.counts.len(), 0.0);
        samples.far.resize(3 * NEIGHBOURS * samples.counts.len(), 0.0);
        table.push(row, found);
        got.entry(rated.clone()).or_default().learn(day, 1.0, Some(found));
        given.entry(rater.clone()).or_default().learn(day, 1.0, Some(found));
        all.learn(day, 1.0, Some(found));
        by_rater.entry(rater.clone()).or_default().push((rated.clone(), rating, day));
        by_rated.entry(rated).or_default().push((rater, rating, day));
    }
    Some((table, samples))
}

/// The samples of some rows, whose own numbers are a table's history columns, standardised by the first `train` rows.
fn with_own(samples: &Samples, table: &Table, rows: std::ops::Range<usize>, train: usize) -> Samples {
    let columns: Vec<usize> =
        ["rated", "history"].iter().flat_map(|part| table.parts[part].iter().copied()).collect();
    let moments: Vec<(f32, f32)> = columns
        .iter()
        .map(|at| {
            let known: Vec<f32> =
                table.rows[..train].iter().map(|row| row[*at]).filter(|value| !value.is_nan()).collect();
            let mean = known.iter().sum::<f32>() / known.len().max(1) as f32;
            let square =
                known.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / known.len().max(1) as f32;
            (mean, square.sqrt().max(1e-6))
        })
        .collect();
    let number = |value: f32, (mean, spread): (f32, f32)| match value.is_nan() {
        true => 0.0,
        false => ((value - mean) / spread).clamp(-4.0, 4.0),
    };
    let part = |values: &[f32], width: usize| values[rows.start * width..rows.end * width].to_vec();
    let own = table.rows[rows.clone()].iter();
    let own =
        own.flat_map(|row| columns.iter().zip(&moments).map(|(at, moments)| number(row[*at], *moments)));
    Samples {
        widths: [columns.len(), 5, 3],
        neighbours: NEIGHBOURS,
        own: own.collect(),
        near: part(&samples.near, 5 * NEIGHBOURS),
        far: part(&samples.far, 3 * NEIGHBOURS),
        counts: samples.counts[rows.clone()].to_vec(),
        labels: table.labels[rows.clone()].to_vec(),
    }
}

#[test]
#[ignore = "measures what docs/benchmarks.md tells, in half a minute; the head of this file has the command"]
fn yardstick_of_a_graph_network() {
    let Some((table, samples)) = ratings() else { return };
    let (train, all) = (table.rows.len() * 80 / 100, table.rows.len());
    let own = with_own(&samples, &table, 0..train, train);
    let (sage, _) = Sage::fit(&own, &Samples::default(), Settings::default()).unwrap();
    let scores = sage.score(&with_own(&samples, &table, train..all, train)).unwrap();
    let (auc, precision) = table.figures(&scores, train);
    println!("GraphSAGE: AUC {auc:.4}, average precision {precision:.4}");
    table.evaluate("trees on history and network", &["rated", "history", "network"], train);
}

#[test]
#[ignore = "measures what docs/benchmarks.md tells, in half a minute; the head of this file has the command"]
fn yardstick_of_ratings() {
    let Some((table, _)) = ratings() else { return };
    let train = table.rows.len() * 80 / 100;
    let share: Vec<f64> =
        table.rows[train..].iter().map(|row| f64::from(row[table.parts["rated"][3]])).collect();
    println!("past share of negative ratings of the rated alone: {:?}", table.figures(&share, train));
    table.evaluate("history of the rated", &["rated"], train);
    table.evaluate("and of the rater", &["rated", "history"], train);
    table.evaluate("network alone", &["network"], train);
    let (auc, precision) = table.evaluate("all", &["rated", "history", "network"], train);
    assert!(auc > 0.72 && precision > 0.33, "{auc}, {precision}");
}
