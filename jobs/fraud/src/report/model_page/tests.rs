//! The page of a retrain, by an example.

use super::*;
use crate::population::{Basis, NoEstimate};

/// A report as large as a real one.
fn example() -> ModelPage {
    let shares: Vec<f64> = (0..=50).map(|step| f64::from(step) / 100.0).collect();
    let curve = |power: f64| shares.iter().map(|share| (*share, 1.0 - (1.0 - share).powf(power))).collect();
    let falling = |rate: f64| {
        shares.iter().skip(1).map(|share| (*share, 0.075 + 0.9 * (-share * rate).exp())).collect()
    };
    let metric = |name: &str, challenger, champion| Metric {
        name: name.to_owned(),
        challenger,
        items: None,
        interval: None,
        champion: Some(champion),
    };
    let features = [
        ("importer.illicit_rate", "past illicit rate of the importer"),
        ("hs6_origin.illicit_rate", "past illicit rate of the commodity code from this origin"),
        ("unit_value.ratio", "value per kg against the usual of the commodity code and its origin"),
        ("tax_rate", "rate of other taxes"),
        ("office.illicit_rate", "past illicit rate at the customs office"),
    ];
    ModelPage {
        language: Language::English,
        title: "Fraud selection, fraud@3".to_owned(),
        model: "fraud@3".to_owned(),
        champion: Some("fraud@2".to_owned()),
        country: "KR".to_owned(),
        decision: "Promoted: revenue_recall@5 rises from 0.431 to 0.462, more than the 0.005 asked for."
            .to_owned(),
        capacity: 0.05,
        over_random: None,
        population: Population::All,
        looks: 1,
        periods: Months {
            train: "2020-01 to 2020-12".to_owned(),
            valid: "2021-01 to 2021-03".to_owned(),
            test: "2021-04 to 2021-06".to_owned(),
        },
        test_rows: 13_458,
        illicit_rate: 0.0752,
        metrics: vec![
            metric("roc_auc", 0.9412, 0.9325),
            metric("precision@5", 0.951, 0.902),
            metric("recall@5", 0.462, 0.431),
            metric("log_loss", 0.1423, 0.1518),
        ],
        gain: Curves { challenger: curve(12.1), champion: curve(11.0) },
        precision: Curves { challenger: falling(1.2), champion: falling(2.0) },
        revenue: Curves { challenger: curve(14.0), champion: curve(12.5) },
        by_month: (4..=6)
            .map(|month| MonthRow {
                month: format!("2021-0{month}"),
                rows: 4_400 + month * 13,
                illicit_rate: 0.07 + month as f64 / 1000.0,
                selected: 220,
                metrics: [("roc_auc".to_owned(), 0.94), ("precision@5".to_owned(), 0.95)].into(),
                intervals: [("precision@5".to_owned(), [0.9121, 0.9712])].into(),
            })
            .collect(),
        importance: features
            .iter()
            .zip([0.41, 0.22, 0.17, 0.12, 0.08])
            .map(|((feature, meaning), share)| Importance {
                feature: (*feature).to_owned(),
                label: String::new(),
                meaning: (*meaning).to_owned(),
                share,
            })
            .collect(),
        calibration: (0..10)
            .map(|bin| CalibrationBin {
                predicted: 0.05 + f64::from(bin) / 10.0,
                observed: (f64::from(bin) / 9.3).powf(1.15),
                rows: 9_000 >> bin,
            })
            .collect(),
        selection: (1..=12)
            .map(|rank| SelectedItem {
                rank,
                declaration: format!("D2021-{:07}", rank * 7919),
                item: 1 + rank % 3,
                date: format!("2021-04-{rank:02}"),
                importer: if rank == 2 {
                    "<script>alert(1)</script>".to_owned()
                } else {
                    format!("IMP{:05}", rank * 321)
                },
                hs_code: "8517130000".to_owned(),
                origin: "CN".to_owned(),
                office: String::new(),
                description: String::new(),
                value: Some(1_250_300.0 / rank as f64),
                probability: 0.99 - rank as f64 / 100.0,
                expected_revenue: Some(84_000.0 / rank as f64),
                illicit: Some(rank != 5),
                reasons: vec![
                    ("the importer's past illicit rate is 62.5 %".to_owned(), 1.93),
                    ("value per kg is 0.21 of the usual".to_owned(), 1.12),
                    ("the office seldom finds fraud".to_owned(), -0.31),
                ],
            })
            .collect(),
        currency: "USD".to_owned(),
        version: "0.1.0".to_owned(),
        seed: Some(7),
        snapshot: Some("declarations@12".to_owned()),
    }
}

#[test]
fn the_first_sentence_is_read_from_the_curves() {
    let report = ModelPage {
        capacity: 0.05,
        gain: Curves { challenger: vec![(0.0, 0.0), (0.1, 0.92)], champion: vec![(0.0, 0.0), (0.1, 0.8)] },
        precision: Curves { challenger: vec![(0.01, 0.97), (0.09, 0.93)], champion: vec![] },
        test_rows: 13_458,
        ..ModelPage::default()
    };
    assert_eq!(
        report.headline().replace('\u{a0}', " "),
        "Inspecting the riskiest 5 % of items finds 46 % of the fraud; of these 672 items 638 are illicit: 95.0 %. \
         Inspecting as many at random would find 5 % of the fraud; the champion so far finds 40 %."
    );
}

#[test]
fn the_lead_and_every_axis_name_of_which_items_they_are() {
    let selected =
        ModelPage { population: Population::Estimated(estimate::example()), looks: 3, ..example() };
    let headline = selected.headline().replace('\u{a0}', " ");
    assert!(
        headline.starts_with(
            "Of all items of the test months, inspecting the riskiest 5 % is estimated, from predicted chances of \
             inspection, to find 31.0 % (95 % interval 25.0 to 38.0) of the fraud; 42.0 % (95 % interval 40.0 to 44.0) of the inspected would be \
             illicit. Among the items that were inspected, the riskiest 5 % hold"
        ),
        "{headline}"
    );
    let html = selected.html().replace('\u{a0}', " ");
    for named in ["selected, % of the inspected items", "looked at 3 times", "Illicit among all, estimated"] {
        assert!(html.contains(named), "{named}");
    }
    assert!(!html.contains("% of all items<"));
    assert!(html.contains("Estimated for all items of the test months from predicted chances of inspection"));

    let drawn = Estimate { basis: Basis::Random { drawn: 1200 }, ..estimate::example() };
    let random = ModelPage { population: Population::Estimated(drawn), ..example() };
    assert!(random.headline().contains("is estimated, from random inspections, to find"));
    let html = random.html();
    assert!(
        html.contains("A random draw alone chose 1,200 of them") && !html.contains("chance is predicted")
    );

    let why = NoEstimate::TooFew { inspected: 292, illicit: 14 };
    let unknown = ModelPage { population: Population::Inspected { why }, ..example() };
    assert!(unknown.headline().contains("cannot be told from this"));
    let said = unknown.html();
    assert!(said.contains(
        "There is no estimate for all items: it takes 200 inspected items with 20 illicit ones among them, and there \
         are 292 with 14."
    ));
    assert!(example().html().contains("inspected, % of all items"));
}

#[test]
fn the_report_is_alone_escaped_and_the_same_each_time() {
    let report = example();
    let html = report.html();
    assert_eq!(html, report.html());
    for bad in ["http://", "https://", "src=", "<script", "<link", "url(", "NaN"] {
        assert!(!html.contains(bad), "{bad}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("Promoted: "));
    assert_eq!(html.matches("<h2 ").count(), 7);
    tidewaiter_report::keep("fraud.html", &html).expect("the folder can be written");
}

#[test]
fn what_is_missing_is_left_out() {
    let html =
        ModelPage { title: "T".to_owned(), model: "fraud@1".to_owned(), ..ModelPage::default() }.html();
    assert_eq!(html.matches("<h2 ").count(), 0);
    assert!(html.contains("does not reach"));
}

#[test]
fn the_page_speaks_french_and_spanish() {
    for (language, says) in
        [(Language::French, "5\u{a0}% des articles"), (Language::Spanish, "5\u{a0}% de las partidas")]
    {
        let page = ModelPage { language, ..example() };
        assert!(page.headline().contains(says), "{}", page.headline());
        assert!(!page.html().contains("Feature importance"));
    }
}

#[test]
fn the_page_made_from_json_is_the_same() {
    let report = example();
    let json = serde_json::to_string(&report).expect("serialises");
    let parsed: ModelPage = serde_json::from_str(&json).expect("parses");
    assert_eq!(parsed.html(), report.html());
}
