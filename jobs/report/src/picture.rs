//! Pictures in a report, with marks drawn over them: the bytes are part of the page.
//!
//! Marks are drawn by the page and not into the picture, so that their lines and labels stay sharp on paper. Start at
//! [`sheet`].

use maud::{Markup, PreEscaped, html};

/// How the address of an embedded picture begins.
pub(crate) const EMBEDDED: &str = "href=\"data:image/png;base64,";

/// A rectangle over a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Left, top, width and height in pixels of the picture.
    pub rectangle: [f32; 4],
    /// A few words at its upper edge; empty: none.
    pub label: String,
    /// What it is.
    pub kind: MarkKind,
}

/// What a mark is, which decides its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// The truth: dashed.
    Truth,
    /// Found, and right.
    Right,
    /// Found, and wrong or not known to be right.
    Wrong,
}

impl MarkKind {
    /// Its colour and the pattern of its line; the colours are dark and bright enough for a grey picture.
    fn line(self) -> (&'static str, &'static str) {
        match self {
            Self::Truth => ("#00863d", "7 4"),
            Self::Right => ("#0a58ca", "none"),
            Self::Wrong => ("#c2185b", "none"),
        }
    }
}

/// A picture with its marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The bytes of a PNG.
    pub png: Vec<u8>,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// What lies over it.
    pub marks: Vec<Mark>,
    /// What it shows, in words.
    pub caption: String,
}

/// Pictures side by side, as many as the page is wide for.
pub fn sheet(pictures: &[Picture]) -> Markup {
    html! {
        div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem 1.25rem" {
            @for picture in pictures { (picture.render()) }
        }
    }
}

impl Picture {
    /// The picture as a figure.
    pub fn render(&self) -> Markup {
        let (width, height) = (self.width, self.height);
        html! {
            figure style="margin:0;break-inside:avoid" {
                svg viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.caption)
                    style="max-width:100%;border:1px solid var(--rule);background:#fff" {
                    (self.image())
                    @for mark in &self.marks { (mark.render(width as f32)) }
                }
                figcaption { (self.caption) }
            }
        }
    }

    fn image(&self) -> Markup {
        let (width, height) = (self.width, self.height);
        let data = base64(&self.png);
        PreEscaped(format!("<image width=\"{width}\" height=\"{height}\" {EMBEDDED}{data}\"/>"))
    }
}

impl Mark {
    fn render(&self, picture: f32) -> Markup {
        let [left, top, width, height] = self.rectangle.map(|value| (value * 10.0).round() / 10.0);
        let (colour, pattern) = self.kind.line();
        let size = (picture / 34.0).clamp(9.0, 14.0);
        // A label that would lie above the picture lies below the upper edge of its box.
        let y = if top > size + 3.0 { top - 3.0 } else { top + size };
        html! {
            rect x=(left) y=(top) width=(width) height=(height) fill="none" stroke=(colour)
                stroke-width="2.5" stroke-dasharray=(pattern) {}
            @if !self.label.is_empty() {
                text x=(left) y=(y)
                    style={ "fill:" (colour) ";font-size:" (size) "px;font-weight:600;stroke:#fff" } { (self.label) }
            }
        }
    }
}

/// Bytes as text (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let is_there = place <= three.len();
            let digit = DIGITS[((bits >> (18 - 6 * place)) & 63) as usize];
            text.push(if is_there { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_by_the_standard() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_picture_has_its_marks_and_its_words_are_escaped() {
        let picture = Picture {
            png: vec![1, 2, 3],
            width: 40,
            height: 20,
            marks: vec![Mark {
                rectangle: [1.0, 2.0, 10.0, 5.04],
                label: "a<b".to_owned(),
                kind: MarkKind::Wrong,
            }],
            caption: "x & y".to_owned(),
        };
        let markup = sheet(&[picture]).into_string();
        assert!(markup.contains("data:image/png;base64,AQID\""), "{markup}");
        assert!(markup.contains("a&lt;b") && markup.contains("x &amp; y") && markup.contains("height=\"5\""));
    }
}
