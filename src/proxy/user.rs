//! The user that a proxy's workers should run as.

use std::fs;
use std::path::Path;

use super::settings::Kind;

/// The user that packages of `kind` make for its workers, when there is one. None where we or the
/// proxy's master process are not root: then nobody can become somebody else.
pub(crate) fn of(kind: Kind, pid_file: Option<&Path>) -> Option<String> {
    if !rustix::process::geteuid().is_root() || pid_file.is_some_and(|file| !is_root(file)) {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    named(kind, &users)
}

fn named(kind: Kind, users: &str) -> Option<String> {
    let candidates: &[&str] = match kind {
        Kind::Nginx => &["www-data", "nginx"],
        Kind::Haproxy => &["haproxy"],
    };
    let known = |name: &&&str| users.lines().any(|line| line.split(':').next() == Some(name));
    candidates.iter().find(known).map(|name| (*name).to_owned())
}

/// Whether the process that `pid_file` names runs as root; also when it does not run.
fn is_root(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    effective.and_then(|uids| uids.split_whitespace().nth(1)).is_none_or(|uid| uid == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_s_user_is_found() {
        let users = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:\nnginx:x:99:99::/:\n";
        assert_eq!(named(Kind::Nginx, users).as_deref(), Some("www-data"));
        assert_eq!(
            named(Kind::Nginx, &users.replace("www-data", "other")).as_deref(),
            Some("nginx")
        );
        assert_eq!(named(Kind::Haproxy, users), None);
    }
}
