//! What is tested at each gate.

use std::collections::HashSet;
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use books_ms::catalogue::BOOKS;
use serde::Deserialize;

use crate::case::Case;
use crate::http::{Answer, Scheme, get};
use crate::mode::TestType;
use crate::settings::Settings;

/// Through a proxy each address is asked over so many fresh connections, in case several workers
/// or instances answer.
const CONNECTIONS: usize = 4;

/// Runs the tests of the gate that asks.
pub async fn run(settings: &Settings) -> Vec<Case> {
    match settings.kind {
        TestType::PreDeployment => alone().await,
        TestType::PreIntegration => directly(settings).await,
        TestType::PostIntegration => through_proxies(settings).await,
    }
}

/// Nothing is deployed yet: what can be tested without a network.
async fn alone() -> Vec<Case> {
    let numbers = async {
        let distinct: HashSet<_> = BOOKS.iter().map(|book| book.id).collect();
        ensure!(distinct.len() == BOOKS.len(), "two books share a number");
        Ok(())
    };
    let names = async {
        let nameless = BOOKS.iter().find(|book| book.title.is_empty() || book.author.is_empty());
        ensure!(nameless.is_none(), "a book lacks its title or author: {nameless:?}");
        Ok(())
    };
    vec![
        Case::run("every book has a number of its own".into(), numbers).await,
        Case::run("every book has a title and an author".into(), names).await,
    ]
}

async fn directly(settings: &Settings) -> Vec<Case> {
    let mut cases = vec![some("TEST_ADDRESSES names an instance", &settings.addresses).await];
    for address in &settings.addresses {
        let address = *address;
        cases.push(Case::run(format!("{address} is healthy"), health(settings, address)).await);
        let books = books(settings, Scheme::Http, address);
        cases.push(Case::run(format!("{address} has its books"), books).await);
    }
    cases
}

async fn through_proxies(settings: &Settings) -> Vec<Case> {
    let all: Vec<_> = settings.http.iter().chain(&settings.https).copied().collect();
    let mut cases = vec![some("TEST_HTTP or TEST_HTTPS names a proxy", &all).await];
    for (scheme, addresses) in [(Scheme::Http, &settings.http), (Scheme::Https, &settings.https)] {
        for address in addresses {
            let name = format!("{scheme:?} {address} serves {}{}", settings.host, settings.path);
            cases.push(Case::run(name, repeatedly(settings, scheme, *address)).await);
        }
    }
    cases
}

/// No address to test must not pass for a success.
async fn some(name: &str, addresses: &[SocketAddr]) -> Case {
    let any = !addresses.is_empty();
    let test = async move {
        ensure!(any, "there is none");
        Ok(())
    };
    Case::run(name.to_owned(), test).await
}

async fn health(settings: &Settings, address: SocketAddr) -> anyhow::Result<()> {
    ok(get(settings, Scheme::Http, address, "/health").await?).map(drop)
}

async fn repeatedly(
    settings: &Settings,
    scheme: Scheme,
    address: SocketAddr,
) -> anyhow::Result<()> {
    for attempt in 1..=CONNECTIONS {
        let books = books(settings, scheme, address).await;
        books.with_context(|| format!("connection {attempt} of {CONNECTIONS}"))?;
    }
    Ok(())
}

/// What we need of an answer of the catalogue.
#[derive(Deserialize)]
struct Catalogue {
    books: Vec<serde_json::Value>,
    release: String,
    colour: String,
}

async fn books(settings: &Settings, scheme: Scheme, address: SocketAddr) -> anyhow::Result<()> {
    let answer = ok(get(settings, scheme, address, &settings.path).await?)?;
    let catalogue: Catalogue = serde_json::from_slice(&answer.body)
        .with_context(|| format!("not a catalogue: {}", beginning(&answer)))?;
    let found = catalogue.books.len();
    ensure!(found >= BOOKS.len(), "{found} books instead of {} or more", BOOKS.len());
    same("colour", settings.colour.as_deref(), &catalogue.colour)?;
    same("release", settings.release.as_deref(), &catalogue.release)
}

fn same(what: &str, wanted: Option<&str>, found: &str) -> anyhow::Result<()> {
    match wanted {
        Some(wanted) if wanted != found => bail!("{what} `{found}` answered, not `{wanted}`"),
        _ => Ok(()),
    }
}

fn ok(answer: Answer) -> anyhow::Result<Answer> {
    ensure!(answer.status.is_success(), "{}: {}", answer.status, beginning(&answer));
    Ok(answer)
}

fn beginning(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).chars().take(200).collect()
}
