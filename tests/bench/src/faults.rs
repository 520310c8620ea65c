//! What a fault costs: the daemon killed in mid-deployment, an instance killed under traffic.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use reqwest::Client;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use verdigris::model::{DeploymentView, Step};
use verdigris::proxy::Kind;

use crate::bed::{Bed, HOST};
use crate::daemon::{self, Daemon, Stack};
use crate::losses;
use crate::table::{Row, median};

/// From one look to the next: well below what is measured.
const LOOK: Duration = Duration::from_millis(2);
/// From one request of the public to the next, each with a connection of its own.
const ASK_EVERY: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(60);

/// Each death is to stand for itself: nginx' workers from before a reload, which know but one of two
/// instances that were replaced one after the other, have finished their requests by then.
const BETWEEN: Duration = Duration::from_secs(2);

/// Kill the daemon `rounds` times, and as many instances, each time on that registry.
pub async fn rows(bed: &Bed, registry: &str, rounds: usize) -> Result<Vec<Row>> {
    let mut rows = recoveries(bed, registry, rounds).await?;
    bed.reset().await?;
    rows.extend(deaths(bed, registry, rounds).await?);
    bed.reset().await?;
    rows.extend(replacements(bed, registry, rounds).await?);
    bed.reset().await?;
    Ok(rows)
}

/// A daemon on `registry`, with a directory of its own for `what`.
async fn daemon_for(bed: &Bed, what: &str, registry: &str) -> Result<(PathBuf, Daemon)> {
    let home = bed.home(&format!("{what}-{registry}"))?;
    let daemon = Daemon::start(bed, registry, &home).await?;
    Ok((home, daemon))
}

/// The daemon is killed while a release bakes, which is done again as a whole after the next start. So
/// what is between the start and the end, without what bake and the steps after it take otherwise, is
/// the price of the recovery.
async fn recoveries(bed: &Bed, registry: &str, rounds: usize) -> Result<Vec<Row>> {
    let (home, mut daemon) = daemon_for(bed, "recoveries", registry).await?;
    let stack = |tag| Stack { tag, bakes: true, keep: true, ..Stack::default() };
    daemon::committed(&daemon.deploy(bed, &stack("1.0")).await?)?;
    let (mut undisturbed, mut recovered) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let view = daemon.deploy(bed, &stack("2.0")).await?;
        daemon::committed(&view)?;
        undisturbed.push(milliseconds(began(&view, Step::Bake)?, ended(&view)?));
        let id = daemon.begin(bed, &stack("1.0")).await?;
        daemon.until_began(id, Step::Bake).await?;
        daemon.kill()?;
        let started = Timestamp::now();
        daemon = Daemon::on(&home).await?;
        let view = daemon.end_of(id).await?;
        daemon::committed(&view)?;
        recovered.push(milliseconds(started, ended(&view)?));
    }
    daemon.stop().await?;
    let (undisturbed, recovered) = (median(undisturbed), median(recovered));
    let what = format!("recovery: start to the deployment's end, less what is left, {registry}");
    let remark = format!("{recovered:.0} ms, undisturbed {undisturbed:.0} ms");
    Ok(vec![Row::at_most(what, 500.0, recovered - undisturbed, " ms").remark(remark)])
}

fn began(view: &DeploymentView, step: Step) -> Result<Timestamp> {
    let found = view.steps.iter().find(|known| known.step == step);
    found.and_then(|found| found.began).with_context(|| format!("`{step}` has not begun"))
}

fn ended(view: &DeploymentView) -> Result<Timestamp> {
    view.ended.context("it has not ended")
}

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}

/// One of two instances is killed, under requests.
async fn deaths(bed: &Bed, registry: &str, rounds: usize) -> Result<Vec<Row>> {
    let (_, daemon) = daemon_for(bed, "deaths", registry).await?;
    let stack = Stack { tag: "1.0", two: true, ..Stack::default() };
    daemon::committed(&daemon.deploy(bed, &stack).await?)?;
    let load = losses::gets(bed)?;
    let mut took: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        let victim = one_of(bed, 2).await?;
        let ran = nginx_runs(bed).await?;
        let killed = kill(bed, victim).await?;
        // nginx takes other instances by a reload: it is done once another configuration runs.
        let left =
            async || Ok(nginx_runs(bed).await? != ran && !nginx_knows(bed)?.contains(&victim));
        let down = async || Ok(!haproxy_leads_to(bed).await?.contains(&victim));
        let (nginx, haproxy) = tokio::try_join!(
            await_that("nginx to leave the dead instance", killed, left),
            await_that("HAProxy to leave the dead instance", killed, down),
        )?;
        took[0].push(nginx);
        took[1].push(haproxy);
    }
    let report = load.finish().await;
    daemon.stop().await?;
    let mut rows: Vec<Row> = ["nginx", "HAProxy"]
        .into_iter()
        .zip(took)
        .map(|(proxy, took)| {
            let what = format!("an instance's SIGKILL to no route to it, {proxy}, {registry}");
            Row::at_most(what, 1000.0, median(took), " ms")
        })
        .collect();
    let what = format!("requests lost while {rounds} instances are killed (GET), {registry}");
    rows.push(losses::row(what, &report));
    Ok(rows)
}

/// The only instance is killed: from its replacement running to that answering the public.
async fn replacements(bed: &Bed, registry: &str, rounds: usize) -> Result<Vec<Row>> {
    let (_, daemon) = daemon_for(bed, "replacements", registry).await?;
    daemon::committed(&daemon.deploy(bed, &Stack { tag: "1.0", ..Stack::default() }).await?)?;
    let mut took = Vec::new();
    for _ in 0..rounds {
        let victim = one_of(bed, 1).await?;
        kill(bed, victim).await?;
        let answered = |kind| async move {
            // Whoever answers from now on is the replacement.
            let client = bed.public(SocketAddr::new(bed.address(kind), 443))?;
            first_answer(&client).await?;
            Ok::<_, anyhow::Error>(Timestamp::now())
        };
        let (nginx, haproxy) = tokio::try_join!(answered(Kind::Nginx), answered(Kind::Haproxy))?;
        took.push(milliseconds(running_since(bed).await?, nginx.max(haproxy)));
    }
    daemon.stop().await?;
    let what =
        format!("a rescheduled task runs to both proxies' public being answered by it, {registry}");
    Ok(vec![Row::at_most(what, 500.0, median(took), " ms")])
}

/// Ask again and again until somebody answers, whether or not those before have their answers: `HAProxy`
/// tries one that met nobody again only after a second.
async fn first_answer(client: &Client) -> Result<()> {
    let ask = async || {
        let answer = client.get(format!("https://{HOST}/api/v1/books")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    let mut asked = FuturesUnordered::new();
    let mut clock = tokio::time::interval(ASK_EVERY);
    let begun = Instant::now();
    while begun.elapsed() < LONGEST {
        tokio::select! {
            _ = clock.tick() => asked.push(ask()),
            Some(true) = asked.next() => return Ok(()),
        }
    }
    bail!("waited in vain for an answer")
}

/// Milliseconds from `since` until `is_so`.
async fn await_that(
    what: &str,
    since: Instant,
    is_so: impl AsyncFn() -> Result<bool>,
) -> Result<f64> {
    while !is_so().await? {
        if since.elapsed() > LONGEST {
            bail!("waited in vain for {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(since.elapsed().as_secs_f64() * 1e3)
}

/// One of the `count` instances that both proxies lead to, once they do.
async fn one_of(bed: &Bed, count: usize) -> Result<SocketAddr> {
    let whole = async || Ok(routed(bed).await?.len() == count);
    await_that("all instances to be led to", Instant::now(), whole).await?;
    tokio::time::sleep(BETWEEN).await;
    routed(bed).await?.first().copied().context("nothing is led to")
}

/// The instances that both proxies lead to; none while nginx has still to take its configuration.
async fn routed(bed: &Bed) -> Result<BTreeSet<SocketAddr>> {
    let text = std::fs::read_to_string(configuration(bed))?;
    if !text.contains(nginx_runs(bed).await?.trim()) {
        return Ok(BTreeSet::new());
    }
    let haproxy = haproxy_leads_to(bed).await?;
    Ok(nginx_knows(bed)?.intersection(&haproxy).copied().collect())
}

/// Those in its configuration file, of whichever colour.
fn nginx_knows(bed: &Bed) -> Result<BTreeSet<SocketAddr>> {
    let text = std::fs::read_to_string(configuration(bed))?;
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("server "));
    Ok(lines.filter_map(|line| line.split([' ', ';']).next()?.parse().ok()).collect())
}

fn configuration(bed: &Bed) -> PathBuf {
    bed.directory.join("nginx/nginx.conf")
}

/// What names the configuration that nginx runs.
async fn nginx_runs(bed: &Bed) -> Result<String> {
    let url = format!("http://{}:9180/generation", bed.nginx);
    let client = Client::builder().tls_certs_only([]).build()?;
    Ok(client.get(url).send().await?.text().await?)
}

/// Those that are up by its runtime socket: `… ADDRESS STATE …`, in the columns that the first line
/// names.
async fn haproxy_leads_to(bed: &Bed) -> Result<BTreeSet<SocketAddr>> {
    let mut socket = UnixStream::connect(bed.directory.join("haproxy/runtime.sock")).await?;
    socket.write_all(b"show servers state\n").await?;
    let mut said = String::new();
    socket.read_to_string(&mut said).await?;
    let names: Vec<&str> = said
        .lines()
        .find_map(|line| line.strip_prefix("# "))
        .context("HAProxy tells no columns")?
        .split(' ')
        .collect();
    let column = |line: &str, name: &str| {
        let at = names.iter().position(|known| *known == name)?;
        line.split(' ').nth(at).map(str::to_owned)
    };
    let servers = said.lines().filter(|line| !line.starts_with('#') && line.contains(' '));
    Ok(servers
        .filter(|line| column(line, "srv_op_state").as_deref() == Some("2"))
        .filter_map(|line| {
            let address = column(line, "srv_addr")?.parse().ok()?;
            Some(SocketAddr::new(address, column(line, "srv_port")?.parse().ok()?))
        })
        .collect())
}

/// SIGKILL to the container that is published at `address`; when. It has ended when this returns.
async fn kill(bed: &Bed, address: SocketAddr) -> Result<Instant> {
    let engine = bed.engine()?;
    let containers: Vec<Value> =
        engine.get("http://engine/containers/json").send().await?.json().await?;
    let published = |container: &&Value| {
        let ports = container["Ports"].as_array();
        ports.is_some_and(|ports| ports.iter().any(|p| p["PublicPort"] == address.port()))
    };
    let found = containers.iter().find(published);
    let id = found.and_then(|found| found["Id"].as_str()).context("no such container")?;
    let killed = Instant::now();
    let url = format!("http://engine/containers/{id}/kill?signal=KILL");
    engine.post(url).send().await?.error_for_status()?;
    engine.post(format!("http://engine/containers/{id}/wait")).send().await?.bytes().await?;
    Ok(killed)
}

/// Since when the newest running task runs, as Swarm says.
async fn running_since(bed: &Bed) -> Result<Timestamp> {
    let tasks: Vec<Value> = bed.engine()?.get("http://engine/tasks").send().await?.json().await?;
    tasks
        .iter()
        .filter(|task| task["Status"]["State"] == "running")
        .filter_map(|task| task["Status"]["Timestamp"].as_str()?.parse::<Timestamp>().ok())
        .max()
        .context("no task runs")
}
