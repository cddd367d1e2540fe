//! Compiles the files of `proto` with protox, so that no `protoc` is needed.

const FILES: [&str; 2] = ["proto/chord.proto", "proto/report.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let files = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
