use clap::Args;

use super::clean::indented;
use super::context::Context;
use super::display::short;
use super::error::CliError;
use super::history::{moment, outcome};
use super::screen::Tone;
use super::table::Rows;
use crate::client::Client;
use crate::model::{Colour, ExitCode, Route, ServiceName, ServiceStatus, Standing, Status};

/// Show services and proxies as they stand
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris status
  verdigris status books-ms --output json | jq '.services[0].live'")]
pub(super) struct StatusOf {
    /// This service only
    service: Option<ServiceName>,
}

impl StatusOf {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let status = client.status(self.service.as_ref()).await?;
        let sees_all = !status.services.is_empty() || sees_all(&client).await;
        context.answer(&status, |status| describe(context, status, sees_all))?;
        Ok(ExitCode::Success)
    }
}

/// Whether this client sees all services; one whose token is for some must not take what it does not see for
/// what there is not.
pub(super) async fn sees_all(client: &Client) -> bool {
    client.caller().await.map_or(true, |granted| granted.services.is_empty())
}

fn describe(context: &Context, status: &Status, sees_all: bool) -> String {
    let mut parts = vec![services(context, status, sees_all)];
    if !status.proxies.is_empty() {
        parts.push(proxies(context, status));
    }
    let problems = problems(status);
    if !problems.is_empty() {
        let lines = problems.iter().map(|line| {
            format!("{}: {}", context.screen.paint(Tone::Warning, "problem"), indented(line, 2))
        });
        parts.push(lines.collect::<Vec<_>>().join("\n"));
    }
    if status.registry.is_some() {
        let note = context.screen.paint(Tone::Warning, "note");
        parts.push(format!(
            "{note}: while the registry is away, what is live is what every proxy leads to"
        ));
    }
    let mended = mended(status);
    if !mended.is_empty() {
        let lines = mended.iter().map(|line| {
            format!("{}: {}", context.screen.paint(Tone::Faint, "mended"), indented(line, 2))
        });
        parts.push(lines.collect::<Vec<_>>().join("\n"));
    }
    parts.join("\n\n")
}

fn services(context: &Context, status: &Status, sees_all: bool) -> String {
    if status.services.is_empty() {
        let words = match status.registry {
            None if sees_all => "nothing is deployed yet",
            None => "nothing that this token may see is deployed",
            Some(_) => "no service is known while the registry is away",
        };
        return words.to_owned();
    }
    let header = ["SERVICE", "LIVE", "RELEASE", "INSTANCES", "ROUTE", "DEPLOYMENT"];
    let mut rows = Rows::new(context, &header);
    for service in &status.services {
        let live = service.live.map_or(("none".to_owned(), Tone::Warning), |colour| {
            (colour.to_string(), colour.into())
        });
        rows.row([
            (service.service.to_string(), Tone::Strong),
            live,
            (release(service), Tone::Plain),
            instances(service, status.registry.is_none()),
            (service.route.as_ref().map_or_else(String::new, route), Tone::Faint),
            deployment(service),
        ]);
    }
    rows.text()
}

fn release(service: &ServiceStatus) -> String {
    let live = service.live.and_then(|colour| service.releases.get(&colour));
    live.map(ToString::to_string).unwrap_or_default()
}

/// The instances, where they are known; a colour that is kept without any is named.
fn instances(service: &ServiceStatus, known: bool) -> (String, Tone) {
    if !known {
        return ("unknown".to_owned(), Tone::Warning);
    }
    let count =
        |standing| service.instances.iter().filter(|entry| entry.standing == standing).count();
    let (live, idle) = (count(Standing::Live), count(Standing::Idle));
    let tone = if live == 0 && service.live.is_some() { Tone::Bad } else { Tone::Plain };
    let mut words = vec![format!("{live} live")];
    words.extend((idle > 0).then(|| format!("{idle} idle")));
    words.extend(without_instances(service).map(|colour| format!("{colour} at 0")));
    (words.join(", "), tone)
}

/// The colour that is kept at scale 0.
fn without_instances(service: &ServiceStatus) -> Option<Colour> {
    let runs = |colour| service.instances.iter().any(|entry| entry.colour == colour);
    let mut kept = service.releases.keys().copied();
    kept.find(|colour| service.live != Some(*colour) && !runs(*colour))
}

fn route(route: &Route) -> String {
    let Some(rule) = &route.rule else { return String::new() };
    let path = if rule.path == "/" { "" } else { &rule.path };
    rule.hosts.iter().map(|host| format!("{host}{path}")).collect::<Vec<_>>().join(", ")
}

fn deployment(service: &ServiceStatus) -> (String, Tone) {
    match &service.deployment {
        None => (String::new(), Tone::Plain),
        Some(view) => {
            let (word, tone) = outcome(view);
            (format!("{} {word}", short(view.id)), tone)
        }
    }
}

fn proxies(context: &Context, status: &Status) -> String {
    let mut rows = Rows::new(context, &["PROXY", "KIND", "STATE", "RELOADS"]);
    for proxy in &status.proxies {
        let state = match (proxy.in_sync, &proxy.problem) {
            (true, None) => ("in sync", Tone::Good),
            (true, Some(_)) => ("in sync, with a problem", Tone::Warning),
            (false, _) => ("not in sync", Tone::Bad),
        };
        rows.row([
            (proxy.name.clone(), Tone::Strong),
            (proxy.kind.clone(), Tone::Plain),
            (state.0.to_owned(), state.1),
            (proxy.reloads.to_string(), Tone::Faint),
        ]);
    }
    rows.text()
}

fn problems(status: &Status) -> Vec<String> {
    let proxies = status.proxies.iter().filter_map(|proxy| {
        proxy.problem.as_ref().map(|problem| format!("proxy {}: {problem}", proxy.name))
    });
    let drift = status.services.iter().flat_map(|service| {
        service.drift.iter().map(|line| format!("service {}: {line}", service.service))
    });
    status.problems.iter().cloned().chain(proxies).chain(drift).collect()
}

/// What was found within the last hour and is well again.
fn mended(status: &Status) -> Vec<String> {
    let of = |service: &ServiceStatus| {
        let name = service.service.clone();
        let mended = service.mended.clone().into_iter();
        mended
            .map(move |mended| format!("service {name}, at {}: {}", moment(mended.at), mended.what))
    };
    status.services.iter().flat_map(of).collect()
}
