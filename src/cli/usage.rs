//! Arguments that cannot be read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process;

use super::error::CliError;
use super::junit::Report;
use super::screen::Screen;
use super::story::Story;

/// Say what clap has against the arguments, or the help that was asked for. A report that was asked for is
/// written all the same: an older one in its place would tell of another deployment.
pub(super) fn refuse(error: &clap::Error) -> process::ExitCode {
    // Nobody can be told when that fails.
    let _ = error.print();
    if error.use_stderr()
        && let Some(path) = report_of(std::env::args_os())
        && let Err(unwritten) = written(&path, error)
    {
        Screen::detect().complain(&unwritten);
    }
    process::ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

fn written(path: &Path, error: &clap::Error) -> Result<(), CliError> {
    let error = CliError::Usage(error.render().to_string());
    Report::prepare(path)?.write(&Story::default(), Some(&error))
}

/// The file after `--junit`, as far as that can be told.
fn report_of(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut arguments =
        arguments.skip_while(|argument| !(argument == "deploy" || argument == "rollback"));
    while let Some(argument) = arguments.next() {
        if argument == "--junit" {
            let path = arguments.next()?;
            let is_flag = path.to_str().is_some_and(|path| path.starts_with('-'));
            return (!path.is_empty() && !is_flag).then(|| path.into());
        }
        let path = argument.to_str().and_then(|argument| argument.strip_prefix("--junit="));
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            return Some(path.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<PathBuf> {
        report_of(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_report_is_found_among_arguments_that_make_no_sense() {
        let expected = Some(PathBuf::from("r.xml"));
        assert_eq!(found("verdigris deploy -f s.yml --sequence x --junit r.xml"), expected);
        assert_eq!(found("verdigris --no-such rollback a --junit=r.xml"), expected);
        assert_eq!(found("verdigris plan --junit r.xml"), None);
        assert_eq!(found("verdigris deploy --junit"), None);
        assert_eq!(found("verdigris deploy --junit --force"), None);
        assert_eq!(found("verdigris deploy --junit="), None);
    }
}
