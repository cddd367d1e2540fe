//! `chord completions` and `chord man`: what clap can say of the command line.

use std::io::Write;
use std::process::ExitCode;

use chord::console::streams::{complain, output};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::cli::command;

/// Prints the completions of a shell.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    generate(shell, &mut command(), "chord", &mut script);
    print(&script)
}

/// Prints the manual page, and those of all commands after it.
pub fn man() -> ExitCode {
    let mut command = command();
    command.build();
    let mut pages = Vec::new();
    let rendered = render(&command, &mut pages);
    match rendered {
        Ok(()) => print(&pages),
        Err(why) => {
            complain(format_args!("chord: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn render(command: &clap::Command, pages: &mut Vec<u8>) -> std::io::Result<()> {
    Man::new(command.clone()).render(pages)?;
    command.get_subcommands().try_for_each(|command| render(command, pages))
}

fn print(text: &[u8]) -> ExitCode {
    // An error means that the output is closed.
    let _ = output().write_all(text);
    ExitCode::SUCCESS
}
