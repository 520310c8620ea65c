use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::Args;

use super::context::{Context, Output};
use super::error::CliError;
use super::follow::Follow;
use super::junit::Report;
use super::signals::{Interrupt, Signals};
use super::story::Story;
use super::waiting::Limits;
use super::who::Who;
use crate::client::Client;
use crate::deploy::control::Submitted;
use crate::model::{ExitCode, Kind, OnBusy, OnDisconnect, Policy, Request};

/// How a deployment is asked for and waited for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Submission {
    /// Position in the order of commits: a lower one than the last accepted is refused (exit 31), a
    /// higher one supersedes what is under way with a sequence; about the rest `--on-busy` decides
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,

    /// When another deployment of the service is under way
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_busy: OnBusy,

    /// The same as `--on-busy wait`
    #[arg(long, conflicts_with_all = ["on_busy", "supersede"])]
    wait: bool,

    /// The same as `--on-busy supersede`
    #[arg(long, conflicts_with = "on_busy")]
    supersede: bool,

    /// When this command vanishes before the end
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_disconnect: OnDisconnect,

    /// Revert when not committed after this long, as `90s` or `15m`, instead of what the stack file says;
    /// waiting for approval does not count
    #[arg(long, value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,

    /// Deploy although that very release is live already
    #[arg(long)]
    force: bool,

    /// Do not wait: print the deployment's id and leave
    #[arg(long, conflicts_with = "on_disconnect")]
    detach: bool,

    /// Write a JUnit report, one suite a phase, whatever happens
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    #[command(flatten)]
    who: Who,
}

impl Submission {
    /// The request for `kind`.
    pub(super) fn request(&self, kind: Kind) -> Request {
        Request {
            kind,
            sequence: self.sequence,
            on_busy: match (self.wait, self.supersede) {
                (true, _) => OnBusy::Wait,
                (_, true) => OnBusy::Supersede,
                _ => self.on_busy,
            },
            on_disconnect: self.on_disconnect,
            deadline: self.deadline,
            force: self.force,
            by: self.who.name(),
        }
    }

    /// Ask for what `kind` finds to be asked for, wait for its end, and report.
    pub(super) async fn carry_out(
        &self,
        context: &Context,
        kind: impl FnOnce() -> Result<Kind, CliError>,
    ) -> Result<ExitCode, CliError> {
        let report = self.junit.as_deref().map(Report::prepare).transpose()?;
        let mut story = Story::default();
        let result = self.attempt(context, kind, &mut story).await;
        if let Some(report) = report
            && let Err(error) = report.write(&story, result.as_ref().err())
        {
            // The deployment's end is what the exit code tells.
            context.screen.complain(&error);
        }
        result
    }

    async fn attempt(
        &self,
        context: &Context,
        kind: impl FnOnce() -> Result<Kind, CliError>,
        story: &mut Story,
    ) -> Result<ExitCode, CliError> {
        let request = self.request(kind()?);
        let client = context.client()?;
        let mut signals = Signals::listen()?;
        let (submitted, interrupt) = submit(&client, &request, &mut signals).await?;
        if self.detach {
            announce(context, submitted)?;
            return Ok(ExitCode::Success);
        }
        let follow = Follow {
            context,
            client: &client,
            id: submitted.deployment,
            service: request.service(),
            by: &request.by,
            hold: request.on_disconnect == OnDisconnect::Revert && !submitted.attached,
            limits: match interrupt {
                None => limits(&client, submitted, &request).await,
                Some(_) => Limits::default(),
            },
            interrupt,
        };
        follow.to_the_end(&mut signals, story).await
    }
}

/// After a signal the daemon has this long to say whether it took the request: until then there is
/// nothing to abort and no id to name.
const VERDICT: Duration = Duration::from_millis(1500);

/// A daemon that has just answered tells at once how long the deployment may take.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Ask; a signal that came meanwhile is handed on.
async fn submit(
    client: &Client,
    request: &Request,
    signals: &mut Signals,
) -> Result<(Submitted, Option<Interrupt>), CliError> {
    let mut asked = pin!(client.submit(request));
    let interrupt = tokio::select! {
        submitted = &mut asked => return Ok((submitted?, None)),
        interrupt = signals.next() => interrupt,
    };
    match tokio::time::timeout(VERDICT, asked).await {
        Ok(submitted) => Ok((submitted?, Some(interrupt))),
        Err(_) => {
            Err(CliError::Undecided { signal: interrupt.name, service: request.service().clone() })
        }
    }
}

fn announce(context: &Context, submitted: Submitted) -> Result<(), CliError> {
    match context.output {
        Output::Text => context.screen.line(&submitted.deployment.to_string()),
        Output::Json => context.answer(&submitted, |_| String::new()),
    }
}

/// What is needed to say how long something may take; without it, less is said. Neither a signal nor the
/// hold on the deployment can wait for it.
async fn limits(client: &Client, submitted: Submitted, request: &Request) -> Limits {
    let asked = tokio::time::timeout(AT_ONCE, client.deployment(submitted.deployment)).await;
    let view = asked.ok().and_then(Result::ok);
    Limits { deadline: view.map(|view| view.deadline), policy: policy(request).cloned() }
}

fn policy(request: &Request) -> Option<&Policy> {
    match &request.kind {
        Kind::Deploy { draft } => Some(&draft.policy),
        Kind::Rollback { .. } => None,
    }
}
