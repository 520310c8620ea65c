//! The machine under the testbeds: what of one could be left on it, and what of itself nobody may touch.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::run;

/// Ports of the host that a testbed could take by mistake: proxies, Docker, Swarm, Consul, registries.
const PORTS: [&str; 10] =
    ["80", "443", "2375", "2377", "4789", "5000", "5001", "7946", "8500", "9180"];

/// Everything on the machine that belongs to the testbed `name`; nothing once it is down.
pub fn traces(name: &str) -> Vec<String> {
    let directory = format!("/var/lib/verdigris-testbed-{name}");
    let namespace = format!("verdigris-{name}-");
    let group = format!("verdigris-testbed/{name}");
    let there = Path::new(&directory).exists().then(|| format!("directory {directory}"));
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter(|it| it.contains(&directory) || it.contains(&namespace));
    let namespaces = entries("/run/netns").filter(|name| name.starts_with(&namespace));
    let alias = format!("verdigris-testbed {name} ");
    let interfaces = entries("/sys/class/net")
        .filter(|it| read(&format!("/sys/class/net/{it}/ifalias")).starts_with(&alias));
    let processes = entries("/proc").filter_map(|pid| process(&pid, &directory, &group));
    let groups = said("find", &["/sys/fs/cgroup", "-type", "d", "-path", &format!("*/{group}")]);
    there
        .into_iter()
        .chain(mounts.map(|it| format!("mount {it}")))
        .chain(namespaces.map(|it| format!("namespace {it}")))
        .chain(interfaces.map(|it| format!("interface {it}")))
        .chain(processes)
        .chain(groups.lines().map(|it| format!("control group {it}")))
        .collect()
}

/// A process of the testbed in `directory` with control groups below `group`.
fn process(pid: &str, directory: &str, group: &str) -> Option<String> {
    pid.parse::<u32>().ok()?;
    let line = read(&format!("/proc/{pid}/cmdline")).replace('\0', " ");
    // It is ending, or a zombie: nothing is left of it but what its parent may ask.
    if line.is_empty() {
        return None;
    }
    let named = line.contains(&format!("{directory}/"));
    let grouped = read(&format!("/proc/{pid}/cgroup")).contains(&format!("{group}/"));
    (named || grouped).then(|| format!("process {pid} {line}"))
}

/// What is the host's own, leaving out what testbeds, this one or others, are allowed to have.
pub fn host() -> BTreeMap<&'static str, String> {
    let without = |text: String, words: &[&str]| {
        let lines = text.lines().filter(|line| !words.iter().any(|word| line.contains(word)));
        lines.collect::<Vec<_>>().join("\n")
    };
    let there = ["/var/run/docker.sock", "/var/lib/docker", "/etc/docker", "/opt/containerd"];
    let there = there.map(|path| format!("{path}: {}", Path::new(path).exists()));
    let listening = said("ss", &["-Hltnu"]);
    let listening = listening.lines().filter_map(|line| line.split_whitespace().nth(4));
    let listening =
        listening.filter(|at| PORTS.iter().any(|port| at.ends_with(&format!(":{port}"))));
    // Counters of packets are in brackets, the time of day in comments.
    let rules = said("iptables-save", &[]);
    let rules = rules.lines().filter(|line| !line.starts_with('#'));
    let rules = rules.map(|line| line.split('[').next().unwrap_or(line));
    BTreeMap::from([
        ("interfaces", without(said("ip", &["-br", "link"]), &["vgd"])),
        ("addresses", without(said("ip", &["-br", "address"]), &["vgd"])),
        ("routes", without(said("ip", &["route"]), &["vgd"])),
        ("mounts", without(read("/proc/self/mounts"), &["verdigris", " /run/netns "])),
        ("packet filter", rules.collect::<Vec<_>>().join("\n")),
        ("host name", read("/proc/sys/kernel/hostname")),
        ("forwarding", read("/proc/sys/net/ipv4/ip_forward")),
        ("ports", listening.collect::<Vec<_>>().join("\n")),
        ("directories", there.join("\n")),
    ])
}

/// A script of the project, on the testbed `name`; its exit code, and all that it says.
pub fn script(path: &str, name: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = run::building(run::root().join(path));
    let output = command.args(arguments).env("TESTBED_NAME", name).output().unwrap();
    let words = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    (output.status.code().unwrap_or(-1), words.concat())
}

fn read(path: &str) -> String {
    std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

fn entries(directory: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("PATH", run::path()).output();
    output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default()
}
