//! Charts as inline SVG: lines, horizontal bars, waterfalls, heat maps, process maps and trees.
//!
//! Each chart is a struct with a `render` method that gives its markup. Series differ by colour, dash and marker, so
//! that they are distinct in grey print too. Colours: Okabe and Ito, "Color Universal Design" (2008), which people with
//! any common colour blindness can distinguish; their order differs between the light and the dark theme to keep a
//! contrast of 3 to 1. Axis ticks: Heckbert, "Nice numbers for graph labels", Graphics Gems (1990). Start at
//! [`line::LineChart`].

pub mod bar;
pub mod heat;
pub mod line;
pub mod process;
pub mod ticks;
pub mod tree;
pub mod waterfall;

/// The colours of the page and of series 0 to 3 (`--s0` … `--s3`) as CSS variables, for the light and the dark theme.
pub fn palette_css() -> &'static str {
    ":root{color-scheme:light dark;--paper:#fff;--panel:#f3f6f9;--ink:#1a1d21;--soft:#555d66;--rule:#d9dee3;\
     --link:#005a94;--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b8608f}\
     @media screen and (prefers-color-scheme:dark){:root{--paper:#14171a;--panel:#1f2429;--ink:#e8eaed;\
     --soft:#a5adb6;--rule:#373e45;--link:#7cc4f0;--s0:#56b4e9;--s1:#e69f00;--s2:#009e73;--s3:#cc79a7}}"
}

/// How many series a chart can show.
pub const SERIES: usize = 4;

/// Colour of a series as a CSS value.
fn colour(series: usize) -> String {
    format!("var(--s{})", series % SERIES)
}

/// Dashes of a series as an SVG `stroke-dasharray`.
fn dash(series: usize) -> &'static str {
    ["none", "8 4", "2 4", "10 3 2 3"][series % SERIES]
}

/// A coordinate with one decimal: enough for a screen, and the same bytes everywhere.
fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    if text == "-0.0" { "0.0".to_owned() } else { text }
}

/// A name with so many characters at most, and an ellipsis where some are cut.
fn shorten(name: &str, characters: usize) -> String {
    match name.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", name[..end].trim_end()),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        assert_eq!(shorten("a long name", 5), "a lon…");
        assert_eq!(shorten("ébène noir", 6), "ébène…");
        assert_eq!(shorten("short", 5), "short");
    }
}
