//! Which schema a store has, and which it needs.

use refinery::Runner;

use super::OpenError;

mod embedded {
    #![allow(missing_docs, clippy::unwrap_used)]
    pub(super) mod sqlite {
        refinery::embed_migrations!("schema/sqlite");
    }
    pub(super) mod mysql {
        refinery::embed_migrations!("schema/mysql");
    }
}

/// What is asked of a store that has (or has no) history of migrations.
pub(super) const APPLIED_QUERY: &str = "SELECT MAX(version) FROM refinery_schema_history";

/// One step of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number; steps are taken in order.
    pub version: i32,
    /// What it is about.
    pub name: String,
}

pub(super) fn sqlite() -> Runner {
    embedded::sqlite::migrations::runner()
}

pub(super) fn mysql() -> Runner {
    embedded::mysql::migrations::runner()
}

/// All steps, in order.
pub(super) fn steps(runner: &Runner) -> Vec<Step> {
    let mut steps: Vec<_> = runner
        .get_migrations()
        .iter()
        .map(|migration| Step {
            version: migration.version(),
            name: migration.name().to_owned(),
        })
        .collect();
    steps.sort_by_key(|step| step.version);
    steps
}

/// The steps that a store at version `applied` still needs; an error where it is ahead of us.
pub(super) fn pending(runner: &Runner, applied: Option<i32>) -> Result<Vec<Step>, OpenError> {
    let steps = steps(runner);
    let known = steps.last().map_or(0, |step| step.version);
    match applied {
        Some(found) if found > known => Err(OpenError::SchemaTooNew { found, known }),
        Some(found) => Ok(steps
            .into_iter()
            .filter(|step| step.version > found)
            .collect()),
        None => Ok(steps),
    }
}
