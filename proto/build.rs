//! Makes the Rust types from the `.proto` files with `protox`, so that no `protoc` has to be installed.
use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 8] = ["archive", "cluster", "executor", "fit", "hs", "jobs", "models", "plan"];

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = FILES.iter().map(|name| format!("tidewaiter/v1/{name}.proto")).collect();
    let descriptors = protox::compile(&paths, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    // What a fit sends is passed on without a copy.
    tonic_prost_build::configure()
        .bytes(".tidewaiter.v1.Contribution.sum")
        .bytes(".tidewaiter.v1.ShardAnswer.answer")
        .bytes(".tidewaiter.v1.Instruct.payload")
        .bytes(".tidewaiter.v1.Assign.history")
        .bytes(".tidewaiter.v1.WorkerMessage.piece")
        .bytes(".tidewaiter.v1.LeaderMessage.piece")
        .bytes(".tidewaiter.v1.ShardValues.note")
        .bytes(".tidewaiter.v1.ShardValues.values")
        .bytes(".tidewaiter.v1.Values.values")
        .compile_fds(descriptors)?;
    for path in &paths {
        println!("cargo:rerun-if-changed={path}");
    }
    Ok(())
}
