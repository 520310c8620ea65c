//! A template saved, to live in the proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use verdigris::proxy::Kind;

use crate::bed::{Bed, HOST};
use crate::daemon::{self, Daemon, Stack};
use crate::table::{Row, median};

/// People do not save faster; so no reload waits for the pace of the one before.
const BETWEEN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// Save each proxy's template `rounds` times.
pub async fn rows(bed: &Bed, rounds: usize) -> Result<Vec<Row>> {
    let home = bed.home("templates")?;
    let daemon = Daemon::start(bed, "embedded", &home).await?;
    daemon::committed(&daemon.deploy(bed, &Stack { tag: "1.0", ..Stack::default() }).await?)?;
    let mut rows = Vec::new();
    for (kind, file, place, line) in [
        (
            Kind::Nginx,
            "nginx.conf.tera",
            "    proxy_hide_header X-Verdigris-Colour;\n",
            "    add_header X-Bench VALUE always;\n",
        ),
        (
            Kind::Haproxy,
            "haproxy.cfg.tera",
            "frontend verdigris-public\n",
            "    http-response set-header X-Bench VALUE\n",
        ),
    ] {
        let path = home.join(file);
        let original = std::fs::read_to_string(&path)?;
        ensure!(original.contains(place), "the template has no line `{}`", place.trim());
        let mut took = Vec::new();
        for round in 0..rounds {
            tokio::time::sleep(BETWEEN).await;
            let value = format!("round-{round}");
            let text =
                original.replace(place, &format!("{place}{}", line.replace("VALUE", &value)));
            let begun = Instant::now();
            std::fs::write(&path, text)?;
            await_live(bed, kind, &value, begun).await?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        rows.push(Row::at_most(
            format!("template saved to live, {kind}"),
            300.0,
            median(took),
            " ms",
        ));
    }
    daemon.stop().await?;
    Ok(rows)
}

async fn await_live(bed: &Bed, kind: Kind, value: &str, begun: Instant) -> Result<()> {
    let public = bed.public(SocketAddr::new(bed.address(kind), 80))?;
    loop {
        let answer = public.get(format!("http://{HOST}/api/v1/books")).send().await?;
        if answer.headers().get("x-bench").is_some_and(|told| told == value) {
            return Ok(());
        }
        ensure!(begun.elapsed() < LONGEST, "the saved template of {kind} is not live");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
