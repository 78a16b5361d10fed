//! How a detector does at the operator's desk: detection rate at a share of false alarms, and its threshold.
//!
//! An image alarms when its score reaches the threshold. The rate of false alarms is the share of clean images that
//! alarm; the free-response curve (FROC; Bunch et al. 1978) counts false boxes for each image instead. Start at [`Roc`].

/// The scores of images, with whether they hold something illicit.
#[derive(Debug, Clone)]
pub struct Roc {
    /// By falling score.
    images: Vec<(f32, bool)>,
    illicit: usize,
}

/// A threshold and what it means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// The least score that alarms.
    pub threshold: f32,
    /// Share of clean images that alarm.
    pub false_alarms: f64,
    /// Share of illicit images that alarm.
    pub detected: f64,
    /// Its 95 % interval, by Wilson's score.
    pub interval: (f64, f64),
}

impl Roc {
    /// The curve of some images.
    pub fn new(mut images: Vec<(f32, bool)>) -> Self {
        images.sort_by(|a, b| b.0.total_cmp(&a.0));
        let illicit = images.iter().filter(|(_, is_illicit)| *is_illicit).count();
        Self { images, illicit }
    }

    fn clean(&self) -> usize {
        self.images.len() - self.illicit
    }

    /// The area under the curve; half of equal scores count. `None` unless there are images of both kinds.
    pub fn area(&self) -> Option<f64> {
        if self.illicit == 0 || self.clean() == 0 {
            return None;
        }
        let (mut found, mut area) = (0.0, 0.0);
        for group in self.images.chunk_by(|a, b| a.0 == b.0) {
            let illicit = group.iter().filter(|(_, is_illicit)| *is_illicit).count() as f64;
            let clean = group.len() as f64 - illicit;
            area += clean * (found + illicit / 2.0);
            found += illicit;
        }
        Some(area / (self.illicit as f64 * self.clean() as f64))
    }

    /// The points of the curve, as (false alarms, detected), from (0, 0) to (1, 1); none unless there are images of both
    /// kinds.
    pub fn points(&self) -> Vec<(f64, f64)> {
        if self.area().is_none() {
            return Vec::new();
        }
        let (mut found, mut wrong) = (0, 0);
        let share = |part: usize, of: usize| part as f64 / of as f64;
        let mut points = vec![(0.0, 0.0)];
        for group in self.images.chunk_by(|a, b| a.0 == b.0) {
            let illicit = group.iter().filter(|(_, is_illicit)| *is_illicit).count();
            found += illicit;
            wrong += group.len() - illicit;
            points.push((share(wrong, self.clean()), share(found, self.illicit)));
        }
        points
    }

    /// The lowest threshold at which at most a share `most` of the clean images alarm; `None` unless there are images of
    /// both kinds.
    pub fn at_false_alarms(&self, most: f64) -> Option<OperatingPoint> {
        self.area()?;
        let (mut found, mut wrong) = (0, 0);
        let mut threshold = f32::INFINITY;
        for group in self.images.chunk_by(|a, b| a.0 == b.0) {
            let illicit = group.iter().filter(|(_, is_illicit)| *is_illicit).count();
            let clean = group.len() - illicit;
            if (wrong + clean) as f64 > most * self.clean() as f64 {
                break;
            }
            (found, wrong, threshold) = (found + illicit, wrong + clean, group[0].0);
        }
        Some(OperatingPoint {
            threshold,
            false_alarms: wrong as f64 / self.clean() as f64,
            detected: found as f64 / self.illicit as f64,
            interval: wilson(found, self.illicit),
        })
    }
}

/// Wilson's 95 % interval of a share (Wilson, JASA 1927).
pub fn wilson(part: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (z, n) = (1.959_963_984_540_054_f64, of as f64);
    let share = part as f64 / n;
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // Of none and of all the ends are exact, which rounding would miss.
    let low = if part == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if part == of { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_by_hand() {
        let roc =
            Roc::new(vec![(0.9, true), (0.8, false), (0.7, true), (0.6, false), (0.5, false), (0.4, false)]);
        // Of eight pairs seven are right: the second illicit image stands below one clean image.
        assert_eq!(roc.area(), Some(7.0 / 8.0));
        let point = roc.at_false_alarms(0.25).expect("both kinds");
        assert_eq!((point.threshold, point.false_alarms, point.detected), (0.7, 0.25, 1.0));
        let none = roc.at_false_alarms(0.0).expect("both kinds");
        assert_eq!((none.threshold, none.detected), (0.9, 0.5));
        assert_eq!(roc.points().last(), Some(&(1.0, 1.0)));
        let one_kind = Roc::new(vec![(0.5, true)]);
        assert!(one_kind.area().is_none() && one_kind.points().is_empty());
    }

    #[test]
    fn equal_scores_count_half() {
        assert_eq!(Roc::new(vec![(0.5, true), (0.5, false)]).area(), Some(0.5));
    }

    #[test]
    fn an_interval_by_the_published_formula() {
        // 8 of 10: 0.490 to 0.943 (Newcombe 1998 gives Wilson's for such tables).
        let (low, high) = wilson(8, 10);
        assert!((low - 0.490).abs() < 1e-3 && (high - 0.943).abs() < 1e-3, "{low} {high}");
        for of in 1..200 {
            assert_eq!((wilson(0, of).0, wilson(of, of).1), (0.0, 1.0), "{of}");
        }
    }
}
