//! The frame of every report: title, lead sentence, facts, contents, sections and a footer. Start at [`Page`].

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    chart::palette_css,
    picture::EMBEDDED,
    words::{Language, Words},
};

/// The origin of the report, for its footer. It has no date of its own, so that the same input gives the same bytes.
#[derive(Debug, Clone, Default)]
pub struct Footer {
    /// Version of the program.
    pub version: String,
    /// Seed of everything random, where there is one.
    pub seed: Option<u64>,
    /// The snapshot of the table that was read.
    pub snapshot: Option<String>,
}

/// One section of a page.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its anchor in links: letters and hyphens.
    pub anchor: &'static str,
    /// Its heading.
    pub title: String,
    /// The markup under the heading.
    pub body: Markup,
}

/// A whole report.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The language of the text.
    pub language: Language,
    /// The title, also of the browser's window.
    pub title: String,
    /// A line under the title.
    pub subtitle: String,
    /// The main result in one sentence, in large letters.
    pub lead: String,
    /// Names and values, as a list below the lead sentence.
    pub facts: Vec<(String, String)>,
    /// The sections in order.
    pub sections: Vec<Section>,
    /// The origin of the report.
    pub footer: Footer,
}

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The policy of a page with pictures, which are part of it.
const POLICY_WITH_PICTURES: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

const STYLE: &str = "
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,'Segoe UI',Roboto,'Liberation Sans',sans-serif}
main,header,footer{max-width:72rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:2rem}
h1{font-size:1.9rem;line-height:1.2;margin:0}
h2{font-size:1.3rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--rule)}
p{max-width:48rem}
.sub{color:var(--soft);margin:.25rem 0 0}
.lead{font-size:1.35rem;line-height:1.4;margin:1.25rem 0;padding:.75rem 1rem;border-left:.3rem solid var(--s0);background:var(--panel);max-width:none}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.75rem 1.5rem;margin:1rem 0}
dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-weight:600;overflow-wrap:anywhere}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:1rem 0 0}
a{color:var(--link)}
.wide{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;min-width:min(100%,40rem);font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding-bottom:.4rem}
th,td{padding:.35rem .6rem;vertical-align:top;border-bottom:1px solid var(--rule);text-align:left}
thead th{border-bottom:2px solid var(--soft);vertical-align:bottom}
tbody th{font-weight:600}
.n{text-align:right}
td.n{white-space:nowrap}
.c{white-space:nowrap}
td ul{margin:0;padding:0;list-style:none}
.noted th,.noted td{border-bottom:0;padding-bottom:0}
.note ul{padding-left:2.75rem;color:var(--soft)}
figure{margin:1rem 0}
figcaption{color:var(--soft);font-size:.9rem}
svg{width:100%;height:auto;max-width:56rem;display:block}
svg text{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round;font-size:13px;font-family:inherit;font-variant-numeric:tabular-nums}
svg .soft{fill:var(--soft)}
svg .grid{stroke:var(--rule);stroke-width:1}
svg .axis{stroke:var(--soft);stroke-width:1}
svg .reference{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:3 4;fill:none}
svg .thread{stroke:var(--soft);stroke-width:.75;stroke-dasharray:1 3}
svg .mark{stroke:var(--soft);stroke-width:1}
svg .line{fill:none;stroke-width:2.25}
footer{color:var(--soft);font-size:.85rem;padding:1rem 1.5rem 2rem;margin-top:3rem;border-top:1px solid var(--rule)}
@page{size:A4;margin:15mm}
@media print{body{font-size:10.5pt}header,main,footer{padding-left:0;padding-right:0;max-width:none}nav{display:none}
tr,figure,svg,.lead,.short{break-inside:avoid}h2,h3,section>p{break-after:avoid}thead{display:table-header-group}.wide{overflow:visible}
svg{max-width:16cm}table{font-size:8pt}th,td{padding:.2rem .3rem}.noted{break-after:avoid}}
";

impl Page {
    /// The page as an HTML document.
    pub fn render(&self) -> String {
        let words = Words::new(self.language, &[]);
        let has_pictures = self.sections.iter().any(|section| section.body.0.contains(EMBEDDED));
        let policy = if has_pictures { POLICY_WITH_PICTURES } else { POLICY };
        html! {
            (DOCTYPE)
            html lang=(self.language.code()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    title { (self.title) }
                    style { (PreEscaped(palette_css())) (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        @if !self.subtitle.is_empty() { p .sub { (self.subtitle) } }
                        @if !self.lead.is_empty() { p .lead { (self.lead) } }
                        @if !self.facts.is_empty() {
                            dl { @for (name, value) in &self.facts { div { dt { (name) } dd { (value) } } } }
                        }
                        @if self.sections.len() > 1 {
                            nav aria-label=(words.say("Contents")) {
                                ul {
                                    @for section in &self.sections {
                                        li { a href={ "#" (section.anchor) } { (section.title) } }
                                    }
                                }
                            }
                        }
                    }
                    main {
                        @for section in &self.sections {
                            section aria-labelledby=(section.anchor) {
                                h2 id=(section.anchor) { (section.title) }
                                (section.body)
                            }
                        }
                    }
                    footer {
                        "Tidewaiter " (self.footer.version)
                        @if let Some(seed) = self.footer.seed { " · " (words.say("seed")) " " (seed) }
                        @if let Some(snapshot) = &self.footer.snapshot { " · " (words.say("snapshot")) " " (snapshot) }
                    }
                }
            }
        }
        .into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_nothing_and_escapes_text() {
        let page = Page {
            title: "<script>alert(1)</script>".to_owned(),
            sections: vec![
                Section { anchor: "a", title: "A".to_owned(), body: html! { "x" } },
                Section { anchor: "b", title: "B & C".to_owned(), body: html! { "y" } },
            ],
            footer: Footer { version: "1".to_owned(), seed: Some(7), snapshot: None },
            ..Page::default()
        };
        let html = page.render();
        assert_eq!(html, page.render());
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
        for load in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            assert!(!html.contains(load), "{load}");
        }
        assert!(html.contains("href=\"#b\"") && html.contains("id=\"b\"") && html.contains("seed 7"));
    }
}
