use super::*;
use serde_json::json;

/// As Engine 20.10 lists a task of a service with a host port and an overlay network.
fn captured() -> Value {
    json!({
        "ID": "zdlafz62ugpvgx8fkyq4npx3z",
        "Version": { "Index": 46 },
        "CreatedAt": "2026-11-21T02:07:59.769490462Z",
        "UpdatedAt": "2026-11-21T02:08:00.770562017Z",
        "Labels": {},
        "Spec": {
            "ContainerSpec": {
                "Image": "198.19.51.2:5000/box:1@sha256:2901aeeb227edb673a1318b27ff54e93a342d625b773d27c704cc807260f8476",
                "Command": ["/busybox"],
                "Args": ["sleep", "100"],
                "Init": false,
                "DNSConfig": {},
                "Isolation": "default",
            },
            "Resources": { "Limits": { "NanoCPUs": 500_000_000 }, "Reservations": {} },
            "Placement": { "Platforms": [{ "Architecture": "amd64", "OS": "linux" }] },
            "Networks": [{ "Target": "kltgtaeyln4jxosykj7126ry8" }],
            "ForceUpdate": 0,
        },
        "ServiceID": "m7yppwl6i81mnu9th8j8byimp",
        "Slot": 1,
        "NodeID": "o79j8irtc63aamik3tkfwk9an",
        "Status": {
            "Timestamp": "2026-11-21T02:08:00.749339441Z",
            "State": "running",
            "Message": "started",
            "ContainerStatus": {
                "ContainerID": "3d209c93a044c2e240d5be3fffb84e97",
                "PID": 12714,
                "ExitCode": 0,
            },
            "PortStatus": { "Ports": [
                { "Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 32770, "PublishMode": "host" },
                { "Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 32770, "PublishMode": "host" },
            ] },
        },
        "DesiredState": "running",
        "NetworksAttachments": [
            {
                "Network": { "ID": "ingressnetworkid", "Spec": { "Name": "ingress", "Ingress": true } },
                "Addresses": ["10.255.0.7/16"],
            },
            {
                "Network": { "ID": "another", "Spec": { "Name": "other" } },
                "Addresses": ["10.0.9.3/24"],
            },
            {
                "Network": { "ID": "kltgtaeyln4jxosykj7126ry8", "Spec": { "Name": "backend" } },
                "Addresses": ["10.0.1.3/24"],
            },
        ],
    })
}

fn raw(task: Value) -> RawTask {
    serde_json::from_value(task).unwrap()
}

fn node() -> Node {
    serde_json::from_value(json!({
        "ID": "o79j8irtc63aamik3tkfwk9an",
        "Description": { "Hostname": "node1" },
        "Status": { "State": "ready", "Addr": "198.19.51.101" },
    }))
    .unwrap()
}

/// The captured task after `change`, as a deployment sees it.
fn seen(change: impl FnOnce(&mut Value)) -> Task {
    let mut task = captured();
    change(&mut task);
    raw(task).to_task(&captured()["Spec"], Some(&node()), &PortWanted::Host(8080))
}

#[test]
fn a_running_task_is_found_where_its_node_publishes_it() {
    let task = seen(|_| {});
    assert_eq!(task.node, "node1");
    assert_eq!((task.state, task.wanted, task.current), (TaskState::Running, true, true));
    assert_eq!((task.rejected, task.exit_code), (false, None));
    assert_eq!(task.address, Some("198.19.51.101:32770".parse().unwrap()));
    assert_eq!(task.container.as_deref(), Some("3d209c93a044c2e240d5be3fffb84e97"));
}

#[test]
fn on_an_overlay_it_is_found_on_the_first_network_that_the_service_names() {
    let found = |task: Value| {
        let brief: RawTask<Option<Networks>> = serde_json::from_value(task.clone()).unwrap();
        let found = raw(task).addresses(None, &PortWanted::Overlay(8080));
        assert_eq!(brief.addresses(None, &PortWanted::Overlay(8080)), found, "read in part");
        found
    };
    assert_eq!(found(captured()), ["10.0.1.3:8080".parse().unwrap()]);
    let mut unnamed = captured();
    unnamed["Spec"]["Networks"] = Value::Null;
    assert_eq!(found(unnamed), ["10.0.9.3:8080".parse().unwrap()]);
    let mut alone = captured();
    alone["NetworksAttachments"] = Value::Null;
    assert_eq!(found(alone), []);
}

#[test]
fn two_different_ports_are_both_candidates_and_strangers_are_not() {
    let mut task = captured();
    task["Status"]["PortStatus"]["Ports"] = json!([
        { "TargetPort": 9090, "PublishedPort": 32001, "PublishMode": "host" },
        { "TargetPort": 8080, "PublishedPort": 30000, "PublishMode": "ingress" },
        { "TargetPort": 8080, "PublishedPort": 32770, "PublishMode": "host" },
        { "TargetPort": 8080, "PublishedPort": 32771, "PublishMode": "host" },
        { "TargetPort": 8080, "PublishMode": "host" },
    ]);
    let found = raw(task).addresses(Some(&node()), &PortWanted::Host(8080));
    assert_eq!(
        found,
        ["198.19.51.101:32770".parse().unwrap(), "198.19.51.101:32771".parse().unwrap()]
    );
}

#[test]
fn every_way_to_end_is_told_apart() {
    let ended = |state: &str, desired: &str| {
        seen(|task| {
            task["Status"]["State"] = json!(state);
            task["DesiredState"] = json!(desired);
            task["Status"]["Err"] = json!("task: non-zero exit (3)");
            task["Status"]["ContainerStatus"]["ExitCode"] = json!(3);
        })
    };
    for (state, desired, meant, wanted) in [
        ("failed", "running", TaskState::Failed, true),
        ("failed", "shutdown", TaskState::Failed, false),
        // Exit code 0 is no better: a service's task should not end.
        ("complete", "shutdown", TaskState::Failed, false),
        ("orphaned", "shutdown", TaskState::Failed, false),
        ("shutdown", "shutdown", TaskState::Stopped, false),
        ("remove", "remove", TaskState::Stopped, false),
    ] {
        let task = ended(state, desired);
        assert_eq!((task.state, task.wanted), (meant, wanted), "{state}");
        assert_eq!(task.exit_code, Some(3), "{state}");
        assert_eq!(task.error, "task: non-zero exit (3)");
        assert_eq!(task.address, None, "{state}");
    }
    for (state, desired, wanted) in [
        ("new", "running", true),
        ("pending", "running", true),
        ("preparing", "running", true),
        ("ready", "ready", true),
        ("starting", "running", true),
        ("starting", "shutdown", false),
    ] {
        let task = ended(state, desired);
        assert_eq!((task.state, task.wanted), (TaskState::Starting, wanted), "{state}");
        assert_eq!((task.exit_code, task.address), (None, None), "{state}");
    }
}

#[test]
fn a_rejected_task_never_ran() {
    let task = seen(|task| {
        task["Status"] = json!({
            "State": "rejected",
            "Err": "No such image: registry:5000/books-ms@sha256:00",
            "PortStatus": {},
        });
        task["DesiredState"] = json!("shutdown");
    });
    assert!(task.rejected);
    assert_eq!((task.state, task.container, task.exit_code), (TaskState::Failed, None, None));
    assert_eq!(task.error, "No such image: registry:5000/books-ms@sha256:00");
}

#[test]
fn a_task_of_an_earlier_spec_is_not_current() {
    let current = |change: fn(&mut Value)| {
        let mut template = captured()["Spec"].clone();
        // What the engine shows of a service and not of its tasks.
        template["Runtime"] = json!("container");
        change(&mut template);
        raw(captured()).is_made_from(&template)
    };
    assert!(current(|_| {}));
    assert!(current(|template| template["Placement"] = json!({ "MaxReplicas": 2 })));
    assert!(!current(|template| template["ForceUpdate"] = json!(1)));
    assert!(!current(|template| template["ContainerSpec"]["Labels"] = json!({ "a": "b" })));
}

#[test]
fn an_unassigned_task_is_read() {
    let mut task = captured();
    for member in ["NodeID", "NetworksAttachments", "Slot"] {
        task.as_object_mut().unwrap().remove(member);
    }
    task["Status"] = json!({ "State": "pending", "Err": "no suitable node" });
    let task = raw(task).to_task(&Value::Null, None, &PortWanted::Host(8080));
    assert_eq!((task.state, task.node.as_str()), (TaskState::Starting, ""));
    assert_eq!(task.error, "no suitable node");
}
