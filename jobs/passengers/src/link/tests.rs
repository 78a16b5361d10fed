//! Linking as a job in this process, on generated messages of which the truth is known.

use std::{collections::HashMap, fs};

use super::Parameters;
use crate::{generator::synth, testing::Place};

fn parameters() -> Parameters {
    Parameters { country: None, threshold: 0.95 }
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_of_generated_trips_are_found_across_messages_passports_and_spellings() {
    let place = Place::new("passengers-link");
    let made = synth::Parameters {
        out: place.path("made"),
        country: "KR".to_owned(),
        months: "2024-02..2024-03".to_owned(),
        // So many that pairs of strangers who share a key outnumber those of one person.
        travellers: 4_000,
        ring_share: 0.1,
        base_rate: 0.01,
        random_share: 0.1,
        officer_share: 0.1,
        seed: 3,
    };
    assert_eq!(place.run("synth", &made).await.error, None);
    assert_eq!(place.ingest("ingest", &[place.path("made/messages")], None).await.error, None);
    let outcome = place.run("link-1", &parameters()).await;
    assert_eq!(outcome.error, None);
    let figures = &outcome.metrics["link"];
    // Each trip is in two messages.
    let trips =
        place.query("SELECT count(*) FROM passengers_persons WHERE is_primary").await[0].parse::<u64>();
    let trips = trips.expect("a count");
    let people = fs::read_to_string(place.path("made/people.csv")).expect("there");
    let truth: Vec<Vec<&str>> = people.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert!(
        trips.abs_diff(truth.len() as u64) <= truth.len() as u64 / 50,
        "{trips} of {}: {figures}",
        truth.len()
    );
    // Pairs of trips of one person, by the truth and by the linking.
    let linked = "SELECT t.flight_id || ',' || i.value || ',' || p.person_id FROM passengers_persons p \
                  JOIN passengers_travellers t ON t.traveller_id = p.traveller_id \
                  JOIN passengers_identities i ON i.owner_id = p.traveller_id AND i.kind = 'document' WHERE p.is_primary";
    let rows = place.query(linked).await;
    let found: HashMap<(String, String), String> = rows
        .iter()
        .map(|row| {
            let parts: Vec<&str> = row.split(',').collect();
            ((parts[0].to_owned(), parts[1].replace(' ', "")), parts[2].to_owned())
        })
        .collect();
    let mut both: HashMap<(&str, &str), u64> = HashMap::new();
    for line in &truth {
        if let Some(person) = found.get(&(line[0].to_owned(), line[2].to_owned())) {
            *both.entry((line[3], person)).or_default() += 1;
        }
    }
    let pairs = |count: u64| count * (count - 1) / 2;
    let sum = |key: fn(&(&str, &str)) -> String| -> u64 {
        let mut counts: HashMap<String, u64> = HashMap::new();
        both.iter().for_each(|(known, count)| *counts.entry(key(known)).or_default() += count);
        counts.values().map(|count| pairs(*count)).sum()
    };
    let (right, true_pairs, found_pairs) = (
        both.values().map(|count| pairs(*count)).sum::<u64>() as f64,
        sum(|known| known.0.to_owned()) as f64,
        sum(|known| known.1.to_owned()) as f64,
    );
    assert!(true_pairs > 50.0, "{true_pairs}");
    assert!(
        right / true_pairs > 0.95 && right / found_pairs > 0.95,
        "{right} {true_pairs} {found_pairs}: {figures}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_messages_there_is_nothing_to_link() {
    let place = Place::new("passengers-link-nothing");
    let outcome = place.run("link", &parameters()).await;
    assert!(
        outcome
            .error
            .is_some_and(|error| error.contains("passengers/messages") || error.contains("no messages"))
    );
}
