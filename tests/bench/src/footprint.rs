//! Memory and processor time of the daemon while nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use verdigris::model::Colour;
use verdigris::proxy::{Fleet, Kind};
use verdigris::registry::embedded::Embedded;

use crate::bed::Bed;
use crate::daemon::Daemon;
use crate::many::{self, Answering};
use crate::table::Row;

/// After its start the daemon is left alone for this long.
const SETTLE: Duration = Duration::from_secs(3);

/// Linux counts processor time in hundredths of a second for everybody.
const TICKS: f64 = 100.0;

/// `watched` is how long processor time is counted.
pub async fn rows(bed: &Bed, watched: Duration) -> Result<Vec<Row>> {
    let idle = measured(bed, 0, None).await?;
    let hundred = measured(bed, 100, Some(watched)).await?;
    let thousand = measured(bed, 1000, None).await?;
    let processor = hundred.processor.context("it was not watched")?;
    Ok(vec![
        Row::at_most("resident memory, idle", 25.0, idle.memory, " MB"),
        Row::at_most("resident memory, 1000 services", 80.0, thousand.memory, " MB"),
        Row::at_most("processor, idle with 100 services", 1.0, processor, " %"),
    ])
}

struct Footprint {
    memory: f64,
    /// Percent of a core.
    processor: Option<f64>,
}

async fn measured(bed: &Bed, services: usize, watched: Option<Duration>) -> Result<Footprint> {
    let home = bed.home(&format!("footprint-{services}"))?;
    let instance = Answering::start(bed.gateway, Colour::Blue).await?;
    let blue = BTreeMap::from([(Colour::Blue, vec![instance.address])]);
    let views: Vec<_> = (0..services).map(|number| many::view(number, blue.clone())).collect();
    seed(bed, &home.join("state"), &views).await?;
    let daemon = Daemon::start(bed, "embedded", &home).await?;
    tokio::time::sleep(SETTLE).await;
    let known = daemon.client.status(None).await?.services.len();
    ensure!(known == services, "the daemon knows {known} of {services} services");
    let memory = resident(daemon.pid())?;
    let processor = match watched {
        Some(time) => {
            let before = ticks(daemon.pid())?;
            tokio::time::sleep(time).await;
            let used = ticks(daemon.pid())? - before;
            Some(used / TICKS / time.as_secs_f64() * 100.0)
        }
        None => None,
    };
    daemon.stop().await?;
    Ok(Footprint { memory, processor })
}

/// Registry and proxies as if the services had been deployed.
async fn seed(
    bed: &Bed,
    state: &std::path::Path,
    views: &[verdigris::model::ServiceView],
) -> Result<()> {
    many::record(state, views).await?;
    let mut settings = Vec::new();
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let mut proxy = bed.proxy(kind, state);
        proxy.state = state.join("proxies").join(&proxy.name);
        settings.push(proxy);
    }
    let fleet = Fleet::start(settings, &Embedded::open(state)?).await?;
    many::configure(&fleet, &["edge-nginx", "edge-haproxy"], views).await
}

/// Megabytes.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("no VmRSS")?.parse::<f64>()? / 1024.0)
}

/// Processor time, of itself and in the kernel.
fn ticks(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no processor times")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    Ok(field(11).context("no utime")? + field(12).context("no stime")?)
}
