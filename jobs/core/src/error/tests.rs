//! Kinds, texts and ways of errors.

use std::{io, sync::Arc};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;
use proptest::prelude::*;

use super::*;

const KINDS: [ErrorKind; 8] = [
    ErrorKind::Input,
    ErrorKind::NotFound,
    ErrorKind::Denied,
    ErrorKind::Unavailable,
    ErrorKind::Conflict,
    ErrorKind::Corrupt,
    ErrorKind::Cancelled,
    ErrorKind::Internal,
];

#[test]
fn only_transient_errors_become_io_errors() {
    let transient = DataFusionError::from(Error::unavailable("the store cannot be reached"));
    assert!(matches!(transient.find_root(), DataFusionError::IoError(_)));
    let permanent = DataFusionError::from(Error::input("negative mass"));
    assert!(matches!(permanent.find_root(), DataFusionError::External(_)));
}

/// Every way in which the engine hands an error on, as far as it keeps the error itself.
fn ways(error: impl Fn() -> DataFusionError) -> Vec<DataFusionError> {
    let shared = Arc::new(error());
    vec![
        error(),
        DataFusionError::Shared(Arc::clone(&shared)),
        DataFusionError::Shared(Arc::new(DataFusionError::Shared(shared))),
        DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(error()))), None),
        DataFusionError::External(Box::new(error())),
        DataFusionError::IoError(io::Error::other(error())),
        DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(error())))),
    ]
}

#[test]
fn kind_and_text_do_not_depend_on_the_way_through_the_engine() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::Cancelled] {
        for error in ways(|| Error::new(kind, "cause").into()) {
            let error = Error::from(error);
            assert_eq!((error.kind(), error.chain().as_str()), (kind, "cause"));
        }
    }
    let damaged = || DataFusionError::ParquetError(Box::new(ParquetError::General("bad page".to_owned())));
    for error in ways(damaged) {
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let text = error.chain();
        assert!(text.contains("bad page") && text.contains("backup"), "{text}");
    }
}

#[test]
fn a_store_that_does_not_answer_is_no_damaged_file() {
    let store = |source: &str| object_store::Error::Generic { store: "S3", source: source.into() };
    let reading = |source: &str| ParquetError::External(Box::new(store(source)));
    let error = Error::from(DataFusionError::ParquetError(Box::new(reading("503 Slow Down"))));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("503 Slow Down"), "{}", error.chain());
    assert_eq!(Error::from(reading("503 Slow Down")).kind(), ErrorKind::Unavailable);
}

#[test]
fn a_bucket_without_credentials_says_which_to_set() {
    let asked = "Error performing PUT http://169.254.169.254/latest/api/token in 1s, after 3 retries";
    let error = Error::from(object_store::Error::Generic { store: "S3", source: asked.into() });
    // The machine may have a role and be slow.
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("set AWS_ACCESS_KEY_ID"), "{error}");
    assert!(error.chain().contains(asked), "{}", error.chain());
}

#[test]
fn credentials_are_named_as_the_store_names_them() {
    let stores = [
        ("GCS", "GET http://metadata.google.internal/computeMetadata/v1/token", "GOOGLE_SERVICE_ACCOUNT"),
        (
            "MicrosoftAzure",
            "GET http://169.254.169.254/metadata/identity/oauth2/token",
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
    ];
    for (store, asked, variable) in stores {
        let error = Error::from(object_store::Error::Generic { store, source: asked.into() });
        assert!(error.to_string().contains(variable), "{error}");
    }
}

#[test]
fn too_little_memory_says_what_to_give() {
    let exhausted = || DataFusionError::ResourcesExhausted("10.0 MB for a sort".to_owned());
    let advised = exhausted().context("Consider increasing a setting of the engine");
    for error in ways(exhausted).into_iter().take(6).chain([advised]) {
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Input);
        let text = error.chain();
        assert!(text.contains("--memory-mib") && text.contains("10.0 MB for a sort"), "{text}");
        assert!(!text.contains("setting"), "{text}");
    }
}

#[test]
fn the_kind_survives_grpc() {
    for kind in KINDS {
        let error = Error::from(tonic::Status::from(Error::new(kind, "cause")));
        assert_eq!((error.kind(), error.chain().as_str()), (kind, "cause"));
    }
}

#[test]
fn the_kind_survives_the_engine_and_added_context() {
    for kind in [ErrorKind::Input, ErrorKind::Unavailable, ErrorKind::Corrupt] {
        let error: Error = DataFusionError::from(Error::new(kind, "cause")).into();
        let error = Err::<(), _>(error).context(|| "read partition 3").expect_err("it is an error");
        assert_eq!(error.kind(), kind);
        assert_eq!(error.chain(), "read partition 3: cause");
    }
}

#[test]
fn what_ballista_says_of_its_cluster_is_transient() {
    let lost = "Job aB3 failed: all executors were lost and no executor re-registered within 180s";
    assert_eq!(Error::from(DataFusionError::Execution(lost.to_owned())).kind(), ErrorKind::Unavailable);
    let other = DataFusionError::Execution("Job aB3 failed: a bug".to_owned());
    assert_eq!(Error::from(other).kind(), ErrorKind::Internal);
}

proptest! {
    #[test]
    fn an_error_survives_text_that_is_quoted_and_wrapped(
        message in any::<String>(), kind in prop::sample::select(&KINDS[..]), quotings in 0_usize..4
    ) {
        let error = Error::new(kind, "cause").with_source(io::Error::other(message));
        let (chain, mut text) = (error.chain(), error.encode());
        prop_assert!(text.starts_with(&chain));
        for stage in 0..quotings {
            text = format!("Job failed due to stage {stage} failed: {text:?}\n");
        }
        let decoded = Error::decode(&text).expect("it was encoded");
        prop_assert_eq!((decoded.kind(), decoded.chain()), (kind, chain.clone()));
        let of_engine = Error::from(DataFusionError::Execution(text));
        prop_assert_eq!((of_engine.kind(), of_engine.chain()), (kind, chain));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>(), tail in "[0-9a-fé\\]]{0,9}") {
        let _ = Error::decode(&text);
        let _ = Error::decode(&format!("{text}[tidewaiter-error {tail}"));
    }
}

#[test]
fn an_encoded_error_that_was_cut_off_is_not_read() {
    let text = Error::corrupt("a file is damaged").encode();
    assert!(Error::decode(&text[..text.len() - 1]).is_none());
    assert!(Error::decode("a file is damaged").is_none());
}
