//! `publish: overlay`: no port of a node is taken, and instances are led to at their own addresses on a
//! network of the Swarm.
//!
//! Such a network begins and ends in the engines. What stands outside, here the daemon and both proxies,
//! reaches it by a route through a container on it that forwards.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use verdigris::model::Colour;

use crate::support::{Expected, Proxy, Registry, Stack, Traffic, World, run};

const NETWORK: &str = "books-net";

/// The network, and a way into it for the testbed's hosts.
struct Overlay {
    subnet: String,
}

impl Overlay {
    /// The subnet is the upper quarter of the testbed's own, where no host is.
    fn make(world: &World) -> Self {
        let gateway = world.bed.env("TESTBED_GATEWAY");
        let overlay = Self { subnet: format!("{}.192/26", gateway.rsplit_once('.').unwrap().0) };
        let made = ["network", "create", "--driver", "overlay", "--attachable", "--subnet"];
        world.bed.docker(&[&made[..], &[&overlay.subnet, NETWORK]].concat());
        overlay
    }

    /// Any container will do: its network namespace forwards, and hides who asks, so that instances
    /// answer to it.
    fn open(&self, world: &World) {
        let (bed, subnet) = (&world.bed, self.subnet.as_str());
        let image = bed.image("books-ms:1.0");
        let run = ["run", "--detach", "--name", "way-in", "--sysctl", "net.ipv4.ip_forward=1"];
        bed.docker(&[&run[..], &[&image]].concat());
        bed.docker(&["network", "connect", NETWORK, "way-in"]);
        let told =
            |format| bed.docker(&["inspect", "--format", format, "way-in"]).trim().to_owned();
        let namespace = format!("--net=/proc/{}/ns/net", told("{{.State.Pid}}"));
        let hide = ["iptables", "-t", "nat", "-A", "POSTROUTING", "-d", subnet, "-j", "MASQUERADE"];
        said("nsenter", &[&[namespace.as_str()], &hide[..]].concat());

        let inside = told("{{.NetworkSettings.Networks.bridge.IPAddress}}");
        let nodes = bed.env("TESTBED_NODES");
        let node = nodes.split_whitespace().next().unwrap().to_owned();
        let pass = ["iptables", "-I", "DOCKER-USER", "-d", subnet, "-j", "ACCEPT"];
        bed.testbed(&[&["exec", "node1"], &pass[..]].concat());
        let route = |via| ["ip", "route", "add", subnet, "via", via];
        bed.testbed(&[&["exec", "node1"], &route(&inside)[..]].concat());
        bed.testbed(&[&["exec", "edge"], &route(&node)[..]].concat());
        // The daemon is outside of the testbed; this goes with the testbed's leg there.
        said("ip", &route(&node)[1..]);
    }

    fn holds(&self, address: &str) -> bool {
        let (network, _) = self.subnet.rsplit_once('.').unwrap();
        let host = address.strip_prefix(network).and_then(|rest| rest.strip_prefix('.'));
        host.is_some_and(|host| host.parse::<u8>().unwrap() >= 192)
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments).env("PATH", run::path()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn stack(world: &World, edition: &str) -> Stack {
    world.books(edition).with("/networks", json!([NETWORK])).asking("publish", "overlay")
}

/// Every instance is registered at an address of its own on the network, at the container's port.
async fn at_their_own_addresses(world: &World, overlay: &Overlay) {
    let picture = world.picture().await;
    let (mut seen, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for (id, entry) in picture.parts("catalog books-ms ") {
        let entry: Value = serde_json::from_str(entry).unwrap();
        assert_eq!(entry["ServicePort"], 8080, "{id}");
        let address = entry["ServiceAddress"].as_str().unwrap().to_owned();
        assert!(overlay.holds(&address), "{id} at {address}, not in {}", overlay.subnet);
        assert!(seen.insert(address), "{id} shares its address");
        nodes.insert(entry["ServiceMeta"]["node"].to_string());
    }
    assert_eq!((seen.len(), nodes.len()), (2, 2), "{seen:?} on {nodes:?}");
}

/// Without a way to it; and what to look at is said.
async fn nobody_is_led_where_nobody_gets(world: &World) {
    let before = world.settled().await;
    let ended = world.deploy(&stack(world, "1.0").asking("gates", json!({}))).await;
    assert_eq!(ended.exit(), 13, "{}", ended.story());
    assert!(ended.told().contains("reaches the instances"), "{}", ended.told());
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_follows_another_and_a_revert_is_exact() {
    let Some(world) = World::of_nodes(2, Registry::Consul, Proxy::Both).await else { return };
    let overlay = Overlay::make(&world);
    nobody_is_led_where_nobody_gets(&world).await;

    overlay.open(&world);
    world.deploy(&stack(&world, "1.0")).await.committed();
    at_their_own_addresses(&world, &overlay).await;
    let ports = world.bed.docker(&["ps", "--format", "{{.Ports}}"]);
    assert!(!ports.contains("->"), "a port of the node is taken: {ports}");

    let traffic = Traffic::start(&world, "books-ms");
    let ended = world.deploy(&stack(&world, "2.0")).await.committed();
    at_their_own_addresses(&world, &overlay).await;
    let release = ended.view.release.as_ref().unwrap().to_string();
    Expected::after(Colour::Green, "2.0", release, None).holds(&world).await;

    let before = world.settled().await;
    let ended = world.deploy(&stack(&world, "3.0").fault("right-only-direct")).await;
    assert_eq!(ended.exit(), 12, "{}", ended.story());
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    traffic.end_after_errors("on an overlay network").await;
}
