//! Of several daemons on one Consul, one is responsible for a service at a time.

use std::time::Duration;

use tokio::time::timeout;
use verdigris::deploy::ports::{Registry as _, Trouble};
use verdigris::model::{Colour, ServiceName};

use crate::agent::{Agent, Kind, shared};
use crate::records::{service, settled};

/// A name that no other test has.
fn holder() -> String {
    service().to_string()
}

/// Close whatever session has locked the service, past the code under test.
async fn rob(agent: &Agent, service: &ServiceName) {
    let lock = agent.get(&format!("kv/verdigris/locks/{service}")).await;
    let session = lock[0]["Session"].as_str().unwrap();
    agent.put(&format!("session/destroy/{session}"), "").await;
}

#[tokio::test]
async fn one_daemon_at_a_time_has_a_lease() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (one, other, service) = (agent.registry(), agent.registry(), service());
    let (name, rival) = (holder(), holder());
    let (session, rivals) =
        (one.session(&name).await.unwrap(), other.session(&rival).await.unwrap());
    let lease = session.lease(&service).await.unwrap();
    let error = rivals.lease(&service).await.err().expect("it is taken");
    assert_eq!(error.trouble, Trouble::Conflict);
    assert!(error.chain().contains(&name), "{}", error.chain());

    let index = lease.index();
    lease.release().await.unwrap();
    assert_eq!(agent.key(&format!("verdigris/locks/{service}")).await, None);
    let lease = rivals.lease(&service).await.unwrap();
    assert!(lease.index() > index);
    rivals.end().await.unwrap();
    let lease = session.lease(&service).await.unwrap();
    assert!(lease.index() > index, "a session that ends frees its leases");
}

#[tokio::test]
async fn a_restarted_daemon_has_its_leases_at_once() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (name, service) = (holder(), service());
    let killed = agent.registry().session(&name).await.unwrap();
    let before = killed.lease(&service).await.unwrap();
    let again = agent.registry().session(&name).await.unwrap();
    let after = again.lease(&service).await.unwrap();
    assert!(after.index() > before.index());
}

#[tokio::test]
async fn a_daemon_that_lost_its_lease_cannot_write() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (late, service) = (agent.registry(), service());
    let session = late.session(&holder()).await.unwrap();
    let lease = session.lease(&service).await.unwrap();
    let held = settled(Colour::Blue, 1, 2);
    late.write(&service, &held).await.unwrap();
    let large = settled(Colour::Blue, 1, 130);
    late.write(&service, &large).await.unwrap();
    late.write(&service, &held).await.unwrap();

    rob(&agent, &service).await;
    let wanted = settled(Colour::Green, 2, 2);
    let refused = async |when: &str| {
        let error = late.write(&service, &wanted).await.expect_err(when);
        assert_eq!(error.trouble, Trouble::Conflict, "{}", error.chain());
        assert!(error.remedy.unwrap().contains("lease"));
        assert_eq!(late.read(&service).await.unwrap(), held, "{when}");
    };
    refused("nobody has the lease").await;
    let other = agent.registry();
    let others = other.session(&holder()).await.unwrap();
    let taken = others.lease(&service).await.unwrap();
    refused("another daemon has it").await;
    other.write(&service, &held).await.unwrap();
    taken.release().await.unwrap();
    drop(lease);
    late.write(&service, &wanted).await.unwrap();
}

#[tokio::test]
async fn losing_the_session_is_told() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    let session = registry.session(&holder()).await.unwrap();
    let _lease = session.lease(&service).await.unwrap();
    assert!(!session.lost().is_cancelled());
    rob(&agent, &service).await;
    // It is noticed with the next renewal, within 5 s.
    timeout(Duration::from_secs(10), session.lost().cancelled()).await.unwrap();
}

#[tokio::test]
async fn a_session_that_cannot_be_renewed_is_given_up_in_time() {
    let Some(mut agent) = Agent::start(Kind::Plain).await else { return };
    let registry = agent.registry();
    let session = registry.session(&holder()).await.unwrap();
    agent.kill();
    // Renewed nothing: given up after 15 s, before Consul may give it to another.
    let lost = timeout(Duration::from_secs(16), session.lost().cancelled());
    lost.await.expect("given up in time");
    let error = registry.session("other").await.err().expect("nobody is there");
    assert_eq!(error.trouble, Trouble::Unreachable);
}
