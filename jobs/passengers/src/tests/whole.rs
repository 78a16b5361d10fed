//! All of it on generated messages, as jobs in this process: messages, persons, network, model, profiles, selection.

use serde_json::json;
use tidewaiter_job::{JobParameters, Outcome};

use crate::{
    generator::synth, link, network, parameters::ApplyParameters, parameters::RetrainParameters, profiles,
    testing::Place,
};

/// Runs a job by its parameters in JSON.
async fn run<P: JobParameters>(place: &Place, id: &str, parameters: serde_json::Value) -> Outcome {
    let parameters: P = serde_json::from_value(parameters).expect("parameters");
    let outcome = place.run(id, &parameters).await;
    assert_eq!(outcome.error, None, "{id}");
    outcome
}

/// The text of a report whose path ends so.
async fn report(place: &Place, outcome: &Outcome, ending: &str) -> String {
    let path = outcome.reports.iter().find(|path| path.ends_with(ending)).expect("a report");
    let path = path.split_once("reports/").expect("in the reports").1;
    let bytes = place.archive.get(&format!("reports/{path}")).await.expect("is there");
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    tidewaiter_report::keep(path, &text).expect("is written");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_become_a_network_a_model_profiles_and_a_selection() {
    let place = Place::new("passengers-whole");
    let made = json!({
        "out": place.path("made"), "country": "KR", "months": "2024-01..2024-04", "travellers": 400, "ring_share": 0.08,
        "base_rate": 0.02, "random_share": 0.4, "officer_share": 0.2, "seed": 5,
    });
    run::<synth::Parameters>(&place, "01", made).await;
    assert_eq!(place.ingest("02", &[place.path("made/messages")], None).await.error, None);
    // An inspection on a flight of which there is no message, and one of nobody on a flight.
    let mut outcomes = std::fs::read_to_string(place.path("made/outcomes.csv")).expect("is there");
    let flight: Vec<String> =
        outcomes.lines().nth(1).expect("a line").split(',').take(4).map(str::to_owned).collect();
    for flight in ["ZZ,999,2024-02-03,XXX", &flight.join(",")] {
        outcomes.push_str(&format!(
            "{flight},NOBODY,AT ALL,1970-01-01,X0,ZZZ,,officer,2024-02-03,2024-02-03,false,,\n"
        ));
    }
    place.file("made/outcomes.csv", outcomes.as_bytes());
    let mapping = Some(place.path("made/outcomes.toml"));
    assert_eq!(place.ingest("03", &[place.path("made/outcomes.csv")], mapping).await.error, None);
    run::<link::Parameters>(&place, "04", json!({})).await;

    // The network of all, and that around one known offender.
    let all = run::<network::job::Parameters>(&place, "05", json!({ "country": "KR" })).await;
    let figures = &all.metrics["network"];
    assert!(figures["links"].as_u64() > Some(50) && figures["offenders"].as_u64() > Some(0), "{figures}");
    let page = report(&place, &all, ".html").await;
    assert!(page.contains("script-src 'sha256-") && !page.contains("https://"));
    assert!(
        report(&place, &all, ".graphml").await.contains("<edge ")
            && report(&place, &all, ".gexf").await.contains("viz:position")
            || figures["travellers"].as_u64() > Some(2000)
    );
    let offender = place
        .query(
            "SELECT min(p.person_id) FROM passengers_persons p JOIN passengers_documents d ON d.traveller_id = p.traveller_id \
             JOIN passengers_outcomes o ON o.document_key = d.document_key AND o.found",
        )
        .await;
    let seed = json!({ "country": "KR", "seed": offender[0], "hops": 2 });
    let around = run::<network::job::Parameters>(&place, "06", seed).await;
    let near = &around.metrics["network"];
    assert!(near["travellers"].as_u64() < figures["travellers"].as_u64(), "{near}");
    let nobody = json!({ "country": "KR", "seed": "nobody" });
    let nobody: network::job::Parameters = serde_json::from_value(nobody).expect("parameters");
    let error = place.run("07", &nobody).await.error.expect("refused");
    assert!(error.contains("has the identifier nobody"), "{error}");

    // The model, the same again, and its page.
    let retrain = json!({
        "country": "KR", "train": "2024-01..2024-02", "valid": "2024-03", "test": "2024-04", "shards": 2,
        "trees": { "trees": 20, "leaves": 7, "early_stopping_rounds": 0 },
    });
    let first = run::<RetrainParameters>(&place, "08", retrain.clone()).await;
    let told = first.metrics["unmatched_inspections"].as_str().expect("is told");
    assert!(
        told.starts_with("2 inspections are of nobody in the archive and are left out, 1 of them"),
        "{told}"
    );
    let page = report(&place, &first, ".html").await;
    assert!(page.contains("Inspections left out"));
    assert!(page.contains("Workload of airports") && !page.contains("<script"));
    assert!(page.contains(" finds with randomly inspected travellers") && page.contains("95 % interval"));
    assert!(page.contains("2024-04") && !page.contains("2024-04..2024-04"));
    let second = run::<RetrainParameters>(&place, "09", retrain.clone()).await;
    assert_eq!(first.metrics["test"], second.metrics["test"], "the same model");
    assert_eq!(second.metrics["promoted"], false);

    // A graph network on the same trips beside the trees, twice the same, and applied with reasons of its own.
    let mut network = retrain;
    network["learner"] = json!("graph");
    network["graph"] = json!({ "epochs": 3 });
    let graph = run::<RetrainParameters>(&place, "12", network.clone()).await;
    let again = run::<RetrainParameters>(&place, "13", network).await;
    let bytes = |version: u64| {
        let place = &place;
        async move {
            place.archive.get(&format!("models/passengers-KR/{version}/model.bin")).await.expect("bytes")
        }
    };
    assert_eq!(bytes(3).await, bytes(4).await);
    assert_eq!(graph.metrics["test"], again.metrics["test"]);
    assert_ne!(graph.metrics["test"], first.metrics["test"]);
    assert_eq!(graph.metrics["champion"], first.metrics["test"], "the same trips");
    assert!(graph.metrics["learned"]["training"].as_u64() > Some(50));
    let page = report(&place, &graph, ".html").await;
    assert!(page.contains("New model (graph network)") && page.contains("Champion before (boosted trees)"));
    let by_network = json!({ "country": "KR", "months": "2024-04", "version": 3 });
    let by_network = run::<ApplyParameters>(&place, "14", by_network).await;
    assert_eq!(by_network.model.as_deref(), Some("passengers-KR@3"));
    let page = report(&place, &by_network, ".html").await;
    assert!(page.contains("Travellers with the highest scores, and why"));
    let of_network = "SELECT count(*) FROM predictions_passengers WHERE rank <= 5 AND reasons LIKE '%reason%' AND job = '14'";
    // Who is no riskier by any one thing has none.
    let explained: u64 = place.query(of_network).await[0].parse().expect("a number");
    assert!((3..=5).contains(&explained), "{explained} of 5 have reasons");

    // Profiles of the first three months on the last one.
    let search =
        json!({ "country": "KR", "train": "2024-01..2024-03", "test": "2024-04", "least": 10, "depth": 2 });
    let found = run::<profiles::job::Parameters>(&place, "10", search).await;
    assert!(found.metrics["profiles"]["tried"].as_u64() > Some(100));
    report(&place, &found, ".html").await;

    // A selection with rules of an officer and a watch list.
    let rules = "[[rule]]\nname = \"late\"\nwhen = [{ field = \"Pnr.daysBookedBeforeTravel\", operator = \"less_or_equal\", value = 3 }]\n";
    let people = place.query("SELECT value || ',' || given FROM passengers_identities WHERE kind = 'name' AND given IS NOT NULL").await;
    let list = format!("lastname,firstname\n{}\n", people[0]);
    let apply = json!({
        "country": "KR", "months": "2024-01..2024-04", "capacity_percent": 1.0,
        "profiles": place.file("rules.toml", rules.as_bytes()), "watch_list": place.file("watch.csv", list.as_bytes()),
    });
    let applied = run::<ApplyParameters>(&place, "11", apply).await;
    let selection = &applied.metrics["selection"];
    assert!(
        selection["watched"].as_u64() > Some(0) && selection["in_sample"].as_u64() > Some(0),
        "{selection}"
    );
    let count = |text: &'static str| {
        let place = &place;
        async move { place.query(text).await[0].parse::<u64>().expect("a count") }
    };
    let all = "SELECT count(*) FROM predictions_passengers WHERE job = '11'";
    assert_eq!(Some(count(all).await), selection["trips"].as_u64());
    let late = count("SELECT count(*) FROM predictions_passengers WHERE rules = 'late' AND selected").await;
    assert_eq!(Some(late), selection["rules"][0][1].as_u64());
    assert!(count("SELECT count(*) FROM predictions_passengers WHERE watch IS NOT NULL").await > 0);
    let explained = "SELECT count(*) FROM predictions_passengers WHERE rank <= 5 AND reasons LIKE '%reason%' AND job = '11'";
    assert_eq!(count(explained).await, 5);
    let page = report(&place, &applied, ".html").await;
    assert!(page.contains("Watch list") && page.contains("Networks of the first"));
}
