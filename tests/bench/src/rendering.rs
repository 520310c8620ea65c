//! Rendering a configuration and deciding whether it has to be checked and applied.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use verdigris::model::Colour;
use verdigris::proxy::{Fleet, Kind};

use crate::bed::Bed;
use crate::many;
use crate::table::{Row, median};

const SERVICES: usize = 1000;
const INSTANCES: u16 = 10;

/// Render `rounds` times for a proxy that does not run, so that nothing but rendering takes time.
pub async fn rows(bed: &Bed, kind: Kind, rounds: usize) -> Result<Vec<Row>> {
    let home = tempfile::tempdir()?;
    let mut settings = bed.proxy(kind, home.path());
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    settings.output = home.path().join("output");
    settings.flags = settings.flags.map(|_| home.path().join("flags"));
    settings.map = settings.map.map(|_| home.path().join("map"));
    settings.check = vec!["true".to_owned(), "{file}".to_owned()];
    settings.status = nowhere;
    settings.master_socket = settings.master_socket.map(|_| home.path().join("master"));
    settings.runtime_socket = settings.runtime_socket.map(|_| home.path().join("runtime"));
    settings.pid_file = Some(home.path().join("pid"));
    let name = settings.name.clone();
    let fleet = Fleet::start(vec![settings]).await?;
    let views: Vec<_> = (0..SERVICES).map(|number| many::view(number, instances(number))).collect();
    many::configure(&fleet, &[&name], &views).await?;
    let mut took = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let rendered = fleet.render(&name).await.context("there is no such proxy")?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(!rendered.differs, "what was rendered differs: {:?}", rendered.problem);
        let text = rendered.text.unwrap_or_default();
        let last = many::name(SERVICES - 1).swarm_name(Colour::Blue);
        ensure!(text.contains(&last), "the last service is not rendered");
    }
    let what = format!("render and decide, {kind}, {SERVICES} services × {INSTANCES}");
    Ok(vec![Row::at_most(what, 30.0, median(took), " ms")])
}

fn instances(number: usize) -> BTreeMap<Colour, Vec<SocketAddr>> {
    let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let node = Ipv4Addr::new(10, 1, high, low);
    let addresses = (0..INSTANCES).map(|index| SocketAddr::from((node, 32_768 + index)));
    BTreeMap::from([(Colour::Blue, addresses.collect())])
}
