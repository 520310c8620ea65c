//! Consul away, silent, without a leader, or not Consul at all.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use verdigris::deploy::control::Severity;
use verdigris::deploy::ports::{PortError, Registry as _, Trouble};
use verdigris::model::Colour;
use verdigris::registry::consul::{Consul, Settings};

use crate::agent::{Agent, Kind, shared};
use crate::records::{service, settled};

/// Longest that any call may take, whatever is wrong with Consul.
const BOUND: Duration = Duration::from_secs(8);

fn at(address: &str) -> Consul {
    Consul::new(&Settings::new(address.parse().unwrap())).unwrap()
}

/// The errors of all that can be asked, each within bounds.
async fn errors(registry: &Consul) -> Vec<PortError> {
    let record = settled(Colour::Blue, 1, 1);
    let service = service();
    let begin = Instant::now();
    let (read, all, write, changes) = tokio::join!(
        registry.read(&service),
        registry.read_all(),
        registry.write(&service, &record),
        registry.changes(),
    );
    assert!(begin.elapsed() < BOUND, "{:?}", begin.elapsed());
    vec![read.unwrap_err(), all.unwrap_err(), write.unwrap_err(), changes.err().expect("an error")]
}

async fn is_unreachable(registry: &Consul) {
    for error in errors(registry).await {
        assert_eq!(error.trouble, Trouble::Unreachable, "{}", error.chain());
        assert!(error.remedy.is_some());
    }
    let findings = registry.findings().await;
    assert_eq!(findings[0].severity, Severity::Bad);
    assert!(findings[0].remedy.is_some());
}

#[tokio::test]
async fn nobody_listens() {
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = held.local_addr().unwrap();
    drop(held);
    let begin = Instant::now();
    is_unreachable(&at(&format!("http://{address}"))).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "at once");
}

#[tokio::test]
async fn the_name_does_not_resolve() {
    is_unreachable(&at("http://consul.invalid:8500")).await;
}

#[tokio::test]
async fn somebody_listens_and_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    is_unreachable(&at(&format!("http://{address}"))).await;
}

#[tokio::test]
async fn it_is_not_consul() {
    let server = wiremock::MockServer::start().await;
    for (status, body) in [(200, "<html>hello</html>"), (404, "no such page"), (302, "")] {
        server.reset().await;
        let answer = wiremock::ResponseTemplate::new(status).set_body_string(body);
        wiremock::Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
        for error in errors(&at(&server.uri())).await {
            assert_eq!(error.trouble, Trouble::Invalid, "{}", error.chain());
            assert!(error.remedy.unwrap().contains(&server.uri()));
        }
    }
}

/// A line that is read to its end would fill the memory.
#[tokio::test]
async fn its_answer_does_not_end() {
    let server = wiremock::MockServer::start().await;
    let answer = wiremock::ResponseTemplate::new(200).set_body_bytes(vec![b' '; (64 << 20) + 1]);
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    let error = at(&server.uri()).read(&service()).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Invalid);
    assert!(error.chain().contains("is larger than 67108864 bytes"), "{}", error.chain());
}

#[tokio::test]
async fn there_is_no_leader() {
    let Some(agent) = Agent::start(Kind::Leaderless).await else { return };
    is_unreachable(&agent.registry()).await;
    let findings = agent.registry().findings().await;
    assert!(findings[0].message.contains("no leader"), "{findings:?}");
}

/// The first answer that is no error, from a server that is starting.
async fn answered<T, F: Future<Output = Result<T, PortError>>>(ask: impl Fn() -> F) -> T {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < give_up, "{}", error.chain()),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn it_comes_back_after_a_crash_with_what_was_written() {
    let Some(mut agent) = Agent::start(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    let record = settled(Colour::Green, 4, 3);
    registry.write(&service, &record).await.unwrap();
    let mut changes = registry.changes().await.unwrap();
    agent.kill();
    is_unreachable(&registry).await;
    let ended = timeout(Duration::from_secs(5), async { while changes.next().await.is_some() {} });
    ended.await.expect("the stream of changes ends");

    agent.restart();
    // The first answer is the right one: none is empty because the server has yet to catch up.
    let one = answered(|| registry.read(&service));
    let all = answered(|| registry.read_all());
    let (one, all) = tokio::join!(one, all);
    assert_eq!(one, record);
    assert_eq!(all[&service], record);
    let smaller = settled(Colour::Green, 5, 1);
    registry.write(&service, &smaller).await.unwrap();
    assert_eq!(registry.read(&service).await.unwrap(), smaller);
}

#[tokio::test]
async fn writers_of_one_service_never_mix_their_records() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let service = service();
    let (one, other) = (agent.registry(), agent.registry());
    let (blue, green) = (settled(Colour::Blue, 1, 2), settled(Colour::Green, 2, 3));
    let write = async |registry: &Consul, record: &verdigris::model::ServiceRecord| {
        for _ in 0..30 {
            match registry.write(&service, record).await {
                Ok(()) => {}
                Err(error) => assert_eq!(error.trouble, Trouble::Conflict, "{}", error.chain()),
            }
        }
    };
    tokio::join!(write(&one, &blue), write(&other, &green));
    one.write(&service, &blue).await.unwrap();
    assert_eq!(other.read(&service).await.unwrap(), blue);
}
