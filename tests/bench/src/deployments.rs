//! Whole deployments, their switches and rollbacks, against the floor of the same round.

use anyhow::Result;

use crate::bed::Bed;
use crate::daemon::{self, Daemon, Stack};
use crate::floor::{self, Floor};
use crate::table::{Row, median};

/// What was measured on one registry.
#[derive(Default)]
struct Figures {
    whole: Vec<f64>,
    whole_floor: Vec<f64>,
    switch: Vec<f64>,
    switch_floor: Vec<f64>,
    rollback: Vec<f64>,
    nginx_reloads: Vec<f64>,
    haproxy_reloads: Vec<f64>,
}

/// `rounds` deployments and floors in turn, and as many rollbacks.
pub async fn rows(bed: &Bed, registry: &str, rounds: usize) -> Result<Vec<Row>> {
    let home = bed.home(&format!("deployments-{registry}"))?;
    let daemon = Daemon::start(bed, registry, &home).await?;
    let mut figures = Figures::default();
    deploy(bed, &daemon, rounds, &mut figures).await?;
    roll_back(bed, &daemon, rounds, &mut figures).await?;
    daemon.stop().await?;
    Ok(figures.rows(registry))
}

async fn deploy(bed: &Bed, daemon: &Daemon, rounds: usize, figures: &mut Figures) -> Result<()> {
    let floor = Floor::new(bed)?;
    let mut old: Option<String> = None;
    // The first round fetches images and writes the first configuration: it is not counted.
    for round in 0..=rounds {
        let tag = if round % 2 == 0 { "1.0" } else { "2.0" };
        let before = (daemon.reloads("nginx").await?, daemon.reloads("haproxy").await?);
        let stack = Stack { tag, containers: true, ..Stack::default() };
        let view = daemon.deploy(bed, &stack).await?;
        daemon::committed(&view)?;
        let after = (daemon.reloads("nginx").await?, daemon.reloads("haproxy").await?);
        let new = format!("bench-floor-{}", round % 2);
        let bare = floor.deployment(tag, &new, old.as_deref()).await?;
        old = Some(new);
        if round == 0 {
            continue;
        }
        figures.whole.push(daemon::whole(&view)?);
        figures.whole_floor.push(bare);
        figures.switch.push(daemon::switch(&view)?);
        figures.switch_floor.push(floor::switch(bed, &daemon.home).await?);
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let count = |before: u64, after: u64| (after - before) as f64;
        figures.nginx_reloads.push(count(before.0, after.0));
        figures.haproxy_reloads.push(count(before.1, after.1));
    }
    match old {
        Some(old) => floor.remove(&old).await,
        None => Ok(()),
    }
}

async fn roll_back(bed: &Bed, daemon: &Daemon, rounds: usize, figures: &mut Figures) -> Result<()> {
    for tag in ["1.0", "2.0"] {
        let stack = Stack { tag, keep: true, ..Stack::default() };
        daemon::committed(&daemon.deploy(bed, &stack).await?)?;
    }
    for _ in 0..rounds {
        // Nobody rolls back within a moment of a switch.
        daemon.until_files_follow().await?;
        let view = daemon.roll_back().await?;
        daemon::committed(&view)?;
        figures.rollback.push(daemon::until_switched(&view)?);
        // A rollback's switch is a switch like any other.
        figures.switch.push(daemon::switch(&view)?);
        figures.switch_floor.push(floor::switch(bed, &daemon.home).await?);
    }
    Ok(())
}

impl Figures {
    fn rows(self, registry: &str) -> Vec<Row> {
        let (whole, whole_floor) = (median(self.whole), median(self.whole_floor));
        let (switch, floor) = (median(self.switch), median(self.switch_floor));
        let rollback = median(self.rollback);
        let on = |what: &str| format!("{what}, {registry}");
        let most = if registry == "consul" { 50.0 } else { 25.0 };
        vec![
            Row::at_most(on("whole deployment ÷ floor"), 1.15, whole / whole_floor, "")
                .remark(format!("{whole:.0} ms, floor {whole_floor:.0} ms")),
            Row::at_most(on("switch, order to every proof"), most, switch, " ms"),
            Row::at_most(on("switch ÷ floor"), 2.0, switch / floor, "")
                .remark(format!("floor {floor:.1} ms")),
            Row::at_most(on("reloads per deployment, nginx"), 1.0, median(self.nginx_reloads), ""),
            Row::at_most(
                on("reloads per deployment, HAProxy"),
                0.0,
                median(self.haproxy_reloads),
                "",
            ),
            Row::at_most(on("rollback to a running colour ÷ switch"), 2.0, rollback / switch, "")
                .remark(format!("{rollback:.1} ms")),
        ]
    }
}
