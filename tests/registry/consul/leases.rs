//! Of several daemons on one Consul, one is responsible for a service at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use verdigris::deploy::ports::{Leases as _, Registry as _, Tenure, Trouble};
use verdigris::model::{Colour, ServiceName, ServiceRecord};
use verdigris::registry::consul::{Consul, ConsulLeases};

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
    assert_eq!(error.trouble, Trouble::Superseded);
    assert!(error.chain().contains(&name), "{}", error.chain());

    let index = lease.index();
    lease.release(false).await.unwrap();
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
    let refused = async |when: &str, trouble: Trouble| {
        let error = late.write(&service, &wanted).await.expect_err(when);
        assert_eq!(error.trouble, trouble, "{}", error.chain());
        assert!(error.remedy.unwrap().contains("lease"));
        let error = late.update(&service, &|record| record.clone_from(&wanted)).await;
        assert_eq!(error.expect_err(when).trouble, trouble);
        assert_eq!(late.read(&service).await.unwrap(), held, "{when}");
    };
    refused("nobody has the lease", Trouble::Unreachable).await;
    let other = agent.registry();
    let others = other.session(&holder()).await.unwrap();
    let taken = others.lease(&service).await.unwrap();
    refused("another daemon has it", Trouble::Superseded).await;
    other.write(&service, &held).await.unwrap();
    taken.release(false).await.unwrap();
    refused("another daemon had it", Trouble::Superseded).await;
    drop(lease);
    late.write(&service, &wanted).await.unwrap();
}

/// Something else writes between the reading of a change and its writing.
#[tokio::test]
async fn what_was_written_in_the_midst_of_a_change_is_not_undone() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let wanted = settled(Colour::Green, 3, 2);
    // Be it a change of keys, or of instances alone, which have no index to be held against.
    for (leased, keys) in [(false, false), (false, true), (true, false), (true, true)] {
        let (registry, service) = (agent.registry(), service());
        let session = registry.session(&holder()).await.unwrap();
        let lease = if leased { Some(session.lease(&service).await.unwrap()) } else { None };
        registry.write(&service, &settled(Colour::Blue, 1, 2)).await.unwrap();
        let other = settled(Colour::Blue, 2, 2);
        let change = |record: &mut ServiceRecord| {
            write_elsewhere(&agent, &service, &other);
            match keys {
                true => record.clone_from(&wanted),
                false => record.instances.clone_from(&wanted.instances),
            }
        };
        let error = registry.update(&service, &change).await.expect_err("it was undone");
        assert_eq!(error.trouble, Trouble::Conflict, "{}", error.chain());
        assert_eq!(registry.read(&service).await.unwrap(), other, "{leased} {keys}");
        drop(lease);
    }
}

/// Write in a runtime of its own: the caller's stands still meanwhile.
fn write_elsewhere(agent: &Agent, service: &ServiceName, record: &ServiceRecord) {
    let write = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agent.registry().write(service, record)).unwrap();
    };
    std::thread::scope(|scope| scope.spawn(write).join().unwrap());
}

/// The leases of a daemon of this name.
fn leases(agent: &Agent, holder: &str) -> (Arc<Consul>, ConsulLeases) {
    let consul = Arc::new(agent.registry());
    (Arc::clone(&consul), ConsulLeases::new(consul, holder.to_owned()))
}

#[tokio::test]
async fn a_tenure_ends_when_another_daemon_had_the_service() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (service, name, other) = (service(), holder(), holder());
    let ((_, mine), (_, others)) = (leases(&agent, &name), leases(&agent, &other));
    let first = mine.take(&service).await.unwrap();
    assert_eq!(mine.take(&service).await.unwrap(), first, "it is held");
    assert_eq!(mine.rival(&service).await.unwrap(), None, "it is its own");
    assert_eq!(others.rival(&service).await.unwrap(), Some(name.clone()));
    let error = others.take(&service).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Superseded);
    assert!(error.chain().contains(&name), "{}", error.chain());

    mine.leave(&service, true).await;
    assert_eq!(mine.take(&service).await.unwrap(), first, "nobody else had it");
    mine.leave(&service, true).await;
    let second = others.take(&service).await.unwrap();
    assert!(second > first);
    others.leave(&service, false).await;
    assert_eq!(others.rival(&service).await.unwrap(), None);
    assert!(mine.take(&service).await.unwrap() > second);
}

#[tokio::test]
async fn nothing_is_left_of_a_lease_that_nobody_else_wanted() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let service = service();
    let (_, leases) = leases(&agent, &holder());
    leases.take(&service).await.unwrap();
    assert!(agent.key(&format!("verdigris/locks/{service}")).await.is_some());
    leases.leave(&service, false).await;
    assert_eq!(agent.key(&format!("verdigris/locks/{service}")).await, None);
}

#[tokio::test]
async fn a_lost_lease_is_taken_again_and_a_taken_one_keeps_the_late_out() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (service, name) = (service(), holder());
    let (late, mine) = leases(&agent, &name);
    let first = mine.take(&service).await.unwrap();
    let held = settled(Colour::Blue, 1, 2);
    late.write(&service, &held).await.unwrap();
    rob(&agent, &service).await;
    let (_, others) = leases(&agent, &holder());
    others.take(&service).await.unwrap();
    // It does not know yet, and cannot write all the same.
    let error = late.write(&service, &settled(Colour::Green, 2, 2)).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Superseded, "{}", error.chain());
    assert_eq!(late.read(&service).await.unwrap(), held);
    // The renewal tells it; until the other one gives the service back it stays so.
    let patience = Duration::from_secs(10);
    let told = async {
        while mine.take(&service).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(patience, told).await.expect("it finds out");
    others.leave(&service, false).await;
    assert!(mine.take(&service).await.unwrap() > first);
    late.write(&service, &settled(Colour::Green, 2, 2)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_consul_lost_is_no_rival() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (service, name) = (service(), holder());
    let (consul, mine) = leases(&agent, &name);
    let first = mine.take(&service).await.unwrap();
    rob(&agent, &service).await;
    let wanted = settled(Colour::Blue, 1, 2);
    let error = consul.write(&service, &wanted).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable, "{}", error.chain());
    // It is known at once, without waiting for the next renewal.
    assert_eq!(mine.take(&service).await.unwrap(), first);
    consul.write(&service, &wanted).await.unwrap();
}

#[tokio::test]
async fn a_wiped_consul_does_not_make_tenures_start_over() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (service, name, other) = (service(), holder(), holder());
    let ((consul, mine), (_, others)) = (leases(&agent, &name), leases(&agent, &other));
    others.take(&service).await.unwrap();
    others.leave(&service, true).await;
    let first = mine.take(&service).await.unwrap();
    assert!(first > Tenure::default());
    let forget = async || {
        rob(&agent, &service).await;
        agent.delete(&format!("kv/verdigris/locks/{service}")).await;
        consul.write(&service, &settled(Colour::Blue, 1, 2)).await.unwrap_err();
    };
    forget().await;
    assert_eq!(mine.take(&service).await.unwrap(), first, "nobody else had it");
    forget().await;
    others.take(&service).await.unwrap();
    others.leave(&service, true).await;
    assert!(mine.take(&service).await.unwrap() > first, "another daemon had it");
}

#[tokio::test]
async fn a_lease_that_is_taken_twice_at_once_keeps_its_fence() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (service, name) = (service(), holder());
    let (late, mine) = leases(&agent, &name);
    let (_, others) = leases(&agent, &holder());
    for round in 0..5 {
        let takes = (0..4).map(|_| mine.take(&service));
        futures_util::future::try_join_all(takes).await.unwrap();
        rob(&agent, &service).await;
        let error = late.write(&service, &settled(Colour::Blue, 1, 2)).await;
        assert!(error.is_err(), "round {round}");
    }
    others.take(&service).await.unwrap();
    let error = late.write(&service, &settled(Colour::Blue, 1, 2)).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Superseded, "{}", error.chain());
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
