//! The arguments of `chord play`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Accepted;
use super::values::http;

/// Shows a recording in a browser: of a simulation, of the model checker, or a lesson
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Play {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where to show it: an address of this machine (127.0.0.1 unless one is given) and a port, 0 for any that is free
    #[arg(long, value_name = "[IP:]PORT", value_parser = http, default_value = "9080")]
    pub http: SocketAddr,
}

const AFTER_HELP: &str = "\
Prints the address of the page, and shows it until Ctrl-C. docs/lessons has recordings to begin with; chord sim ring and
chord sim chaos make others with --record. docs/recording.md describes their form.
Exit status: 0 ended as asked, 1 the file is no recording or can't be shown, 2 bad arguments.";

/// The values that its arguments accept, as the error for any other value says.
pub const ACCEPTED: Accepted = &[("<FILE>", "the path of a recording"), ("--http", super::serve::HTTP)];
