//! Whether the addresses that a configuration listens on are to be had.
//!
//! The checker does not bind; and a reload that meets a taken port pauses every listener for two
//! seconds. So it is looked for beforehand, in the network namespace of the running process.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use crate::proxy::apart::apart;
use crate::proxy::error::{Error, Result};
use crate::proxy::listener::{covers, name_of};
use crate::proxy::settings::Kind;
use crate::proxy::tcp;

/// Error when an address of a `bind` line in `text` is listened on by a process that is not `HAProxy`
/// process `pid` or one of its kin.
///
/// In a container it may count processes by other numbers than ours: then nothing can be seen.
pub(crate) async fn free(text: &str, pid: i32) -> Result<()> {
    if name_of(pid).is_none_or(|name| name != Kind::Haproxy.as_str()) {
        return Ok(());
    }
    let wanted = addresses(text);
    // A link is read for each of its connections.
    let (ours, taken) = apart(move || tcp::listened(pid, &own(pid))).await?;
    let conflict = conflict(&wanted, &ours, &taken);
    conflict.map_or(Ok(()), |address| Err(Error::Taken { address }))
}

/// The processes whose listeners are the proxy's own: the process, its master and its siblings.
fn own(pid: i32) -> BTreeSet<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let master = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .and_then(|pid| pid.trim().parse::<i32>().ok())
        .filter(|pid| *pid > 1);
    let mut own = BTreeSet::from([pid]);
    if let Some(master) = master {
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = children.unwrap_or_default();
        own.insert(master);
        own.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    own
}

/// The addresses of `bind` lines; what is no plain address (sockets, names, ranges) is left to the
/// reload itself.
fn addresses(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("bind "))
        .filter_map(|rest| rest.split_whitespace().next())
        .flat_map(|list| list.split(','))
        .filter_map(|address| {
            let address = address.trim_start_matches("ipv4@").trim_start_matches("ipv6@");
            match address.strip_prefix('*').unwrap_or(address).strip_prefix(':') {
                Some(port) if !address.starts_with("::") => {
                    let port = port.parse().ok()?;
                    Some(SocketAddr::from(([0, 0, 0, 0], port)))
                }
                _ => address.parse().ok(),
            }
        })
        .collect()
}

/// The first of `wanted` that is `taken`. What is `ours` already is no conflict: a wildcard of IPv6 that
/// leaves IPv4 alone looks as any other.
fn conflict(
    wanted: &[SocketAddr],
    ours: &[SocketAddr],
    taken: &[SocketAddr],
) -> Option<SocketAddr> {
    let mut new = wanted.iter().filter(|wanted| !ours.contains(wanted));
    new.find(|wanted| taken.iter().any(|taken| meet(**wanted, *taken))).copied()
}

/// Whether one cannot be listened on beside the other.
fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip(), b.ip());
    a.port() == b.port() && (one == other || covers(one, other) || covers(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_lines_are_read() {
        let text = "frontend f\n    bind 10.0.0.1:80\n    bind *:81 ssl crt x\n    bind :82,[::1]:83\n    bind unix@/run/x\n";
        let expected = ["10.0.0.1:80", "0.0.0.0:81", "0.0.0.0:82", "[::1]:83"];
        let expected: Vec<SocketAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(addresses(text), expected);
    }

    #[test]
    fn what_is_listened_on_already_is_no_conflict() {
        let wanted: [SocketAddr; 2] = [([0, 0, 0, 0], 80).into(), ([10, 0, 0, 1], 81).into()];
        let taken: [SocketAddr; 2] = ["[::]:80".parse().unwrap(), "[::]:81".parse().unwrap()];
        assert_eq!(conflict(&wanted, &[], &taken), Some(wanted[0]));
        assert_eq!(conflict(&wanted, &wanted[..1], &taken), Some(wanted[1]));
        assert_eq!(conflict(&wanted, &wanted, &taken), None);
    }

    #[test]
    fn an_address_meets_the_wildcard_on_its_port() {
        let address = |text: &str| text.parse().unwrap();
        assert!(meet(address("10.0.0.1:80"), address("0.0.0.0:80")));
        assert!(!meet(address("10.0.0.1:80"), address("10.0.0.2:80")));
        assert!(!meet(address("10.0.0.1:80"), address("0.0.0.0:81")));
        assert!(meet(address("[::]:80"), address("10.0.0.1:80")));
        assert!(meet(address("[::]:80"), address("0.0.0.0:80")));
        assert!(!meet(address("[::1]:80"), address("0.0.0.0:80")));
    }
}
