use super::*;
use crate::model::{
    self, Draft, Limits, Logging, NetworkAttachment, Placement, Policy, Resources, Ulimit,
};

fn release(publish: Publish, workload: Workload) -> Release {
    let policy = Policy { publish, ..model::fixture::policy() };
    let image = format!("registry:5000/books-ms:7@sha256:{}", "a".repeat(64)).parse().unwrap();
    let pinned = model::ImageRef::pin(&image, image.digest().unwrap());
    let mut release = Draft { image, workload, policy, ..model::fixture::draft() }.pin(pinned);
    release.id = "0123456789ab".to_owned().into();
    release
}

fn deployment() -> DeploymentId {
    "0192d3a4b5c6789a8bcdef0123456789".parse().unwrap()
}

fn labels(extra: &[(&str, &str)]) -> Value {
    let mut labels = json!({
        "verdigris.managed-by": "verdigris",
        "verdigris.service": "books-ms",
        "verdigris.colour": "green",
        "verdigris.release": "0123456789ab",
        "verdigris.deployment": "0192d3a4b5c6789a8bcdef0123456789",
        "verdigris.port": "8080",
        "verdigris.publish": "host",
    });
    for (name, value) in extra {
        labels[*name] = json!(value);
    }
    labels
}

#[test]
fn a_plain_release_says_no_more_than_it_has_to() {
    let release = release(Publish::Host, Workload { replicas: 2, ..Workload::default() });
    let spec = service_spec(&release, Colour::Green, deployment(), &Ids::default());
    let image = format!("registry:5000/books-ms@sha256:{}", "a".repeat(64));
    assert_eq!(
        spec,
        json!({
            "Name": "books-ms-green",
            "Labels": labels(&[]),
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": image,
                    "Labels": labels(&[]),
                    "Env": [
                        "VERDIGRIS_COLOUR=green",
                        "VERDIGRIS_RELEASE=0123456789ab",
                        "VERDIGRIS_SERVICE=books-ms",
                    ],
                },
                "RestartPolicy": { "Condition": "any", "Delay": 1_000_000_000 },
            },
            "Mode": { "Replicated": { "Replicas": 2 } },
            "UpdateConfig": { "Parallelism": 0, "FailureAction": "continue", "Order": "stop-first" },
            "EndpointSpec": {
                "Mode": "dnsrr",
                "Ports": [{ "Protocol": "tcp", "TargetPort": 8080, "PublishMode": "host" }],
            },
        })
    );
}

#[test]
fn on_an_overlay_network_no_port_is_published() {
    let release = release(Publish::Overlay, Workload::default());
    let spec = service_spec(&release, Colour::Blue, deployment(), &Ids::default());
    assert_eq!(spec["EndpointSpec"], json!({ "Mode": "dnsrr" }));
    assert_eq!(spec["Labels"]["verdigris.publish"], "overlay");
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[allow(clippy::too_many_lines, reason = "every field once")]
fn everything() -> Workload {
    let seconds = |n| Some(Duration::from_secs(n));
    Workload {
        entrypoint: Some(texts(&["/books-ms"])),
        command: Some(texts(&["serve", "--verbose"])),
        environment: map(&[("DB_HOST", "books-db"), ("A", "1=2")]),
        labels: map(&[("team", "books"), ("verdigris.service", "forged")]),
        service_labels: map(&[("owner", "library")]),
        healthcheck: Some(HealthCheck {
            test: texts(&["CMD", "/books-ms", "health"]),
            interval: Some(Duration::from_millis(1500)),
            timeout: seconds(1),
            start_period: seconds(5),
            retries: Some(3),
        }),
        networks: vec![NetworkAttachment {
            name: "backend".to_owned(),
            aliases: texts(&["books"]),
        }],
        secrets: vec![SecretMount {
            name: "db_password".to_owned(),
            target: "password".to_owned(),
            uid: "0".to_owned(),
            gid: "0".to_owned(),
            mode: 0o440,
        }],
        configs: vec![ConfigMount {
            name: "settings".to_owned(),
            target: "/etc/books.toml".to_owned(),
            uid: "1".to_owned(),
            gid: "2".to_owned(),
            mode: 0o444,
        }],
        mounts: vec![
            Mount {
                kind: MountKind::Volume,
                source: Some("books-data".to_owned()),
                target: "/data".to_owned(),
                read_only: true,
                no_copy: true,
                propagation: None,
                tmpfs_size: None,
                tmpfs_mode: None,
                driver: Some("local".to_owned()),
                driver_options: map(&[("type", "nfs")]),
            },
            Mount {
                kind: MountKind::Bind,
                source: Some("/srv/books".to_owned()),
                target: "/srv".to_owned(),
                read_only: false,
                no_copy: false,
                propagation: Some("rslave".to_owned()),
                tmpfs_size: None,
                tmpfs_mode: None,
                driver: None,
                driver_options: BTreeMap::new(),
            },
            Mount {
                kind: MountKind::Tmpfs,
                source: None,
                target: "/tmp".to_owned(),
                read_only: false,
                no_copy: false,
                propagation: None,
                tmpfs_size: Some(1 << 20),
                tmpfs_mode: Some(0o1777),
                driver: None,
                driver_options: BTreeMap::new(),
            },
        ],
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 1024, hard: 4096 }],
        user: Some("1000:1000".to_owned()),
        groups: texts(&["staff"]),
        working_dir: Some("/data".to_owned()),
        hostname: Some("books".to_owned()),
        init: Some(false),
        tty: true,
        stdin_open: true,
        read_only: true,
        cap_add: texts(&["NET_ADMIN"]),
        cap_drop: texts(&["ALL"]),
        sysctls: map(&[("net.core.somaxconn", "1024")]),
        dns: texts(&["10.0.0.53"]),
        dns_search: texts(&["example.com"]),
        dns_options: texts(&["ndots:1"]),
        extra_hosts: texts(&["10.0.0.9 legacy"]),
        stop_signal: Some("SIGINT".to_owned()),
        stop_grace_period: seconds(20),
        logging: Some(Logging {
            driver: Some("json-file".to_owned()),
            options: map(&[("max-size", "1m")]),
        }),
        replicas: 1,
        placement: Placement {
            constraints: texts(&["node.labels.zone == prod"]),
            spread: texts(&["node.labels.rack"]),
            max_replicas_per_node: Some(2),
        },
        resources: Resources {
            limits: Limits {
                nano_cpus: Some(500_000_000),
                memory: Some(128 << 20),
                pids: Some(100),
            },
            reservations: Limits { memory: Some(64 << 20), ..Limits::default() },
        },
        restart_policy: Some(RestartPolicy {
            condition: Some("on-failure".to_owned()),
            delay: Some(Duration::from_millis(250)),
            max_attempts: Some(3),
            window: seconds(60),
        }),
    }
}

#[test]
fn everything_has_its_place() {
    let release = release(Publish::Host, everything());
    let ids = Ids { secrets: map(&[("db_password", "s1")]), configs: map(&[("settings", "c1")]) };
    let spec = service_spec(&release, Colour::Green, deployment(), &ids);
    assert_eq!(spec["Labels"], labels(&[("owner", "library")]));
    let container = &spec["TaskTemplate"]["ContainerSpec"];
    let expected = json!({
        "Image": release.image.reference(),
        "Labels": labels(&[("team", "books")]),
        "Command": ["/books-ms"],
        "Args": ["serve", "--verbose"],
        "Env": [
            "A=1=2",
            "DB_HOST=books-db",
            "VERDIGRIS_COLOUR=green",
            "VERDIGRIS_RELEASE=0123456789ab",
            "VERDIGRIS_SERVICE=books-ms",
        ],
        "Hostname": "books",
        "Dir": "/data",
        "User": "1000:1000",
        "Groups": ["staff"],
        "TTY": true,
        "OpenStdin": true,
        "ReadOnly": true,
        "Init": false,
        "StopSignal": "SIGINT",
        "StopGracePeriod": 20_000_000_000_u64,
        "Healthcheck": {
            "Test": ["CMD", "/books-ms", "health"],
            "Interval": 1_500_000_000,
            "Timeout": 1_000_000_000,
            "StartPeriod": 5_000_000_000_u64,
            "Retries": 3,
        },
        "Mounts": [
            {
                "Type": "volume", "Source": "books-data", "Target": "/data", "ReadOnly": true,
                "VolumeOptions": {
                    "NoCopy": true,
                    "DriverConfig": { "Name": "local", "Options": { "type": "nfs" } },
                },
            },
            {
                "Type": "bind", "Source": "/srv/books", "Target": "/srv",
                "BindOptions": { "Propagation": "rslave" },
            },
            {
                "Type": "tmpfs", "Target": "/tmp",
                "TmpfsOptions": { "SizeBytes": 1_048_576, "Mode": 1023 },
            },
        ],
        "Hosts": ["10.0.0.9 legacy"],
        "DNSConfig": {
            "Nameservers": ["10.0.0.53"], "Search": ["example.com"], "Options": ["ndots:1"],
        },
        "Secrets": [{
            "File": { "Name": "password", "UID": "0", "GID": "0", "Mode": 288 },
            "SecretID": "s1",
            "SecretName": "db_password",
        }],
        "Configs": [{
            "File": { "Name": "/etc/books.toml", "UID": "1", "GID": "2", "Mode": 292 },
            "ConfigID": "c1",
            "ConfigName": "settings",
        }],
        "CapabilityAdd": ["NET_ADMIN"],
        "CapabilityDrop": ["ALL"],
        "Sysctls": { "net.core.somaxconn": "1024" },
        "Ulimits": [{ "Name": "nofile", "Soft": 1024, "Hard": 4096 }],
    });
    assert_eq!(*container, expected);
    let mut template = spec["TaskTemplate"].clone();
    template["ContainerSpec"] = Value::Null;
    assert_eq!(
        template,
        json!({
            "ContainerSpec": null,
            "Resources": {
                "Limits": { "NanoCPUs": 500_000_000, "MemoryBytes": 134_217_728, "Pids": 100 },
                "Reservations": { "MemoryBytes": 67_108_864 },
            },
            "RestartPolicy": {
                "Condition": "on-failure",
                "Delay": 250_000_000,
                "MaxAttempts": 3,
                "Window": 60_000_000_000_u64,
            },
            "Placement": {
                "Constraints": ["node.labels.zone == prod"],
                "Preferences": [{ "Spread": { "SpreadDescriptor": "node.labels.rack" } }],
                "MaxReplicas": 2,
            },
            "Networks": [{ "Target": "backend", "Aliases": ["books"] }],
            "LogDriver": { "Name": "json-file", "Options": { "max-size": "1m" } },
        })
    );
}

#[test]
fn the_same_release_gives_the_same_bytes() {
    let release = release(Publish::Host, everything());
    let once = || service_spec(&release, Colour::Green, deployment(), &Ids::default()).to_string();
    assert_eq!(once(), once());
}

#[test]
fn options_of_a_volume_without_a_driver_are_the_engines_own() {
    let mount = Mount {
        kind: MountKind::Volume,
        source: Some("books-data".to_owned()),
        target: "/data".to_owned(),
        read_only: false,
        no_copy: false,
        propagation: None,
        tmpfs_size: None,
        tmpfs_mode: None,
        driver: None,
        driver_options: map(&[("type", "nfs")]),
    };
    let expected = json!({ "Name": "local", "Options": { "type": "nfs" } });
    assert_eq!(super::mount(&mount)["VolumeOptions"]["DriverConfig"], expected);
}
