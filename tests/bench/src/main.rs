//! `verdigris-bench`: measures every figure that is promised, and prints the table. It is run by
//! `scripts/bench`, which builds and brings up the testbed that this needs.

mod bed;
mod daemon;
mod deployments;
mod faults;
mod flips;
mod floor;
mod footprint;
mod losses;
mod many;
mod rendering;
mod table;
mod templates;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tracing_subscriber::prelude::*;
use verdigris::proxy::Kind;

use bed::Bed;
use flips::Acts;
use table::Row;

/// Measures Verdigris on the testbed that the environment names.
#[derive(Parser)]
struct Cli {
    /// The repository
    #[arg(long)]
    root: PathBuf,
    /// Fewer rounds
    #[arg(long)]
    quick: bool,
    /// Flips are measured with so many services configured
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
    services: Vec<usize>,
    /// These parts only
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Deployments,
    Flips,
    Losses,
    Faults,
    Templates,
    Rendering,
    Footprint,
}

impl Part {
    /// Whether it is measured on the testbed.
    fn needs_bed(self) -> bool {
        self != Self::Rendering
    }
}

/// How often things are done.
struct Rounds {
    deployments: usize,
    flips: usize,
    switches: usize,
    reverts: usize,
    faults: usize,
    templates: usize,
    renders: usize,
    watched: Duration,
    services: Vec<usize>,
}

impl Rounds {
    fn new(cli: &Cli) -> Self {
        let services = cli.services.clone();
        match cli.quick {
            true => Self {
                deployments: 2,
                flips: 6,
                switches: 10,
                reverts: 2,
                faults: 2,
                templates: 2,
                renders: 5,
                watched: Duration::from_secs(10),
                services,
            },
            false => Self {
                deployments: 7,
                flips: 30,
                switches: 50,
                reverts: 10,
                faults: 5,
                templates: 7,
                renders: 30,
                watched: Duration::from_secs(30),
                services,
            },
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(rows) => {
            print!("\n{}", table::show(&rows));
            if rows.iter().any(Row::is_missing) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("verdigris-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<Vec<Row>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let acts = Acts::default();
    tracing_subscriber::registry().with(acts.clone()).init();
    let rounds = Rounds::new(cli);
    let wanted = |part: &&Part| cli.only.is_empty() || cli.only.contains(part);
    let parts: Vec<Part> = Part::value_variants().iter().filter(wanted).copied().collect();
    let bed = match parts.iter().any(|part| part.needs_bed()) {
        true => Some(Bed::from_environment(cli.root.clone())?),
        false => None,
    };
    let mut rows = Vec::new();
    for part in parts {
        let begun = Instant::now();
        match &bed {
            Some(bed) if part.needs_bed() => {
                bed.reset().await?;
                measure(part, bed, &acts, &rounds, &mut rows).await;
            }
            _ => render(&rounds, &mut rows).await,
        }
        let name = part.to_possible_value().map(|value| value.get_name().to_owned());
        eprintln!("{}: {:.0} s", name.unwrap_or_default(), begun.elapsed().as_secs_f64());
    }
    Ok(rows)
}

const REGISTRIES: [&str; 2] = ["embedded", "consul"];

const BOTH: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];

async fn render(rounds: &Rounds, rows: &mut Vec<Row>) {
    for kind in BOTH {
        match rendering::rows(kind, rounds.renders).await {
            Ok(measured) => rows.extend(measured),
            Err(error) => rows.push(Row::failed(format!("render, {kind}"), &error)),
        }
    }
}

/// A part that fails is a row of its own; the others are measured all the same.
async fn measure(part: Part, bed: &Bed, acts: &Acts, rounds: &Rounds, rows: &mut Vec<Row>) {
    let mut add = |what: &str, measured: Result<Vec<Row>>| match measured {
        Ok(measured) => rows.extend(measured),
        Err(error) => rows.push(Row::failed(what, &error)),
    };
    match part {
        Part::Deployments => {
            for registry in REGISTRIES {
                let measured = deployments::rows(bed, registry, rounds.deployments).await;
                add(&format!("deployments, {registry}"), measured);
                if let Err(error) = bed.reset().await {
                    add("reset", Err(error));
                }
            }
        }
        Part::Flips => {
            for kind in BOTH {
                let measured = flips::rows(bed, acts, kind, &rounds.services, rounds.flips).await;
                add(&format!("flip, {kind}"), measured);
            }
        }
        Part::Losses => {
            add("requests lost", losses::rows(bed, rounds.switches, rounds.reverts).await);
        }
        Part::Faults => {
            for registry in REGISTRIES {
                let measured = faults::rows(bed, registry, rounds.faults).await;
                add(&format!("faults, {registry}"), measured);
            }
        }
        Part::Templates => {
            add("template saved to live", templates::rows(bed, rounds.templates).await);
        }
        // It needs nothing of the testbed.
        Part::Rendering => {}
        Part::Footprint => add("footprint", footprint::rows(bed, rounds.watched).await),
    }
}
