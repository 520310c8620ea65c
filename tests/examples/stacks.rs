//! The stacks in `compose/`: the sample service, and what operators deploy by `docker stack deploy`.

use std::collections::BTreeSet;
use std::process::Command;

use verdigris::model::Check;
use verdigris::stack::{self, LoadError, Options, Source};

use crate::shell::{commands, names_what_is_there, verb};
use crate::{compose, configuration, text};

/// Those that `docker stack deploy` deploys.
const OPERATED: [&str; 4] = ["consul", "proxy", "registry", "verdigris"];

fn load(source: &Source) -> Result<usize, String> {
    match stack::load(source, &Options::default()) {
        Ok(drafts) => Ok(drafts.len()),
        Err(LoadError::Invalid(problems)) => Err(problems.to_string()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_sample_service_has_gates_of_every_kind_at_every_point() {
    let source = Source::read(&compose("books-ms/stack.yml")).unwrap();
    let draft = stack::load_one(&source, &Options::default()).unwrap();
    assert_eq!(draft.image.to_string(), "127.0.0.1:5000/books-ms:1.0");
    let gates = &draft.policy.gates;
    for point in [&gates.pre_deployment, &gates.pre_integration, &gates.post_integration] {
        assert!(point.iter().any(|gate| matches!(gate.check, Check::Container(_))));
    }
    assert!(gates.pre_deployment.iter().any(|gate| matches!(gate.check, Check::Command(_))));
    assert!(gates.post_integration.iter().any(|gate| matches!(gate.check, Check::Http(_))));
}

#[test]
fn every_stack_is_one_of_these() {
    let mut known = BTreeSet::from(OPERATED);
    known.insert("books-ms");
    let entries = std::fs::read_dir(compose(".")).unwrap().map(|entry| entry.unwrap().path());
    let stacks = entries.filter(|path| path.join("stack.yml").exists());
    let stacks: BTreeSet<String> =
        stacks.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(stacks.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

/// All that Verdigris has to say is that it has nothing to deploy there; and were it to deploy them,
/// that ports are published and services rolled over: every other key is understood.
#[test]
fn the_operators_stacks_are_sound() {
    for name in OPERATED {
        let mut source = Source::read(&compose(&format!("{name}/stack.yml"))).unwrap();
        let problems = load(&source).unwrap_err();
        assert!(problems.contains("no service has an `x-verdigris` block"), "{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
        let image = source.text.find("\n    image:").unwrap();
        source.text.insert_str(image, "\n    x-verdigris: { port: 1 }");
        let problems = load(&source).unwrap_err();
        for line in problems.lines() {
            let expected =
                [".ports:", ".update_config:", "configs.consul_hcl", "configs.verdigris_toml"];
            assert!(expected.iter().any(|key| line.contains(key)), "{line}");
        }
    }
}

/// As Docker itself reads them, where it is installed; it needs no engine for that.
#[test]
fn docker_reads_every_stack() {
    let directory = tempfile::tempdir().unwrap();
    let docker = |arguments: &[&str]| {
        Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("DOCKER_CONFIG", directory.path())
            .output()
    };
    let knows = docker(&["stack", "config", "--help"]);
    if !knows.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("stack config")) {
        eprintln!("left out: there is no `docker stack config` here");
        return;
    }
    for name in OPERATED.into_iter().chain(["books-ms"]) {
        let file = compose(&format!("{name}/stack.yml"));
        let read = docker(&["stack", "config", "-c", file.to_str().unwrap()]).unwrap();
        assert!(read.status.success(), "{name}: {}", String::from_utf8_lossy(&read.stderr));
        let read = String::from_utf8(read.stdout).unwrap();
        assert!(read.contains("image:"), "{read}");
    }
}

/// The commands in a stack's head: in the comments before the first key.
fn head(stack: &str) -> Vec<String> {
    let head = text(&format!("compose/{stack}"));
    let head = head.lines().take_while(|line| line.starts_with('#'));
    let lines = head.filter_map(|line| line.strip_prefix("#   "));
    lines.flat_map(commands).collect()
}

#[tokio::test]
async fn the_commands_in_their_heads_are_right() {
    for stack in OPERATED {
        let lines = head(&format!("{stack}/stack.yml"));
        let deploys = format!("docker stack deploy -c compose/{stack}/stack.yml {stack}");
        assert!(lines.contains(&deploys), "{lines:?}");
        for line in lines.iter().filter(|line| **line != deploys) {
            names_what_is_there(line);
            match line.split(' ').next().unwrap() {
                "mkdir" | "docker" => {}
                "verdigris" => assert_eq!(verb(line), Some("status")),
                _ => panic!("{stack} has `{line}`: say here how it is run"),
            }
        }
    }
    let lines = head("books-ms/stack.yml");
    assert_eq!(lines, ["verdigris deploy books-ms -f compose/books-ms/stack.yml"]);
    let (ran, _daemon) = crate::shell::run(&lines[0]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Daemon, proxy and clients meet at the same paths.
#[test]
fn the_daemon_and_the_proxy_fit_together() {
    let path = compose("verdigris/verdigris.toml");
    let config = configuration::parse(&path, &std::fs::read_to_string(&path).unwrap());
    let (daemon, proxy) = (text("compose/verdigris/stack.yml"), text("compose/proxy/stack.yml"));
    let edge = &config.proxies[0];
    assert!(proxy.contains(&format!("      - {}\n", edge.output.display())), "-f");
    let shared = text("compose/verdigris/verdigris.toml");
    let master = shared.lines().find_map(|line| line.strip_prefix("master_socket = ")).unwrap();
    assert!(proxy.contains(&format!("      - {}\n", master.trim_matches('"'))), "-S");
    let mount = "/srv/verdigris";
    for path in [&config.daemon.state, &edge.output] {
        assert!(path.starts_with(mount), "{}", path.display());
    }
    assert!(daemon.contains(&format!("- {mount}:{mount}\n")));
    assert!(proxy.contains(&format!("- {mount}/proxy:{mount}/proxy\n")));
    let image = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("    image:")).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(image(&daemon), image(&proxy), "what was checked is what runs");
}

/// As Consul itself reads it, where it is installed.
#[test]
fn consul_takes_its_configuration() {
    let file = compose("consul/consul.hcl");
    match Command::new("consul").arg("validate").arg(&file).output() {
        Ok(read) => assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr)),
        Err(_) => eprintln!("left out: there is no `consul` here"),
    }
}
