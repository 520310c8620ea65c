//! Gates on a real engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::models::ContainerCreateBody;
use tokio_util::sync::CancellationToken;
use verdigris::deploy::ports::{
    GateContext, GateError, Gates, JunitFile, PortResult, Sight, Trouble,
};
use verdigris::gate::GateRunner;
use verdigris::model::{
    Check, Colour, ContainerCheck, DeploymentId, Gate, GatePoint, ImageRef, Instance, labels,
};

use crate::testbed::{Testbed, release};

/// Sees nobody: no gate here asks.
struct Nobody;

#[async_trait]
impl Sight for Nobody {
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        Ok(Vec::new())
    }
}

struct Bench {
    testbed: Testbed,
    gates: GateRunner,
    deployment: DeploymentId,
    lines: Mutex<Vec<String>>,
}

impl Bench {
    fn find() -> Option<Self> {
        let testbed = Testbed::find()?;
        let gates = GateRunner::new(testbed.client());
        Some(Self { testbed, gates, deployment: DeploymentId::new(), lines: Mutex::default() })
    }

    fn gate(&self, script: &str) -> Gate {
        Self::gate_of(self.testbed.busybox(), script)
    }

    fn gate_of(image: ImageRef, script: &str) -> Gate {
        let check = ContainerCheck {
            image,
            entrypoint: Some(["/bin/busybox", "sh", "-c"].map(str::to_owned).into()),
            command: Some(vec![script.to_owned()]),
            env: BTreeMap::from([("SUITE".to_owned(), "unit".to_owned())]),
            networks: Vec::new(),
        };
        Gate {
            name: "tests".to_owned(),
            check: Check::Container(check),
            timeout: Duration::from_secs(30),
        }
    }

    fn context(&self) -> GateContext {
        let image = "registry/books-ms@sha256:".to_owned() + &"a".repeat(64);
        let image: ImageRef = image.parse().unwrap();
        let image = image.pin(image.digest().unwrap());
        GateContext {
            deployment: self.deployment,
            point: GatePoint::PreIntegration,
            release: Arc::new(release("books-ms", image, "")),
            colour: Colour::Green,
            instances: vec![Instance {
                task: "t1".to_owned(),
                node: "node1".to_owned(),
                address: "10.1.2.3:32768".parse().unwrap(),
            }],
            sight: Arc::new(Nobody),
            doors: Vec::new(),
        }
    }

    async fn run(
        &self,
        gate: &Gate,
        stop: &CancellationToken,
    ) -> Result<Vec<JunitFile>, GateError> {
        let output = |line: &str| self.lines.lock().unwrap().push(line.to_owned());
        self.gates.run(gate, &self.context(), &output, stop).await
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn left_behind(&self) -> String {
        let label = format!("label={}={}", labels::DEPLOYMENT, self.deployment);
        self.testbed.docker(&["ps", "-aq", "--filter", &label])
    }
}

#[tokio::test]
async fn a_container_that_ends_well_passes_and_is_told_everything() {
    let Some(bench) = Bench::find() else { return };
    let gate = bench.gate(
        "echo $TEST_TYPE $TEST_SERVICE $TEST_COLOUR $TEST_ADDRESSES $TEST_URLS $SUITE; echo oops >&2; echo -n last",
    );
    bench.run(&gate, &CancellationToken::new()).await.unwrap();
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            "last",
            "oops",
            "pre-integration books-ms green 10.1.2.3:32768 http://10.1.2.3:32768/ unit"
        ]
    );
    assert_eq!(bench.left_behind(), "");
}

#[tokio::test]
async fn a_container_that_fails_says_so_and_hands_over_its_junit() {
    let Some(bench) = Bench::find() else { return };
    let gate = bench.gate("echo '<testsuite/>' > $JUNIT_DIR/a.xml; echo assertion failed; exit 3");
    let error = bench.run(&gate, &CancellationToken::new()).await.unwrap_err();
    let GateError::Failed { reason, junit } = error else { panic!("{error:?}") };
    assert_eq!(reason, "exit code 3");
    assert_eq!(junit, [JunitFile { name: "a.xml".to_owned(), xml: "<testsuite/>\n".to_owned() }]);
    assert_eq!(bench.lines(), ["assertion failed"]);
    assert_eq!(bench.left_behind(), "");
}

#[tokio::test]
async fn an_endless_container_is_killed_at_its_timeout_or_when_stopped() {
    let Some(bench) = Bench::find() else { return };
    let mut gate = bench.gate("echo begun; while true; do sleep 1; done");
    gate.timeout = Duration::from_secs(3);
    let begun = Instant::now();
    let error = bench.run(&gate, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, GateError::TimedOut(limit) if limit == gate.timeout), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.lines(), ["begun"]);
    assert_eq!(bench.left_behind(), "");

    gate.timeout = Duration::from_secs(60);
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(bench.run(&gate, &stop), async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        stop.cancel();
    });
    assert!(ended.is_err());
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(bench.left_behind(), "");
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_told_apart_from_a_failed_test() {
    let Some(bench) = Bench::find() else { return };
    let missing = format!("{}/verdigris-test-nothing:1", bench.testbed.images);
    let gate = Bench::gate_of(missing.parse().unwrap(), "");
    let error = bench.run(&gate, &CancellationToken::new()).await.unwrap_err();
    let GateError::NotRun(error) = error else { panic!("{error:?}") };
    assert_eq!(error.trouble, Trouble::NotFound);
    assert!(error.to_string().contains("verdigris-test-nothing:1"), "{error}");
    assert!(error.remedy.unwrap().contains("docker push"));

    let gate = bench.gate("");
    let Check::Container(mut check) = gate.check.clone() else { unreachable!() };
    check.entrypoint = Some(vec!["/no/such/program".to_owned()]);
    let gate = Gate { check: Check::Container(check), ..gate };
    let error = bench.run(&gate, &CancellationToken::new()).await.unwrap_err();
    let GateError::NotRun(error) = error else { panic!("{error:?}") };
    assert!(error.chain().contains("/no/such/program"), "{}", error.chain());
    assert_eq!(bench.left_behind(), "");
}

#[tokio::test]
async fn a_gate_nobody_waits_for_any_more_is_removed_and_what_a_crash_left_is_cleaned() {
    let Some(bench) = Bench::find() else { return };
    let gate = bench.gate("sleep 600");
    let stop = CancellationToken::new();
    let dropped = tokio::time::timeout(Duration::from_millis(1500), bench.run(&gate, &stop)).await;
    assert!(dropped.is_err());
    let begun = Instant::now();
    while !bench.left_behind().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let label = |name: &str, value: &str| format!("{name}={value}");
    bench.testbed.docker(&[
        "run",
        "-d",
        "--label",
        &label(labels::MANAGED_BY, labels::VERDIGRIS),
        "--label",
        &label(labels::DEPLOYMENT, &bench.deployment.to_string()),
        "--label",
        &label(labels::GATE, "tests"),
        "--entrypoint",
        "/bin/busybox",
        &bench.testbed.busybox().to_string(),
        "sleep",
        "600",
    ]);
    assert_ne!(bench.left_behind(), "");
    bench.gates.clean(bench.deployment).await.unwrap();
    assert_eq!(bench.left_behind(), "");
    bench.gates.clean(bench.deployment).await.unwrap();
}

/// Ratio to the same calls made bare, on a machine that does other things, too.
#[tokio::test]
async fn a_gate_costs_about_what_a_bare_container_costs() {
    let Some(bench) = Bench::find() else { return };
    let gate = bench.gate("true");
    let image = bench.testbed.busybox().to_string();
    let client = bench.testbed.client();
    let bare = ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(["/bin/busybox", "true"].map(str::to_owned).into()),
        ..ContainerCreateBody::default()
    };
    let (mut floor, mut cost) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let begun = Instant::now();
        let container = client.create_container(bare.clone()).await.unwrap();
        let ending = container.watch().await.unwrap();
        container.start().await.unwrap();
        ending.await.unwrap();
        container.remove().await.unwrap();
        floor.push(begun.elapsed());
        let begun = Instant::now();
        bench.run(&gate, &CancellationToken::new()).await.unwrap();
        cost.push(begun.elapsed());
    }
    floor.sort();
    cost.sort();
    let (floor, cost) = (floor[3], cost[3]);
    eprintln!("bare {floor:?}, gate {cost:?}");
    assert!(cost < floor * 2, "bare {floor:?}, gate {cost:?}");
}
