//! Small pictures of networks for pages without a script: SVG with all travellers and links.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::{
    graph::layout::layout,
    network::{kind::Kind, people::People},
};

const WIDTH: f32 = 420.0;
const HEIGHT: f32 = 260.0;
const MARGIN: f32 = 26.0;

/// Steps of the layout.
const STEPS: usize = 200;

/// The colour and the dashes of a kind, distinct in grey print and for the colour-blind.
fn line(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Travel => ("var(--s0)", "none"),
        Kind::Contact => ("var(--s1)", "7 3"),
        Kind::Payment => ("var(--s2)", "2 3"),
        Kind::Address => ("var(--s3)", "9 3 2 3"),
        Kind::Document => ("var(--ink)", "12 4"),
        Kind::Agency => ("var(--soft)", "1 4"),
    }
}

/// A network as a figure; `centre` has a ring, offenders are squares, and both have their names.
#[must_use]
pub fn picture(people: &People, centre: u32, caption: &str) -> Markup {
    let places = layout(&people.graph(), STEPS);
    let most = places.iter().fold([1e-3_f32; 2], |most, [x, y]| [most[0].max(*x), most[1].max(*y)]);
    let scale = ((WIDTH - 2.0 * MARGIN) / most[0]).min((HEIGHT - 2.0 * MARGIN) / most[1]).min(60.0);
    let shift = [(WIDTH - most[0] * scale) / 2.0, (HEIGHT - most[1] * scale) / 2.0];
    let at = |number: u32| {
        let [x, y] = places.get(number as usize).copied().unwrap_or_default();
        (shift[0] + x * scale, shift[1] + y * scale)
    };
    let mut drawn = String::new();
    for link in &people.links {
        let ((x1, y1), (x2, y2)) = (at(link.ends.0), at(link.ends.1));
        let (colour, dash) = line(link.kind);
        let lane = (link.kind as u8 as f32 - 2.5) * 1.4;
        let length = ((x2 - x1).powi(2) + (y2 - y1).powi(2)).sqrt().max(1e-3);
        let (dx, dy) = (-(y2 - y1) / length * lane, (x2 - x1) / length * lane);
        let _ = write!(
            drawn,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-dasharray=\"{dash}\" \
             stroke-width=\"1.6\" opacity=\"0.75\"/>",
            x1 + dx,
            y1 + dy,
            x2 + dx,
            y2 + dy
        );
    }
    let count = u32::try_from(people.count()).unwrap_or(u32::MAX);
    for number in 0..count {
        let (x, y) = at(number);
        let (fill, side) = (if people.facts(number).offences > 0 { "#c1121f" } else { "var(--soft)" }, 5.0);
        let _ = match people.facts(number).offences > 0 {
            true => write!(
                drawn,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{fill}\"/>",
                x - side,
                y - side
            ),
            false => write!(drawn, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{side}\" fill=\"{fill}\"/>"),
        };
        if number == centre {
            let _ = write!(
                drawn,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\" fill=\"none\" stroke=\"var(--ink)\" stroke-width=\"2\"/>"
            );
        }
    }
    let named = (0..count).filter(|number| *number == centre || people.facts(*number).offences > 0);
    html! {
        figure style="margin:0;break-inside:avoid" {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(caption)
                style="max-width:100%;border:1px solid var(--rule)" {
                (PreEscaped(drawn))
                @for number in named {
                    @let (x, y) = at(number);
                    text x=(format!("{:.1}", x + 9.0)) y=(format!("{:.1}", y - 6.0)) style="font-size:11px" {
                        (people.name(number).chars().take(12).collect::<String>())
                    }
                }
            }
            figcaption { (caption) }
        }
    }
}

/// What the lines of pictures mean.
#[must_use]
pub fn legend() -> Markup {
    html! {
        p {
            @for kind in Kind::ALL {
                @let (colour, dash) = line(kind);
                span style="display:inline-block;margin-right:1.25rem" {
                    svg viewBox="0 0 34 10" style="display:inline;width:34px;height:10px;vertical-align:middle" aria-hidden="true" {
                        line x1="1" y1="5" x2="33" y2="5" stroke=(colour) stroke-dasharray=(dash) stroke-width="2" {}
                    }
                    " " (kind.words())
                }
            }
            span { "A red square is a known offender; the ring is the traveller of the picture." }
        }
    }
}
