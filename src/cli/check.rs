use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::clean::{clean, indented};
use super::context::Context;
use super::error::CliError;
use super::screen::Tone;
use super::stack_file::variable;
use crate::document::LoadError;
use crate::model::{Draft, ExitCode};
use crate::stack::{self, Options, Source};
use crate::{app, config, proxy};

/// Check stack files, configurations and templates; needs no daemon
///
/// A file is known by its ending: `.yml` and `.yaml` are stack files, `.toml` is a configuration
/// (whose templates are checked too), `.tera` is a template, rendered for an example of services. A file
/// that others include is checked with them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris check                                   # stack.yml and verdigris.toml, if they are here
  verdigris check stack.yml --var TAG=1.4.2
  verdigris check /etc/verdigris/verdigris.toml templates/nginx.conf.tera
  verdigris check --schema > x-verdigris.schema.json")]
pub(super) struct Check {
    /// The files; `stack.yml` and `verdigris.toml` where there are such, unless any is named
    files: Vec<PathBuf>,

    /// A variable for `${…}` in stack files, over the environment and `.env`; can be repeated
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,

    /// Print the JSON Schema of the `x-verdigris` block, for editors
    #[arg(long, conflicts_with_all = ["files", "variables"])]
    schema: bool,
}

/// What is looked for when nothing is named.
const USUAL: [&str; 2] = ["stack.yml", "verdigris.toml"];

/// What was found out about a file.
#[derive(Debug, Serialize)]
struct Verdict {
    file: PathBuf,
    /// What it holds, when it is good.
    holds: Option<String>,
    problems: Vec<String>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        if self.schema {
            let schema = serde_json::to_string_pretty(&stack::schema()).map_err(CliError::Json)?;
            context.screen.line(&schema)?;
            return Ok(ExitCode::Success);
        }
        let files = self.files()?;
        let variables: BTreeMap<String, String> = self.variables.into_iter().collect();
        let verdicts: Vec<Verdict> =
            files.into_iter().map(|file| judge(file, &variables)).collect();
        context.answer(&verdicts, |verdicts| describe(context, verdicts))?;
        match verdicts.iter().filter(|verdict| !verdict.problems.is_empty()).count() {
            0 => Ok(ExitCode::Success),
            wrong => Err(CliError::Wrong(wrong, verdicts.len())),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, CliError> {
        if !self.files.is_empty() {
            return Ok(self.files.clone());
        }
        let here: Vec<PathBuf> =
            USUAL.into_iter().map(PathBuf::from).filter(|path| path.exists()).collect();
        if here.is_empty() { Err(CliError::NothingToCheck) } else { Ok(here) }
    }
}

fn judge(file: PathBuf, variables: &BTreeMap<String, String>) -> Verdict {
    let result = match file.extension().and_then(|ending| ending.to_str()) {
        Some("yml" | "yaml") => judge_stack(&file, variables),
        Some("toml") => judge_configuration(&file),
        Some("tera") => judge_template(&file),
        _ => Err(vec![format!(
            "{}: neither a stack file (`.yml`), a configuration (`.toml`) nor a template (`.tera`)",
            file.display()
        )]),
    };
    match result {
        Ok(holds) => Verdict { file, holds: Some(holds), problems: Vec::new() },
        Err(problems) => Verdict { file, holds: None, problems },
    }
}

fn judge_stack(file: &Path, variables: &BTreeMap<String, String>) -> Result<String, Vec<String>> {
    let mut options = Options::from_process();
    options.environment.extend(variables.clone());
    let drafts = Source::read(file).and_then(|source| stack::load(&source, &options));
    let drafts: Vec<Draft> = drafts.map_err(|error| problems(&error))?;
    let names: Vec<&str> = drafts.iter().map(|draft| draft.service.as_str()).collect();
    Ok(names.join(", "))
}

fn judge_configuration(file: &Path) -> Result<String, Vec<String>> {
    let config = config::load(file).map_err(|error| problems(&error))?;
    let faults = app::check_templates(&config);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(match config.proxies.len() {
        1 => "configuration with 1 proxy".to_owned(),
        count => format!("configuration with {count} proxies"),
    })
}

fn judge_template(file: &Path) -> Result<String, Vec<String>> {
    proxy::check_template(file).map(|()| "template".to_owned())
}

fn problems(error: &LoadError) -> Vec<String> {
    match error {
        LoadError::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
        LoadError::Read { source, .. } => vec![format!("{error}: {source}")],
    }
}

fn describe(context: &Context, verdicts: &[Verdict]) -> String {
    let screen = context.screen;
    let mut lines = Vec::new();
    for verdict in verdicts {
        if let Some(holds) = &verdict.holds {
            let good = screen.paint(Tone::Good, "good");
            lines.push(format!("{good}: {}: {}", verdict.file.display(), clean(holds)));
        }
        for problem in &verdict.problems {
            lines.push(format!("{}: {}", screen.paint(Tone::Bad, "wrong"), indented(problem, 2)));
        }
    }
    lines.join("\n")
}
