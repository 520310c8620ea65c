//! What the doctor finds missing or misconfigured.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use rstest::rstest;
use verdigris::deploy::control::Severity;
use verdigris::model::Colour::Blue;
use verdigris::proxy::{Fleet, Kind};

use crate::backend::Instance;
use crate::world::{HOST, World, deploy, view, world};

/// What is bad, a line each.
async fn bad(fleet: &Fleet) -> String {
    let findings = fleet.findings().await;
    let bad = findings.into_iter().filter(|finding| finding.severity == Severity::Bad);
    bad.map(|f| format!("{}: {} ({})", f.subject, f.message, f.remedy.unwrap_or_default()))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The line for a port that this process has.
fn taken(address: SocketAddr) -> String {
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    format!("{address} is taken by `{}` (process {})", name.trim(), std::process::id())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_all_is_well(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let findings = fleet.findings().await;
    assert!(findings.iter().all(|f| f.severity == Severity::Good), "{findings:#?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_run(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    fs::write(world.path("certificates/odd.pem"), "-----BEGIN CERTIFICATE-----\nx\n").unwrap();
    world.stop_proxy();
    let found = bad(&fleet).await;
    assert!(found.contains(&format!("proxy edge-{kind}: ")), "{found}");
    assert!(
        found.contains("the proxy does not run") && found.contains("start the proxy"),
        "{found}"
    );
    assert!(found.contains(&format!("{} cannot be reached", world.http())), "{found}");
    assert!(!found.contains("taken"), "{found}");
}

/// Another process was quicker, so that the proxy cannot start.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_taken_while_the_proxy_does_not_run(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    world.stop_proxy();
    let https = world.settings.https.unwrap();
    let _taken =
        [world.http(), https, world.settings.status].map(|a| TcpListener::bind(a).unwrap());
    let found = bad(&fleet).await;
    assert!(found.contains("the proxy does not run"), "{found}");
    for address in [world.http(), https, world.settings.status] {
        assert!(found.contains(&taken(address)), "{found}");
        assert!(found.contains(&format!("stop what listens on {address}")), "{found}");
    }
}

/// The proxy runs, by files that do not name the address yet.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_while_the_proxy_runs(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let mut world = world!(kind);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    drop(world.fleet().await);
    world.settings.http = Some(address);
    let fleet = world.fleet().await;
    let found = bad(&fleet).await;
    assert!(found.contains(&taken(address)), "{found}");
    assert!(!found.contains(&taken(world.settings.https.unwrap())), "{found}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    drop(world.fleet().await);
    let refuse = "echo 'no worker may be called that' >&2; exit 1";
    world.settings.check = ["/bin/sh", "-c", refuse, "{file}"].map(str::to_owned).into();
    let found = bad(&world.fleet().await).await;
    assert!(found.contains("the proxy's checker refuses the configuration"), "{found}");
    assert!(found.contains("no worker may be called that"), "{found}");
    world.settings.check = vec![world.path("nothing").display().to_string(), "{file}".to_owned()];
    let found = bad(&world.fleet().await).await;
    assert!(
        found.contains("cannot run `") && found.contains("is the program installed?"),
        "{found}"
    );
}

/// Without that nginx takes every flag for absent, and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn flags_that_nobody_can_see() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let mode = |mode| {
        fs::set_permissions(world.directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o700);
    let found = bad(&fleet).await;
    assert!(found.contains("workers cannot look into") && found.contains("chmod o+x"), "{found}");
    mode(0o755);
}
