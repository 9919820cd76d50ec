//! `gristmill explain`: what an error means, from the one table of them.

use serde_json::json;

use crate::error::{Code, Report};

use super::args::Explain;
use super::output::Output;

/// What stands above the document of all errors.
const HEADING: &str = "# Errors\n\nWritten by `gristmill explain --markdown`. The exit code is that of a \
command that fails with it.\n\n| code | exit | what | meaning | what to do |\n|---|---|---|---|---|\n";

pub(super) fn run(arguments: &Explain, output: &mut Output) -> Result<(), Report> {
    if let Some(text) = &arguments.code {
        let code: Code = text.parse().map_err(|error| {
            let report = Report::new(Code::UnknownCode, format!("{text:?}")).because(error);
            report.hint("`gristmill explain` lists them")
        })?;
        return explain(code, arguments.json, output);
    }
    if arguments.markdown {
        return output.text(&document());
    }
    for code in Code::ALL {
        if arguments.json {
            explain(*code, true, output)?;
        } else {
            output.line(format_args!("{code}  {}", code.title()))?;
        }
    }
    Ok(())
}

fn explain(code: Code, json: bool, output: &mut Output) -> Result<(), Report> {
    let (exit, title) = (code.kind().code(), code.title());
    let (meaning, remedy) = (code.meaning(), code.remedy());
    if json {
        return output.json(&json!({
            "code": code.to_string(), "exit_code": exit, "title": title, "meaning": meaning,
            "remedy": remedy,
        }));
    }
    output.line(format_args!(
        "{code}: {title}\n\n{meaning}\n{remedy}\nexit code {exit}"
    ))
}

fn document() -> String {
    let rows = Code::ALL.iter().map(|code| {
        let (title, meaning, remedy) = (code.title(), code.meaning(), code.remedy());
        let exit = code.kind().code();
        format!("| {code} | {exit} | {title} | {meaning} | {remedy} |\n")
    });
    HEADING.to_owned() + &rows.collect::<String>()
}
