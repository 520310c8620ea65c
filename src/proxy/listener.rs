//! Who listens on an address, as `/proc` shows it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use super::tcp;

/// Who is connected to by whoever connects to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listener {
    /// One of the processes that were asked for.
    Own,
    /// Another one.
    Other(Process),
    /// Nobody of whom it can be seen: in another network namespace, on another host, or a process of
    /// somebody else.
    Unseen,
}

/// A process, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: i32,
    pub name: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (process {})", self.name, self.pid)
    }
}

/// Who listens on `address` in the network namespace of the processes `own`; in ours when there are
/// none.
pub(crate) fn at(address: SocketAddr, own: &BTreeSet<i32>) -> Listener {
    let Some(ours) = tcp::held_by(own) else {
        return Listener::Unseen;
    };
    let us = i32::try_from(std::process::id()).unwrap_or_default();
    let sockets = serving(address, tcp::listeners(own.first().copied().unwrap_or(us)));
    if sockets.iter().any(|inode| ours.contains(inode)) {
        return Listener::Own;
    }
    sockets.iter().find_map(|inode| holder(inode)).map_or(Listener::Unseen, Listener::Other)
}

/// The sockets that a connection to `address` may end at: those of the address itself before those of
/// every address.
fn serving(address: SocketAddr, listeners: Vec<(SocketAddr, String)>) -> Vec<String> {
    let on_port = listeners.into_iter().filter(|(local, _)| local.port() == address.port());
    let (exact, others): (Vec<_>, Vec<_>) =
        on_port.partition(|(local, _)| local.ip() == address.ip());
    let wild = others.into_iter().filter(|(local, _)| covers(local.ip(), address.ip()));
    let found = if exact.is_empty() { wild.collect() } else { exact };
    found.into_iter().map(|(_, inode)| inode).collect()
}

/// Whether `one` stands for every address of the kind of `other`; that of IPv6 mostly stands for those
/// of IPv4 as well.
pub(crate) fn covers(one: IpAddr, other: IpAddr) -> bool {
    one.is_unspecified() && (one.is_ipv6() || other.is_ipv4())
}

/// The process that has the socket `inode` open.
fn holder(inode: &str) -> Option<Process> {
    let names = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.file_name());
    let mut pids = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    let pid = pids.find(|pid| tcp::held(*pid).is_some_and(|held| held.contains(inode)))?;
    Some(Process { pid, name: name_of(pid)? })
}

/// What process `pid` of this host is called; none when there is no such process.
pub(crate) fn name_of(pid: i32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_address_itself_comes_before_every_address() {
        let listeners = |list: &[(&str, &str)]| {
            list.iter().map(|(local, inode)| (address(local), (*inode).to_owned())).collect()
        };
        let all = [("0.0.0.0:80", "1"), ("10.0.0.1:80", "2"), ("[::]:80", "3"), ("[::1]:81", "4")];
        assert_eq!(serving(address("10.0.0.1:80"), listeners(&all)), ["2"]);
        assert_eq!(serving(address("10.0.0.2:80"), listeners(&all)), ["1", "3"]);
        assert_eq!(serving(address("10.0.0.1:81"), listeners(&all)), Vec::<String>::new());
    }

    #[test]
    fn who_listens_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(at(local, &BTreeSet::from([pid])), Listener::Own);
        let Listener::Other(process) = at(local, &BTreeSet::new()) else {
            panic!("it is not seen");
        };
        assert_eq!((process.pid, Some(process.name)), (pid, name_of(pid)));
        drop(socket);
        assert_eq!(at(local, &BTreeSet::new()), Listener::Unseen);
    }
}
