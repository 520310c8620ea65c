//! Requests lost over many switches and reverts, under load from every kind of client.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use verdigris::model::Outcome;
use verdigris::proxy::Kind as Proxy;
use verdigris_load::{Config, Group, Kind, Load, Report, Target};

use crate::bed::{Bed, HOST};
use crate::daemon::{self, Daemon, Stack};
use crate::table::Row;

/// Of these switches one in ten is a whole deployment with new instances; the others move the public
/// between two colours that run.
const DEPLOYMENT_EVERY: usize = 10;

/// Switch `switches` times and revert `reverts` times after the public was moved.
pub async fn rows(bed: &Bed, switches: usize, reverts: usize) -> Result<Vec<Row>> {
    let home = bed.home("losses")?;
    let daemon = Daemon::start(bed, "embedded", &home).await?;
    for tag in ["1.0", "2.0"] {
        daemon::committed(
            &daemon.deploy(bed, &Stack { tag, keep: true, ..Stack::default() }).await?,
        )?;
    }
    let everybody = begin(bed, &[Proxy::Nginx, Proxy::Haproxy], EVERYBODY)?;
    let haproxy = begin(bed, &[Proxy::Haproxy], STRICT)?;
    let nginx = begin(bed, &[Proxy::Nginx], STRICT)?;
    let done = act(bed, &daemon, switches, reverts).await;
    let (everybody, haproxy, nginx) =
        tokio::join!(everybody.finish(), haproxy.finish(), nginx.finish());
    done?;
    daemon.stop().await?;
    let what = format!("requests lost over {switches} switches and {reverts} reverts");
    let sent = everybody.total.sent + haproxy.total.sent;
    let row = Row::at_most(what, 0.0, count(lost(&[&everybody, &haproxy])), "");
    let strict = "the same, strict keep-alive clients of nginx";
    let apart = Row::untold(strict, "counted", count(nginx.total.lost))
        .remark(format!("of {} sent", nginx.total.sent));
    Ok(vec![row.remark(format!("of {sent} sent; {}", reasons(&[&everybody, &haproxy]))), apart])
}

async fn act(bed: &Bed, daemon: &Daemon, switches: usize, reverts: usize) -> Result<()> {
    for number in 0..switches {
        let view = match number % DEPLOYMENT_EVERY {
            0 => {
                let tag = if (number / DEPLOYMENT_EVERY).is_multiple_of(2) { "3.0" } else { "2.0" };
                daemon.deploy(bed, &Stack { tag, keep: true, ..Stack::default() }).await?
            }
            _ => daemon.roll_back().await?,
        };
        daemon::committed(&view)?;
    }
    for _ in 0..reverts {
        let stack = Stack { tag: "1.0", keep: true, fails: true, ..Stack::default() };
        let view = daemon.deploy(bed, &stack).await?;
        let reverted = matches!(view.outcome, Some(Outcome::Reverted { .. }));
        ensure!(reverted, "a broken deployment was not reverted: {:?}", view.outcome);
    }
    Ok(())
}

const EVERYBODY: &[Group] = &[
    Group { kind: Kind::New, clients: 20, rate: 60.0 },
    Group { kind: Kind::Standard, clients: 30, rate: 100.0 },
    Group { kind: Kind::Slow, clients: 4, rate: 1.0 },
    Group { kind: Kind::Stream, clients: 2, rate: 1.0 },
    Group { kind: Kind::Ws, clients: 4, rate: 8.0 },
];
const STRICT: &[Group] = &[Group { kind: Kind::Strict, clients: 20, rate: 60.0 }];

fn begin(bed: &Bed, proxies: &[Proxy], groups: &[Group]) -> Result<Load> {
    let ca = std::fs::read_to_string(&bed.ca)?;
    let mut targets = Vec::new();
    for proxy in proxies {
        for (port, ca) in [(80, None), (443, Some(ca.clone()))] {
            targets.push(Target {
                name: format!("{proxy}:{port}"),
                address: SocketAddr::new(bed.address(*proxy), port),
                host: HOST.to_owned(),
                path: "/api/v1/books".to_owned(),
                ca,
            });
        }
    }
    let delay = Duration::from_millis(800);
    let length = Duration::from_secs(2);
    Ok(Load::start(Config {
        targets,
        groups: groups.to_vec(),
        delay,
        length,
        ..Config::default()
    })?)
}

/// GET requests of every kind of client but those whose answers cannot be asked for twice.
pub fn gets(bed: &Bed) -> Result<Load> {
    begin(bed, &[Proxy::Nginx, Proxy::Haproxy], GETS)
}

/// What was lost of a load.
pub fn row(what: String, report: &Report) -> Row {
    let remark = format!("of {} sent; {}", report.total.sent, reasons(&[report]));
    Row::at_most(what, 0.0, count(report.total.lost), "").remark(remark)
}

const GETS: &[Group] = &[
    Group { kind: Kind::New, clients: 20, rate: 60.0 },
    Group { kind: Kind::Standard, clients: 30, rate: 100.0 },
];

fn lost(reports: &[&Report]) -> u64 {
    reports.iter().map(|report| report.total.lost).sum()
}

fn reasons(reports: &[&Report]) -> String {
    let losses = reports.iter().flat_map(|report| &report.losses).take(3);
    let words: Vec<String> =
        losses.map(|l| format!("{} via {}: {}", l.kind, l.target, l.loss)).collect();
    if words.is_empty() { "all answered".to_owned() } else { words.join("; ") }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
