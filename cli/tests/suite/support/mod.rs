//! What the tests that drive the built binary share.

#[allow(dead_code, reason = "few tests have an encoder")]
pub(crate) mod encoder;
pub(crate) mod processes;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;

/// The built binary.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tidewaiter"))
}

/// A command in this process's engine, on an archive.
pub(crate) fn tidewaiter(archive: &Path, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.args(["--output", "json", "--archive"]).arg(archive).args(arguments);
    command.output().expect("the binary starts")
}

/// The document of a command that must succeed.
pub(crate) fn document(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|wrong| panic!("one JSON document: {wrong}; {error}"))
}

/// A pipeline that generates a year of declarations below a folder and ingests them.
pub(crate) fn year(folder: &Path) -> String {
    let (pipeline, exports) = (folder.join("year.toml"), folder.join("exports").display().to_string());
    let text = format!(
        "[[job]]\nkind = \"synth\"\nout = {exports:?}\n\
         archive = {{ country = \"TW\", first_month = [2020, 1], months = 12, rows_per_year = 9000, \
         inspection_rate = 0.4 }}\n\
         [[job]]\nkind = \"ingest\"\nmapping = \"{exports}/mapping.toml\"\n\
         files = [\"{exports}/declarations-*.csv\"]\n"
    );
    fs::write(&pipeline, text).expect("is written");
    pipeline.display().to_string()
}

/// The model of [`processes::RETRAIN`] over [`year`], made in one process, once for all tests.
pub(crate) fn model_alone() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("archive");
        document(&tidewaiter(&archive, &["run", &year(folder.path())]));
        document(&tidewaiter(&archive, &processes::RETRAIN));
        fs::read(archive.join("models/fraud-TW/1/model.bin")).expect("the model")
    })
}
