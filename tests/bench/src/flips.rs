//! The flip: from the keeper's act to the last fresh connection that the old colour still answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::layer::{Context as LayerContext, Layer};
use verdigris::deploy::ports::Proxies as _;
use verdigris::model::Colour;
use verdigris::proxy::{Fleet, Kind};
use verdigris::registry::embedded::Embedded;

use crate::bed::Bed;
use crate::many::{self, Answering};
use crate::table::{Row, median};

/// Clients that ask with ever new connections during a flip.
const CLIENTS: usize = 4;
/// They ask for so long before the act and after the proof.
const AROUND: Duration = Duration::from_millis(30);

/// Notes when the keeper acts: it says so under this target.
const TARGET: &str = "verdigris::flip";

/// The instant of the last act.
#[derive(Clone, Default)]
pub struct Acts(Arc<Mutex<Option<Instant>>>);

impl<S: tracing::Subscriber> Layer<S> for Acts {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: LayerContext<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn on_event(&self, _: &tracing::Event<'_>, _: LayerContext<'_, S>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Acts {
    fn take(&self) -> Result<Instant> {
        let act = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        act.context("the keeper did not say when it acted")
    }
}

/// With each of `sizes` services configured, flip one of them `rounds` times.
pub async fn rows(
    bed: &Bed,
    acts: &Acts,
    kind: Kind,
    sizes: &[usize],
    rounds: usize,
) -> Result<Vec<Row>> {
    let blue = Answering::start(bed.gateway, Colour::Blue).await?;
    let green = Answering::start(bed.gateway, Colour::Green).await?;
    let home = bed.home("flips")?;
    let fleet = Fleet::start(vec![bed.proxy(kind, &home)], &Embedded::open(&home)?).await?;
    let mut rows = Vec::new();
    for &size in sizes {
        let both = BTreeMap::from([
            (Colour::Blue, vec![blue.address]),
            (Colour::Green, vec![green.address]),
        ]);
        let views: Vec<_> = (0..size).map(|number| many::view(number, both.clone())).collect();
        many::configure(&fleet, &[&format!("edge-{kind}")], &views).await?;
        let reloads = reloads(&fleet);
        let address = SocketAddr::new(bed.address(kind), 80);
        let (mut late, mut proved) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let to = if round % 2 == 0 { Colour::Green } else { Colour::Blue };
            let flip = flip(&fleet, acts, address, to, round as u64 + 2).await?;
            late.push(flip.late);
            proved.push(flip.proved);
        }
        // Back, so that the next size begins as this one did.
        fleet.flip(&many::name(0), Colour::Blue, 1).await?;
        let what = format!("flip, {kind}, {size} services");
        let worst = late.iter().copied().fold(0.0, f64::max);
        let remark = format!(
            "worst {worst:.2} ms, proved after {:.1} ms, {} reloads",
            median(proved),
            reloads_since(&fleet, reloads)
        );
        rows.push(Row::at_most(what, 2.0, median(late), " ms").remark(remark));
    }
    Ok(rows)
}

struct Flip {
    /// Act to the beginning of the last connection that the old colour answered, milliseconds.
    late: f64,
    /// Order to proof, milliseconds.
    proved: f64,
}

async fn flip(
    fleet: &Fleet,
    acts: &Acts,
    address: SocketAddr,
    to: Colour,
    generation: u64,
) -> Result<Flip> {
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(last_of(address, to.other(), stopped.clone()));
    }
    tokio::time::sleep(AROUND).await;
    let ordered = Instant::now();
    fleet.flip(&many::name(0), to, generation).await?;
    let proved = ordered.elapsed();
    let act = acts.take()?;
    tokio::time::sleep(AROUND).await;
    stop.send_replace(true);
    let mut last = None;
    while let Some(ended) = clients.join_next().await {
        last = last.max(ended??);
    }
    let last = last.context("the old colour answered nobody before the flip")?;
    Ok(Flip {
        late: last.saturating_duration_since(act).as_secs_f64() * 1e3,
        proved: proved.as_secs_f64() * 1e3,
    })
}

/// Ask with ever new connections; when the last one began that `old` answered.
async fn last_of(
    address: SocketAddr,
    old: Colour,
    stopped: watch::Receiver<bool>,
) -> Result<Option<Instant>> {
    let mut last = None;
    while !*stopped.borrow() {
        let begun = Instant::now();
        if ask(address).await? == old.as_str() {
            last = Some(begun);
        }
    }
    Ok(last)
}

/// Which colour answers a connection of its own.
async fn ask(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let host = many::host(0);
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let colour = lines.find(|(name, _)| name.eq_ignore_ascii_case(many::COLOUR));
    let (_, colour) = colour.with_context(|| format!("no colour in the answer: {text}"))?;
    Ok(colour.trim().to_owned())
}

fn reloads(fleet: &Fleet) -> u64 {
    fleet.status().iter().map(|proxy| proxy.reloads).sum()
}

fn reloads_since(fleet: &Fleet, before: u64) -> u64 {
    reloads(fleet) - before
}
