//! Rendering a configuration and deciding whether it has to be checked and applied.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use verdigris::model::Colour;
use verdigris::proxy::{Fleet, Kind, Settings};
use verdigris::registry::embedded::Embedded;

use crate::many;
use crate::table::{Row, median};

const SERVICES: usize = 1000;
const INSTANCES: u16 = 10;

/// Render `rounds` times for a proxy that does not run, so that nothing but rendering takes time.
pub async fn rows(kind: Kind, rounds: usize) -> Result<Vec<Row>> {
    let home = tempfile::tempdir()?;
    let settings = settings(kind, home.path())?;
    let name = settings.name.clone();
    let fleet = Fleet::start(vec![settings], &Embedded::open(home.path())?).await?;
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
    let fastest = took.iter().copied().fold(f64::INFINITY, f64::min);
    let what = format!("render and decide, {kind}, {SERVICES} services × {INSTANCES}");
    let row = Row::at_most(what, 30.0, median(took), " ms");
    Ok(vec![row.remark(format!("the fastest of {rounds}: {fastest:.1} ms"))])
}

/// A proxy that is nowhere, with a certificate for the services' hosts.
fn settings(kind: Kind, home: &Path) -> Result<Settings> {
    let certificates = home.join("certificates");
    std::fs::create_dir(&certificates)?;
    let key = rcgen::KeyPair::generate()?;
    let names = vec!["*.example.com".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    std::fs::write(certificates.join("example.pem"), pem)?;
    let nginx = kind == Kind::Nginx;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Settings {
        name: format!("edge-{kind}"),
        kind,
        template: None,
        output: home.join("output"),
        flags: nginx.then(|| home.join("flags")),
        map: (!nginx).then(|| home.join("map")),
        check: vec!["true".to_owned(), "{file}".to_owned()],
        reload: None,
        pid_file: Some(home.join("pid")),
        master_socket: (!nginx).then(|| home.join("master")),
        runtime_socket: (!nginx).then(|| home.join("runtime")),
        // Nobody listens there.
        status: at(1),
        http: Some(at(80)),
        https: Some(at(443)),
        ca: None,
        certificates: Some(certificates),
        user: None,
        state: home.join("state"),
    })
}

fn instances(number: usize) -> BTreeMap<Colour, Vec<SocketAddr>> {
    let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let node = Ipv4Addr::new(10, 1, high, low);
    let addresses = (0..INSTANCES).map(|index| SocketAddr::from((node, 32_768 + index)));
    BTreeMap::from([(Colour::Blue, addresses.collect())])
}
