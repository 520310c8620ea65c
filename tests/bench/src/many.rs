//! Many services that are configured without being run: views of them, and a backend that stands for
//! all of their instances.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use verdigris::deploy::ports::{Proxies as _, ProxyViews, Registry as _};
use verdigris::model::{
    Backend, Colour, Instance, Registration, Route, RouteRule, ServiceName, ServiceRecord,
    ServiceView, Standing,
};
use verdigris::proxy::Fleet;
use verdigris::registry::embedded::Embedded;

/// The header that tells which colour answered.
pub const COLOUR: &str = "x-bench-colour";

/// A server that answers everything with its colour; ends when dropped.
pub struct Answering {
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Answering {
    pub async fn start(at: std::net::IpAddr, colour: Colour) -> Result<Self> {
        let listener = TcpListener::bind((at, 0)).await.context("cannot listen for the proxies")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, colour));
            }
        });
        Ok(Self { address, _task: AbortOnDropHandle::new(task) })
    }
}

async fn answer(mut stream: TcpStream, colour: Colour) {
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{COLOUR}: {colour}\r\n\r\n");
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        head.extend_from_slice(&bytes[..length]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The name of service `number`.
pub fn name(number: usize) -> ServiceName {
    format!("s{number}").parse().expect("it is a name")
}

/// The host of service `number`; the testbed's certificate covers it.
pub fn host(number: usize) -> String {
    format!("s{number}.example.com")
}

/// Service `number`, live as blue.
pub fn view(number: usize, backends: BTreeMap<Colour, Vec<SocketAddr>>) -> ServiceView {
    let tasks = |(colour, addresses): (Colour, Vec<SocketAddr>)| {
        let backend = |(index, address)| Backend { task: format!("{colour}-{index}"), address };
        (colour, addresses.into_iter().enumerate().map(backend).collect())
    };
    ServiceView {
        service: name(number),
        rule: RouteRule { hosts: vec![host(number)], path: "/".to_owned(), tls: true },
        live: Some(Colour::Blue),
        generation: 1,
        backends: backends.into_iter().map(tasks).collect(),
    }
}

/// Put `views` into the proxies `names` of `fleet`, all at once.
pub async fn configure(fleet: &Fleet, names: &[&str], views: &[ServiceView]) -> Result<()> {
    let put = |view: &ServiceView| {
        let all = names.iter().map(|proxy| ((*proxy).to_owned(), Some(view.clone())));
        (view.service.clone(), all.collect::<ProxyViews>())
    };
    let wanted: Vec<_> = views.iter().map(put).collect();
    try_join_all(wanted.iter().map(|(service, views)| fleet.restore(service, views))).await?;
    Ok(())
}

/// Record `views` in the embedded registry of the state directory `state`.
pub async fn record(state: &Path, views: &[ServiceView]) -> Result<()> {
    std::fs::create_dir_all(state)?;
    let registry = Embedded::open(state)?;
    for view in views {
        registry.write(&view.service, &recorded(view)).await?;
    }
    Ok(())
}

fn recorded(view: &ServiceView) -> ServiceRecord {
    let release = || "0123456789ab".to_owned().into();
    let entry = |backend: &Backend| {
        let task = format!("{}-{}", view.service, backend.task);
        let registration = Registration {
            instance: Instance {
                task: task.clone(),
                node: "node1".to_owned(),
                address: backend.address,
            },
            colour: Colour::Blue,
            standing: Standing::Live,
            release: release(),
            image: format!("127.0.0.1:5000/{}@sha256:{}", view.service, "0".repeat(64)),
        };
        (task, registration)
    };
    ServiceRecord {
        instances: view.of(Colour::Blue).iter().map(entry).collect(),
        colour: Some(Colour::Blue),
        route: Some(Route {
            gives_up: None,
            generation: view.generation,
            rule: Some(view.rule.clone()),
            weights: BTreeMap::from([(Colour::Blue, 100)]),
            releases: BTreeMap::from([(Colour::Blue, "0123456789ab".to_owned())]),
        }),
    }
}
