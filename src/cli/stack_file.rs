use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use crate::model::{Draft, ImageRef, Kind, ServiceName};
use crate::stack::{self, Options, Source};

/// What is to be deployed.
#[derive(Debug, Args)]
pub(super) struct StackFile {
    /// The service; needed when the stack file has several with an `x-verdigris` block
    #[arg(value_parser = service)]
    service: Option<ServiceName>,

    /// The stack file; `-` reads standard input
    #[arg(short, long, value_name = "FILE", default_value = "stack.yml")]
    file: PathBuf,

    /// The image, instead of the one that the stack file names
    #[arg(long, value_name = "REF")]
    image: Option<ImageRef>,

    /// A variable for `${…}` in the stack file, over the environment and `.env`; can be repeated
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
}

/// Whoever names a file here means the stack file.
fn service(text: &str) -> Result<ServiceName, String> {
    text.parse().map_err(|error| match Path::new(text).is_file() {
        true => {
            format!("this is the name of the service; for the stack file write `--file {text}`")
        }
        false => format!("{error}"),
    })
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write `KEY=VALUE`".to_owned()),
    }
}

impl StackFile {
    /// The release that it asks for.
    pub(super) fn kind(self) -> Result<Kind, CliError> {
        Ok(Kind::Deploy { draft: self.draft()? })
    }

    fn draft(self) -> Result<Draft, CliError> {
        let mut options = Options::from_process();
        options.environment.extend(self.variables);
        options.service = self.service.map(String::from);
        options.image = self.image;
        Ok(stack::load_one(&Source::read(&self.file)?, &options)?)
    }
}
