//! A page in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

/// What a family's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// They are distributions.
    Histogram,
}

/// A page under way.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Begins a family, whose samples follow.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A sample of the family that was begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.push(format_args!("{}{label}=\"{text}\"", if number == 0 { '{' } else { ',' }));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    /// A family of one gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help, Kind::Gauge);
        self.sample(name, &[], value);
    }

    /// The page.
    pub fn text(&self) -> &str {
        &self.0
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_are_escaped_as_the_format_says() {
        let mut page = Page::default();
        page.family("a", "One\\two\nthree", Kind::Gauge);
        page.sample("a", &[("x", "say \"yes\"\\\n"), ("y", "")], 1e9);
        assert_eq!(
            page.text(),
            "# HELP a One\\\\two\\nthree\n# TYPE a gauge\na{x=\"say \\\"yes\\\"\\\\\\n\",y=\"\"} 1000000000\n"
        );
    }
}
