//! Everything that a Tidewaiter program can do: the one place that names all domains.
//!
//! A domain is added here and nowhere else. What is absent: any behaviour.

use clap::ArgMatches;
use tidewaiter_core::Result;
pub use tidewaiter_ingest::{RawRecord, raw_records};
use tidewaiter_job::Catalogue;
pub use tidewaiter_upkeep::age::milliseconds as milliseconds_of_age;

/// The domains; the first one's table is that of a mapping which names none.
pub static CATALOGUE: Catalogue = Catalogue::new(&[
    &tidewaiter_declarations::DOMAIN,
    &tidewaiter_learning::DOMAIN,
    &tidewaiter_ingest::DOMAIN,
    &tidewaiter_quality::DOMAIN,
    &tidewaiter_upkeep::DOMAIN,
    &tidewaiter_release::DOMAIN,
    &tidewaiter_synth::DOMAIN,
    &tidewaiter_fraud::DOMAIN,
    &tidewaiter_hs::DOMAIN,
    &tidewaiter_xray::DOMAIN,
    &tidewaiter_passengers::DOMAIN,
]);

/// The text that a job's command asks for instead of a job, such as a first mapping; `None` where it asks for the job.
///
/// # Errors
/// Those of what is asked for.
pub fn text_instead(command: &str, options: &ArgMatches) -> Result<Option<String>> {
    match command {
        "ingest" => tidewaiter_ingest::job::guessed(options, &CATALOGUE.extensions()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;
    use tidewaiter_job::Specification;

    use super::CATALOGUE;

    #[test]
    fn the_national_example_is_read_and_survives_the_wire() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/national.toml");
        let (archive, pipeline) = CATALOGUE.read_pipeline(std::path::Path::new(path)).expect("reads");
        assert_eq!(archive.as_deref(), Some("national/archive"));
        let kinds: Vec<_> = pipeline.parts().iter().map(Specification::kind).collect();
        assert_eq!(kinds, ["synth", "ingest", "quality", "retrain", "apply"]);
        let written = pipeline.to_json().expect("writes");
        let read = CATALOGUE.read(&written.to_string()).expect("reads");
        assert_eq!(read.to_json().expect("writes"), written);
    }

    #[test]
    fn the_example_of_images_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/xray.toml");
        let (archive, pipeline) = CATALOGUE.read_pipeline(std::path::Path::new(path)).expect("reads");
        assert_eq!(archive.as_deref(), Some("xray/archive"));
        let kinds: Vec<_> = pipeline.parts().iter().map(Specification::kind).collect();
        assert_eq!(kinds, ["synth", "ingest", "retrain", "apply"]);
    }

    #[test]
    fn the_example_of_passengers_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/passengers.toml");
        let (archive, pipeline) = CATALOGUE.read_pipeline(std::path::Path::new(path)).expect("reads");
        assert_eq!(archive.as_deref(), Some("passengers/archive"));
        let kinds: Vec<_> = pipeline.parts().iter().map(Specification::kind).collect();
        let [first, .., last] = kinds.as_slice() else { panic!("several jobs") };
        assert_eq!((*first, *last), ("synth", "apply"));
    }

    #[test]
    fn a_wrong_pipeline_is_named_with_its_job() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        for (text, says) in [
            ("", "there is no [[job]]"),
            ("archive = \"a\"", "there is no [[job]]"),
            ("job = []", "there is no [[job]]"),
            ("date;hs;value\n2024-01-02;0901;3", "it is not TOML"),
            (
                "[[job]]\nkind = \"quality\"\n[[job]]\nkind = \"qualify\"",
                "job 2: unknown kind `qualify`; the kinds are apply, archive, backtest, ingest, passengers, pipeline, quality",
            ),
            ("[[job]]\nmodel = \"fraud\"", "job 1: the job has no `kind`"),
            ("[[job]]\nkind = \"retrain\"\nmodel = \"tea\"", "say one of model = \"fraud\", model = \"hs\""),
            ("[[job]]\nkind = \"apply\"\nmodel = \"fraud\"\ncountry = \"TW\"\nmonths = \"x\"", "job 1"),
            (
                "[[job]]\nkind = \"apply\"\nmodel = \"fraud\"\ncountry = \"TW\"\nmonths = \"2020-01\"\nfoo = 1",
                "unknown field `foo`",
            ),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = CATALOGUE.read_pipeline(&path).err().expect(text);
            assert_eq!(error.kind(), ErrorKind::Input, "{text}");
            let told = error.chain();
            assert!(told.contains("p.toml") && told.contains(says), "{told}");
        }
        std::fs::write(&path, b"Valeur en douane;D\xe9clarant").expect("written");
        let error = CATALOGUE.read_pipeline(&path).err().expect("Latin-1");
        assert!(error.kind() == ErrorKind::Input && error.chain().contains("it is no text"), "{error}");
    }

    #[test]
    fn paths_become_absolute_wherever_they_stand() {
        let text = r#"{"kind":"pipeline","jobs":[{"kind":"ingest","mapping":"m.toml","files":["a/*.csv"]}]}"#;
        let mut pipeline = CATALOGUE.read(text).expect("reads");
        pipeline.make_absolute().expect("there is a current folder");
        let written = pipeline.to_json().expect("writes");
        let ingest = &written["jobs"][0];
        for (path, ending) in [(&ingest["mapping"], "m.toml"), (&ingest["files"][0], "a/*.csv")] {
            let path = std::path::Path::new(path.as_str().expect("a path"));
            assert!(path.is_absolute() && path.ends_with(ending), "{path:?}");
        }
    }

    #[test]
    fn names_are_registered_once() {
        let mut names: Vec<_> = CATALOGUE.operator_names().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        clap::Command::new("tidewaiter").subcommands(CATALOGUE.job_commands()).debug_assert();
    }

    /// What a command's words become as a job.
    fn asked(words: &[&str]) -> serde_json::Value {
        let command = clap::Command::new("tidewaiter").subcommands(CATALOGUE.job_commands());
        let matches = command.try_get_matches_from(words).expect("a command");
        let (name, options) = matches.subcommand().expect("a command");
        let specification = CATALOGUE.specification(name, options).expect("right").expect("a job");
        specification.to_json().expect("writes")
    }

    #[test]
    fn options_stand_over_the_defaults_of_a_pipeline() {
        let retrain = ["--country", "TW", "--train", "2020-01..2020-06", "--test", "2020-08"];
        let words =
            |more: &[&'static str]| [&["tidewaiter", "retrain", "fraud"], &retrain[..], more].concat();
        let bare = asked(&words(&[]));
        let text = r#"{"kind":"retrain","model":"fraud","country":"TW","train":"2020-01..2020-06","test":"2020-08"}"#;
        let read = CATALOGUE.read(text).expect("reads");
        assert_eq!(bare, read.to_json().expect("writes"));

        let told = asked(&words(&["--leaves", "63", "--seed", "5", "--epochs", "2", "--model", "date"]));
        assert_eq!(told["trees"]["leaves"], 63);
        assert_eq!(told["trees"]["trees"], 300);
        assert_eq!(told["date"]["booster"]["leaves"], 63);
        assert_eq!(told["date"]["booster"]["trees"], 100);
        assert_eq!((&told["date"]["seed"], &told["date"]["booster"]["seed"]), (&5.into(), &5.into()));
        assert_eq!((&told["date"]["epochs"], &told["date"]["least_steps"]), (&2.into(), &0.into()));
        assert_eq!(told["learner"], "date");

        let words =
            ["tidewaiter", "backtest", "fraud", "--country", "TW", "--from", "2020-01", "--to", "2020-02"];
        let told =
            asked(&[&words[..], &["--strategy", "random", "--strategy", "gbdt", "--seed", "7"]].concat());
        assert_eq!(told["strategies"], serde_json::json!(["random", "gbdt"]));
        assert_eq!((&told["seed"], &told["trees"]["seed"]), (&7.into(), &0.into()));
        assert_eq!((&told["trees"]["trees"], &told["trees"]["leaves"]), (&100.into(), &15.into()));
        assert_eq!(told["seeds"], 3);
    }

    #[test]
    fn a_job_is_summed_up_by_its_own_model_and_not_by_another_of_its_kind() {
        let said = |kind: &str, variant: &str, metrics: serde_json::Value| {
            let metrics = metrics.as_object().cloned().expect("an object");
            let (kind, variant) = (kind.to_owned(), Some(variant.to_owned()));
            CATALOGUE
                .summary(&tidewaiter_job::Outcome { kind, variant, metrics, ..Default::default() })
                .join("\n")
        };
        let part = serde_json::json!({"rows": 9, "labelled": 5, "illicit": 1});
        let retrained = serde_json::json!({
            "test": {"roc_auc": 0.8, "average_precision": 0.4},
            "outcomes": {"train": part, "valid": part, "test": part},
        });
        let fraud = said("retrain", "fraud", retrained.clone());
        assert!(fraud.starts_with("items with a known outcome: 5 in the training"), "{fraud}");
        assert!(said("retrain", "passengers", retrained).contains("test: roc_auc 0.800"));
        let selection = serde_json::json!({"selection": {"items": 90, "selected": 5, "threshold": 0.5}});
        let fraud = said("apply", "fraud", selection);
        assert!(fraud.starts_with("5 of 90 items selected"), "{fraud}");
        let selection = serde_json::json!({"selection": {"trips": 80, "selected": 4, "threshold": 0.5}});
        assert!(said("apply", "passengers", selection).starts_with("4 of 80 travellers selected"));
    }

    #[test]
    fn an_encoder_is_asked_for_by_its_folder() {
        let words = "tidewaiter retrain hs --country TW --train 2020-01 --test 2020-03";
        let words: Vec<_> = words.split(' ').collect();
        assert!(asked(&words)["encoder"].is_null());
        let told =
            asked(&[&words[..], &["--encoder", "e5", "--fine-tune-epochs", "1", "--seed", "3"]].concat());
        assert_eq!(told["encoder"]["path"], "e5");
        assert_eq!(told["encoder"]["fine_tune_epochs"], 1);
        assert_eq!((&told["encoder"]["seed"], &told["classifiers"]["seed"]), (&3.into(), &3.into()));
    }

    #[test]
    fn the_generator_offers_the_exports_of_domains() {
        let words =
            "tidewaiter synth --country TW --years 1 --no-rings --new-scheme-from 2020-06 --releases out";
        let told = asked(&words.split(' ').collect::<Vec<_>>());
        assert_eq!((&told["out"], &told["releases"]), (&"out".into(), &true.into()));
        let archive = &told["archive"];
        assert_eq!((&archive["months"], &archive["rows_per_year"]), (&12.into(), &200_000.into()));
        assert_eq!((&archive["rings"], &archive["histories"]), (&false.into(), &true.into()));
        assert_eq!(archive["new_scheme_from"], serde_json::json!([2020, 6]));
    }
}
