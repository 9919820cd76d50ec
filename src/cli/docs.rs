//! `gristmill completions` and `gristmill man`: written from the definition of the arguments.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::error::{Code, Report};

use super::args::Arguments;
use super::output::Output;

pub(super) fn completions(shell: Shell, output: &mut Output) -> Result<(), Report> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "gristmill", &mut script);
    output.text(&String::from_utf8_lossy(&script))
}

pub(super) fn man(folder: Option<&Path>, output: &mut Output) -> Result<(), Report> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        let rendered = Man::new(Arguments::command()).render(&mut page);
        rendered.map_err(|error| unwritten("the man page", error))?;
        return output.text(&String::from_utf8_lossy(&page));
    };
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    written.map_err(|error| unwritten(&folder.display().to_string(), error))
}

fn unwritten(what: &str, error: std::io::Error) -> Report {
    Report::new(Code::FileUnwritable, format!("{what} cannot be written")).because(error)
}
