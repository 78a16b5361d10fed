//! Tests of the registry and of promotions, on archives in memory and in a folder.

use proptest::prelude::*;
use serde_json::json;
use tidewaiter_core::{ErrorKind, Period};

use super::{comparison::Against, promotion::publish, *};

fn registry(name: &str) -> (Archive, Registry) {
    let archive = Archive::open(&format!("memory://{name}/archive")).expect("opens");
    let registry = Registry::new(&archive);
    (archive, registry)
}

fn publication(model: &str) -> Publication {
    let card: Card = Arc::new(|version, promotion| Ok(format!("version {version}: {promotion:?}")));
    Publication { model: Bytes::from(model.to_owned()), card: Some(card), facts: facts() }
}

fn facts() -> Facts {
    Facts {
        job: "job-1".to_owned(),
        config: json!({ "trees": 10 }),
        features: vec!["hs_code".to_owned()],
        snapshot: Some(TrainingSnapshot { table: "declarations".to_owned(), version: 3 }),
        code_version: "0.1.0".to_owned(),
        metrics: json!({ "auc": 0.9 }),
        seed: 7,
        created_ms: 1_700_000_000_000,
    }
}

#[test]
fn digests_are_sha_256_in_hexadecimal() {
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256(b"abc"), known);
}

#[tokio::test]
async fn what_is_loaded_is_what_was_published() {
    let (_, registry) = registry("registry-load");
    let manifest = registry.publish("fraud", publication("one")).await.expect("publishes");
    assert_eq!(manifest.version, 1);
    assert_eq!(registry.publish("fraud", publication("two")).await.expect("publishes").version, 2);
    let model = registry.load("fraud", Which::Version(1)).await.expect("loads");
    assert_eq!((model.manifest, model.model.as_ref()), (manifest, b"one".as_slice()));
    assert_eq!(model.card.as_deref(), Some(b"version 1: Pending".as_slice()));
    let all = registry.list(None).await.expect("lists");
    assert_eq!(all.iter().map(|manifest| manifest.version).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_job_finds_the_newest_version_that_it_published() {
    let (archive, registry) = registry("registry-of-job");
    assert_eq!(registry.of_job("fraud", "job-1").await.expect("reads"), None);
    for job in ["job-1", "job-2", "job-1", "job-2", "job-3"] {
        let mut publication = publication("one");
        publication.facts.job = job.to_owned();
        registry.publish("fraud", publication).await.expect("publishes");
    }
    // A publication that was cut off before its manifest is not found: the step publishes again.
    archive.put("models/fraud/6/model.bin", "half").await.expect("writes");
    let found = registry.of_job("fraud", "job-1").await.expect("reads").expect("it published one");
    assert_eq!((found.version, found.facts.job.as_str()), (3, "job-1"));
    assert_eq!(registry.of_job("fraud", "job-4").await.expect("reads"), None);
    assert_eq!(registry.of_job("hs", "job-1").await.expect("reads"), None);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_what_does() {
    let (archive, registry) = registry("registry-absent");
    registry.publish("fraud", publication("one")).await.expect("publishes");
    for (name, which, says) in [
        ("hs", Which::Version(1), "models here: fraud"),
        ("fraud", Which::Version(9), "no version 9; its versions: 1"),
        ("fraud", Which::Champion, "no champion; its versions: 1"),
    ] {
        let error = registry.load(name, which).await.expect_err("absent");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.chain().contains(says), "{}", error.chain());
    }
    // A publisher that failed before its manifest leaves no version, and its number is skipped.
    archive.put("models/fraud/2/model.bin", "half").await.expect("writes");
    assert_eq!(registry.versions("fraud").await.expect("lists"), [1]);
    assert_eq!(registry.publish("fraud", publication("three")).await.expect("publishes").version, 3);
    let error = registry.publish("../fraud", publication("x")).await.expect_err("not a name");
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (archive, registry) = registry("registry-damaged");
    for (version, path) in [(1, MODEL), (2, CARD), (3, MANIFEST)] {
        registry.publish("fraud", publication("one")).await.expect("publishes");
        let path = file("fraud", version, path);
        archive.put(&path, "damaged").await.expect("writes");
        let error = registry.load("fraud", Which::Version(version)).await.expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.chain().contains(&path) && error.chain().contains("backup"), "{}", error.chain());
    }
    registry.publish("fraud", publication("four")).await.expect("publishes");
    let model = archive.path("models/fraud/4/model.bin");
    object_store::ObjectStoreExt::delete(archive.store(), &model).await.expect("deletes");
    let error = registry.load("fraud", Which::Version(4)).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_promotions_at_once_one_succeeds_and_publishers_share_no_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = Archive::open(&folder.path().to_string_lossy()).expect("opens");
    let registry = Registry::new(&archive);
    let publish = (0..6).map(|task| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.publish("fraud", publication(&task.to_string())).await })
    });
    let mut versions = Vec::new();
    for task in publish.collect::<Vec<_>>() {
        versions.push(task.await.expect("the task ends").expect("publishes").version);
    }
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    let promote = (1..=6).map(|version| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.promote("fraud", version, 0).await })
    });
    let mut won = Vec::new();
    for task in promote.collect::<Vec<_>>() {
        match task.await.expect("the task ends") {
            Ok(champion) => won.push(champion),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(registry.champion("fraud").await.expect("reads"), Some(won[0]));
    let next = registry.promote("fraud", 2, 1).await.expect("promotes");
    assert_eq!(registry.champion_before("fraud", next.sequence).await.expect("reads"), Some(won[0]));
    assert_eq!(registry.champion_before("fraud", 1).await.expect("reads"), None);
    assert_eq!(next, Champion { version: 2, sequence: 2 });
    let champion = registry.load("fraud", Which::Champion).await.expect("loads");
    assert_eq!(champion.manifest.version, 2);
    let ahead = registry.promote("fraud", 3, 7).await.expect_err("a gap");
    assert_eq!(ahead.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_promotion_whose_answer_was_lost_is_still_ones_own() {
    let (_, registry) = registry("promotion-answer-lost");
    for job in ["one", "two"] {
        registry.publish("fraud", publication(job)).await.expect("publishes");
    }
    let first = registry.promote("fraud", 1, 0).await.expect("promotes");
    assert_eq!(registry.promote("fraud", 1, 0).await.expect("it was its own"), first);
    let second = registry.promote("fraud", 2, 1).await.expect("promotes");
    // A job that repeats its step after that learns that it did promote, and that it is not the champion.
    let late = registry.promote("fraud", 2, 0).await.expect_err("another version has that move");
    assert_eq!(late.kind(), ErrorKind::Conflict);
    assert_eq!(registry.promote("fraud", 1, 0).await.expect("it was its own"), first);
    assert_eq!(registry.champion("fraud").await.expect("reads"), Some(second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_promotes_at_the_same_time_as_others_is_told_the_truth() {
    let (_, registry) = registry("promotion-race");
    for job in 0..6 {
        registry.publish("fraud", publication(&job.to_string())).await.expect("publishes");
    }
    let tasks: Vec<_> = (1..=6)
        .map(|version| {
            let registry = registry.clone();
            tokio::spawn(async move { (version, registry.make_champion("fraud", version).await) })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("the task ends"));
    }
    let champion = registry.champion("fraud").await.expect("reads").expect("somebody won");
    assert!(answers.iter().any(|(version, won)| *version == champion.version && won.is_ok()));
    for (version, answer) in answers {
        match answer {
            Ok(said) => assert_eq!(said.version, version),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                let text = error.chain();
                assert!(text.contains(&format!("fraud@{version} is not the champion")), "{text}");
                assert!(text.contains("somebody else promoted fraud@"), "{text}");
            }
        }
    }
    let again = registry.make_champion("fraud", champion.version).await.expect("it is the champion");
    assert_eq!(again, champion, "a promotion of the champion moves nothing");
    let absent = registry.make_champion("fraud", 9).await.expect_err("there is no such version");
    assert_eq!(absent.kind(), ErrorKind::NotFound);
}

fn of_job(job: &str) -> Publication {
    let mut publication = publication(job);
    publication.facts.job = job.to_owned();
    publication
}

#[tokio::test]
async fn a_repeated_job_finds_what_it_published_and_promotes_it_once() {
    let (archive, registry) = registry("promotion-repeated");
    for _ in 0..2 {
        let before = promotion::champion_before(&registry, "fraud", "job-1").await.expect("reads");
        assert_eq!(before, None, "a job's own model is not its champion before");
        let published = publish(&registry, "fraud", of_job("job-1"), before.as_ref(), true).await;
        let published = published.expect("publishes");
        assert_eq!((published.manifest.version, published.promoted, published.overtaken_by), (1, true, None));
        assert_eq!(published.report, "reports/fraud-1.html");
        let report = archive.get(&published.report).await.expect("the card is among the reports");
        assert_eq!(report.as_ref(), b"version 1: Champion");
    }
    assert_eq!(registry.versions("fraud").await.expect("lists"), [1]);
    let champion = registry.champion("fraud").await.expect("reads");
    assert_eq!(champion, Some(Champion { version: 1, sequence: 1 }));
}

#[tokio::test]
async fn a_repeated_job_compares_with_the_champion_before_it_and_not_with_its_own_model() {
    let (_, registry) = registry("promotion-before");
    publish(&registry, "fraud", of_job("job-1"), None, true).await.expect("publishes");
    let first = Champion { version: 1, sequence: 1 };
    for _ in 0..2 {
        let before = promotion::champion_before(&registry, "fraud", "job-2").await.expect("reads");
        assert_eq!(before, Some(first));
        let published = publish(&registry, "fraud", of_job("job-2"), before.as_ref(), true).await;
        assert!(published.expect("publishes").promoted);
    }
    let champion = registry.champion("fraud").await.expect("reads");
    assert_eq!(champion, Some(Champion { version: 2, sequence: 2 }));
    // A job that made an older version is compared with today's champion.
    assert_eq!(promotion::champion_before(&registry, "fraud", "job-1").await.expect("reads"), champion);
}

#[tokio::test]
async fn neither_a_conflict_nor_a_model_that_is_not_better_promotes() {
    let (archive, registry) = registry("promotion-conflict");
    publish(&registry, "fraud", of_job("job-1"), None, true).await.expect("publishes");
    let champion = registry.champion("fraud").await.expect("reads");
    // Compared when there was no champion; since then another job promoted one.
    let late = publish(&registry, "fraud", of_job("job-2"), None, true).await.expect("publishes");
    assert_eq!((late.manifest.version, late.promoted, late.overtaken_by), (2, false, Some(1)));
    let worse = publish(&registry, "fraud", of_job("job-3"), champion.as_ref(), false).await;
    let worse = worse.expect("publishes");
    assert_eq!((worse.manifest.version, worse.promoted, worse.overtaken_by), (3, false, None));
    assert_eq!(registry.champion("fraud").await.expect("reads"), champion);
    // Reports say what became of each; a card in the registry is older than that.
    for (path, expected) in [
        (late.report, "version 2: OvertakenBy(1)"),
        (worse.report, "version 3: NotBetter"),
        ("models/fraud/2/card.html".to_owned(), "version 2: Pending"),
    ] {
        let text = archive.get(&path).await.expect("is written");
        assert_eq!(text.as_ref(), expected.as_bytes(), "{path}");
    }
}

#[test]
fn a_champion_that_learned_from_the_test_months_is_no_comparison() {
    let period = |text: &str| text.parse().expect("a period");
    let test = period("2020-10..2020-11");
    let check = |train, valid| promotion::check_fairness("fraud-KR@1", [period(train), period(valid)], &test);
    check("2019-01..2019-12", "2020-01..2020-09").expect("fair");
    for (train, valid) in [("2020-01..2020-09", "2020-10"), ("2020-12", "2021-01")] {
        let error = check(train, valid).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("--compare nothing"), "{error}");
    }
}

#[tokio::test]
async fn a_retrain_meets_the_champion_before_it() {
    let (_, registry) = registry("registry-standing");
    let mut first = publication("one");
    first.facts.job = "job-1".to_owned();
    first.facts.config = json!({ "learned": "2020-01..2020-12", "test": "2021-01" });
    publish(&registry, "fraud-KR", first, None, true).await.expect("publishes");
    let of_champion = |config: Value, path| {
        let learned: Period = config["learned"].as_str().unwrap_or_default().parse()?;
        Ok(([learned, learned], path))
    };
    let retrain = |against, test: &str| promotion::Retrain {
        name: "fraud-KR".to_owned(),
        job: "job-2".to_owned(),
        against,
        test: test.parse().expect("months"),
    };
    let later = retrain(Against::Champion, "2021-01..2021-02");
    let met = promotion::standing(&registry, &later, of_champion).await.expect("is fair");
    assert_eq!((met.looks, met.champion.map(|champion| champion.version)), (2, Some(1)));
    assert_eq!(met.compared, Some(registry.model_path("fraud-KR", 1)));
    // A champion that learned from the test months is there, and is not compared with.
    let known = retrain(Against::Champion, "2020-12");
    let error = promotion::standing(&registry, &known, of_champion).await.expect_err("is not");
    assert!(error.to_string().contains("fraud-KR@1 learned from"), "{error}");
    let alone = retrain(Against::Nothing, "2020-12");
    let met = promotion::standing(&registry, &alone, of_champion).await.expect("is not compared");
    assert_eq!((met.champion.map(|champion| champion.version), met.compared), (Some(1), None));
}

proptest! {
    #[test]
    fn a_manifest_survives_its_json_to_the_last_bit(numbers in any::<[f64; 3]>(), seed: u64, created_ms: i64) {
        prop_assume!(numbers.iter().all(|number| number.is_finite()));
        let [rate, penalty, auc] = numbers;
        let config = json!({ "rate": rate, "deeper": { "penalty": [penalty] } });
        let facts = Facts { config, metrics: json!({ "auc": auc }), seed, created_ms, ..facts() };
        let files = BTreeMap::from([(MODEL.to_owned(), sha256(b"one"))]);
        let manifest = Manifest { name: "fraud".to_owned(), version: 1, facts, files };
        let text = serde_json::to_vec_pretty(&manifest).expect("writes");
        let read: Manifest = serde_json::from_slice(&text).expect("reads");
        let bits = |value: &Value| value.as_f64().map(f64::to_bits);
        prop_assert_eq!(bits(&read.facts.config["rate"]), Some(rate.to_bits()));
        prop_assert_eq!(bits(&read.facts.config["deeper"]["penalty"][0]), Some(penalty.to_bits()));
        prop_assert_eq!(bits(&read.facts.metrics["auc"]), Some(auc.to_bits()));
        prop_assert_eq!(read, manifest);
    }
}

#[tokio::test]
async fn looks_at_test_months_are_counted_by_model_and_month() {
    let (_, registry) = registry("registry-looks");
    for (name, job, test) in [
        ("fraud-KR", "job-1", "2021-01..2021-03"),
        ("fraud-KR", "job-2", "2021-03..2021-04"),
        ("fraud-KR", "job-3", "2021-05"),
        ("fraud-TW", "job-4", "2021-01..2021-03"),
    ] {
        let mut publication = publication("one");
        (publication.facts.job, publication.facts.config) = (job.to_owned(), json!({ "test": test }));
        registry.publish(name, publication).await.expect("publishes");
    }
    for (job, test, expected) in [
        ("job-5", "2021-02", 2),
        ("job-5", "2021-03..2021-05", 4),
        ("job-1", "2021-02", 1),
        ("job-5", "2020-12", 1),
    ] {
        let test = test.parse().expect("months");
        assert_eq!(
            promotion::looks(&registry, "fraud-KR", job, &test).await.expect("counts"),
            expected,
            "{test}"
        );
    }
}

#[tokio::test]
async fn a_model_of_an_earlier_version_is_named_where_its_successor_is_missing() {
    let (_, registry) = registry("registry-unscoped");
    registry.publish("fraud", publication("one")).await.expect("publishes");
    let error = registry.load("fraud-KR", Which::Champion).await.expect_err("absent");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.chain().contains("models here: fraud; fraud is of an earlier version"),
        "{}",
        error.chain()
    );
    assert_eq!(registry.load("fraud", Which::Version(1)).await.expect("still readable").manifest.version, 1);
}
