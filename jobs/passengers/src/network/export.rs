//! Networks for other programs: GraphML and GEXF, both XML, written as they are made.
//!
//! GraphML: U. Brandes et al., "GraphML Progress Report", Graph Drawing 2001 (<http://graphml.graphdrawing.org>). GEXF
//! 1.3: <https://gexf.net>. Gephi, yEd, Cytoscape, igraph and networkx read them.

use std::io::{Result, Write};

use quick_xml::escape::escape;

use super::{analysis::Analysis, days::text as day_text, people::People};

/// The columns of a traveller: name, type in GraphML and in GEXF.
const OF_TRAVELLER: [(&str, &str, &str); 8] = [
    ("trips", "int", "integer"),
    ("first_day", "string", "string"),
    ("last_day", "string", "string"),
    ("offences", "int", "integer"),
    ("community", "int", "integer"),
    ("page_rank", "double", "double"),
    ("betweenness", "double", "double"),
    ("steps_to_offender", "int", "integer"),
];

/// The columns of a link.
const OF_LINK: [(&str, &str, &str); 5] = [
    ("kind", "string", "string"),
    ("shared", "int", "integer"),
    ("weight", "double", "double"),
    ("first_day", "string", "string"),
    ("last_day", "string", "string"),
];

/// The values of a traveller; `None` where there is none.
fn traveller(people: &People, analysis: &Analysis, number: u32) -> [Option<String>; 8] {
    let (facts, at) = (people.facts(number), number as usize);
    [
        Some(facts.trips.to_string()),
        day_text(facts.days.0),
        day_text(facts.days.1),
        Some(facts.offences.to_string()),
        Some(analysis.community[at].to_string()),
        Some(format!("{:.6}", analysis.rank[at])),
        Some(format!("{:.3}", analysis.between[at])),
        analysis.nearest.distance(number).map(|distance| distance.to_string()),
    ]
}

/// The values of each link.
fn links(people: &People) -> impl Iterator<Item = ((u32, u32), [Option<String>; 5])> {
    people.links.iter().map(|link| {
        let values = [
            Some(link.kind.name().to_owned()),
            Some(link.shared.to_string()),
            Some(format!("{:.3}", link.weight())),
            day_text(link.days.0),
            day_text(link.days.1),
        ];
        (link.ends, values)
    })
}

/// Writes the network as GraphML.
///
/// # Errors
/// Those of `out`.
pub fn graphml(out: &mut (impl Write + ?Sized), people: &People, analysis: &Analysis) -> Result<()> {
    out.write_all(
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
    )?;
    for (scope, columns) in [("node", OF_TRAVELLER.as_slice()), ("edge", OF_LINK.as_slice())] {
        for (name, kind, _) in columns {
            writeln!(
                out,
                "<key id=\"{scope}_{name}\" for=\"{scope}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>"
            )?;
        }
    }
    out.write_all(b"<graph edgedefault=\"undirected\">\n")?;
    for number in analysis.graph.all() {
        write!(out, "<node id=\"{}\">", escape(people.name(number)))?;
        data(out, "node", &OF_TRAVELLER, &traveller(people, analysis, number))?;
        out.write_all(b"</node>\n")?;
    }
    for ((one, other), values) in links(people) {
        let (one, other) = (escape(people.name(one)), escape(people.name(other)));
        write!(out, "<edge source=\"{one}\" target=\"{other}\">")?;
        data(out, "edge", &OF_LINK, &values)?;
        out.write_all(b"</edge>\n")?;
    }
    out.write_all(b"</graph>\n</graphml>\n")
}

/// Values of a traveller or a link in GraphML.
fn data(
    out: &mut (impl Write + ?Sized),
    scope: &str,
    columns: &[(&str, &str, &str)],
    values: &[Option<String>],
) -> Result<()> {
    for ((name, _, _), value) in columns.iter().zip(values) {
        if let Some(value) = value {
            write!(out, "<data key=\"{scope}_{name}\">{value}</data>")?;
        }
    }
    Ok(())
}

/// Writes the network as GEXF; `places` are those of a picture, if there is one.
///
/// # Errors
/// Those of `out`.
pub fn gexf(
    out: &mut (impl Write + ?Sized),
    people: &People,
    analysis: &Analysis,
    places: &[[f32; 2]],
) -> Result<()> {
    out.write_all(
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gexf xmlns=\"http://gexf.net/1.3\" \
          xmlns:viz=\"http://gexf.net/1.3/viz\" version=\"1.3\">\n<graph defaultedgetype=\"undirected\">\n",
    )?;
    for (scope, columns) in [("node", OF_TRAVELLER.as_slice()), ("edge", OF_LINK.as_slice())] {
        writeln!(out, "<attributes class=\"{scope}\">")?;
        for (place, (name, _, kind)) in columns.iter().enumerate() {
            writeln!(out, "<attribute id=\"{place}\" title=\"{name}\" type=\"{kind}\"/>")?;
        }
        out.write_all(b"</attributes>\n")?;
    }
    out.write_all(b"<nodes>\n")?;
    for number in analysis.graph.all() {
        let name = escape(people.name(number));
        write!(out, "<node id=\"{name}\" label=\"{name}\">")?;
        attributes(out, &traveller(people, analysis, number))?;
        if let Some([x, y]) = places.get(number as usize) {
            write!(out, "<viz:position x=\"{x:.2}\" y=\"{y:.2}\" z=\"0\"/>")?;
        }
        out.write_all(b"</node>\n")?;
    }
    out.write_all(b"</nodes>\n<edges>\n")?;
    for (number, ((one, other), values)) in links(people).enumerate() {
        let (one, other) = (escape(people.name(one)), escape(people.name(other)));
        let weight = values[2].as_deref().unwrap_or("1");
        write!(out, "<edge id=\"{number}\" source=\"{one}\" target=\"{other}\" weight=\"{weight}\">")?;
        attributes(out, &values)?;
        out.write_all(b"</edge>\n")?;
    }
    out.write_all(b"</edges>\n</graph>\n</gexf>\n")
}

/// Values of a traveller or a link in GEXF.
fn attributes(out: &mut (impl Write + ?Sized), values: &[Option<String>]) -> Result<()> {
    out.write_all(b"<attvalues>")?;
    for (place, value) in values.iter().enumerate() {
        if let Some(value) = value {
            write!(out, "<attvalue for=\"{place}\" value=\"{value}\"/>")?;
        }
    }
    out.write_all(b"</attvalues>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        kind::Kind,
        people::{Facts, Link},
    };

    /// The elements of an XML text: name and attributes, in their order. Panics where it is not well-formed.
    fn elements(text: &str) -> Vec<(String, Vec<(String, String)>)> {
        let mut reader = quick_xml::Reader::from_str(text);
        let mut found = Vec::new();
        loop {
            match reader.read_event().expect("well-formed") {
                quick_xml::events::Event::Start(element) | quick_xml::events::Event::Empty(element) => {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                    let attributes = element.attributes().map(|attribute| {
                        let attribute = attribute.expect("an attribute");
                        let value = quick_xml::escape::unescape(&text(&attribute.value))
                            .expect("escaped")
                            .into_owned();
                        (text(attribute.key.as_ref()), value)
                    });
                    found.push((text(element.name().as_ref()), attributes.collect()));
                }
                quick_xml::events::Event::Eof => return found,
                _ => {}
            }
        }
    }

    #[test]
    fn both_forms_are_well_formed_and_have_all_travellers_and_links() {
        let mut people = People::default();
        for name in ["<a&\"", "b"] {
            let number = people.number(name);
            people.know(number, Facts { trips: 1, days: (18_262, 18_263), offences: number });
        }
        people.links.push(Link { ends: (0, 1), kind: Kind::Contact, shared: 2, days: (18_262, 18_263) });
        let analysis = Analysis::new(&people, 1);
        // What other programs weigh is what the communities were found by.
        let (_, weight) = analysis.graph.neighbours(0).next().expect("a link");
        let weight = format!("weight=\"{weight:.3}\"");
        let count = |found: &[(String, Vec<(String, String)>)], name: &str| {
            found.iter().filter(|element| element.0 == name).count()
        };
        let written = |write: &dyn Fn(&mut Vec<u8>) -> Result<()>| {
            let mut text = Vec::new();
            write(&mut text).expect("writes");
            String::from_utf8(text).expect("UTF-8")
        };
        let found = elements(&written(&|out| graphml(out, &people, &analysis)));
        assert_eq!((count(&found, "node"), count(&found, "edge"), count(&found, "key")), (2, 1, 13));
        let edge = found.iter().find(|element| element.0 == "edge").expect("an edge");
        assert_eq!(edge.1[0], ("source".to_owned(), "<a&\"".to_owned()));
        let text = written(&|out| gexf(out, &people, &analysis, &[[1.0, 2.0], [3.0, 4.0]]));
        let found = elements(&text);
        assert_eq!((count(&found, "node"), count(&found, "edge"), count(&found, "viz:position")), (2, 1, 2));
        assert!(text.contains("value=\"2020-01-01\"") && text.contains(&weight), "{text}");
    }
}
