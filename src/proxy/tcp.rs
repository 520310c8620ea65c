//! TCP sockets as `/proc/<pid>/net/tcp` shows them: those of the network namespace of a process,
//! which need not be ours.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Connection states, as the kernel writes them.
const ESTABLISHED: u8 = 0x01;
const SYN_SENT: u8 = 0x02;
const LISTEN: u8 = 0x0A;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    inode: String,
}

/// Whether one of `processes`, which share a network namespace, has a connection to any of
/// `addresses` on which an answer may still come: one that its peer has closed does not count, and
/// sockets of other processes do not either, where it can be seen whose they are.
pub(crate) fn connected(processes: &[i32], addresses: &BTreeSet<SocketAddr>) -> bool {
    let Some(sockets) = processes.iter().find_map(|pid| sockets(*pid)) else {
        return false;
    };
    let busy = |socket: &Socket| {
        matches!(socket.state, ESTABLISHED | SYN_SENT) && addresses.contains(&socket.remote)
    };
    let inodes = sockets.into_iter().filter(busy).map(|socket| socket.inode);
    let inodes: BTreeSet<String> = inodes.collect();
    !inodes.is_empty() && processes.iter().any(|pid| may_hold(held(*pid), &inodes))
}

/// Whether a process that holds `held` holds one of `inodes`, or may do so.
fn may_hold(held: Option<BTreeSet<String>>, inodes: &BTreeSet<String>) -> bool {
    held.is_none_or(|held| !held.is_disjoint(inodes))
}

/// The addresses that are listened on in the network namespace of `pid`: by the processes `own`, and by
/// others; none where it cannot be seen whose they are.
pub(crate) fn listened(pid: i32, own: &BTreeSet<i32>) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let Some(held) = held_by(own) else {
        return (Vec::new(), Vec::new());
    };
    let (ours, others): (Vec<_>, Vec<_>) =
        listeners(pid).into_iter().partition(|(_, inode)| held.contains(inode));
    let addresses =
        |found: Vec<(SocketAddr, String)>| found.into_iter().map(|(at, _)| at).collect();
    (addresses(ours), addresses(others))
}

/// The addresses that are listened on in the network namespace of `pid`, with the inode of each socket.
pub(crate) fn listeners(pid: i32) -> Vec<(SocketAddr, String)> {
    let sockets = sockets(pid).unwrap_or_default().into_iter();
    let listens = sockets.filter(|socket| socket.state == LISTEN);
    listens.map(|socket| (socket.local, socket.inode)).collect()
}

/// Inodes of the sockets that `processes` have open; nothing where we may not look.
pub(crate) fn held_by(processes: &BTreeSet<i32>) -> Option<BTreeSet<String>> {
    let held = processes.iter().map(|pid| held(*pid)).collect::<Option<Vec<_>>>()?;
    Some(held.into_iter().flatten().collect())
}

/// The sockets in the network namespace of `pid`; none when it has gone.
fn sockets(pid: i32) -> Option<Vec<Socket>> {
    let v4 = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    let v6 = fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap_or_default();
    Some(v4.lines().chain(v6.lines()).filter_map(parse).collect())
}

/// Inodes of the sockets that `pid` has open, none when it has gone; nothing where we may not look: at
/// processes of other users, unless we are root.
pub(crate) fn held(pid: i32) -> Option<BTreeSet<String>> {
    let inode = |descriptor: io::Result<fs::DirEntry>| {
        let link = fs::read_link(descriptor?.path())?;
        let socket = link.to_str().and_then(|link| link.strip_prefix("socket:["));
        Ok(socket.and_then(|socket| socket.strip_suffix(']')).map(str::to_owned))
    };
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(descriptors) => descriptors.map(inode),
        Err(error) => return may_look(&error).then(BTreeSet::new),
    };
    let mut found = BTreeSet::new();
    for inode in descriptors {
        match inode {
            Ok(inode) => found.extend(inode),
            Err(error) if may_look(&error) => {}
            Err(_) => return None,
        }
    }
    Some(found)
}

/// What is not there any more is no matter of permission.
fn may_look(error: &io::Error) -> bool {
    error.kind() != ErrorKind::PermissionDenied
}

fn parse(line: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    Some(Socket {
        local: address(fields.next()?)?,
        remote: address(fields.next()?)?,
        state: u8::from_str_radix(fields.next()?, 16).ok()?,
        inode: fields.nth(5)?.to_owned(),
    })
}

/// `0100007F:1F90`: the address in words of the host's byte order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| u32::from_str_radix(ip.get(index * 8..index * 8 + 8)?, 16).ok();
    let words: Option<Vec<u32>> = (0..ip.len() / 8).map(word).collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => Ipv4Addr::from(four).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_are_read() {
        let line = "   3: 0100007F:B0AC 0200000A:1F90 01 00000000:00000000 00:00000000 00000000     0        0 84331 1 0 20 4 30 10 -1";
        let socket = Socket {
            local: "127.0.0.1:45228".parse().unwrap(),
            remote: "10.0.0.2:8080".parse().unwrap(),
            state: ESTABLISHED,
            inode: "84331".to_owned(),
        };
        assert_eq!(parse(line), Some(socket));
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn mapped_addresses_are_the_same() {
        let mapped = address("0000000000000000FFFF00000200000A:1F90");
        assert_eq!(mapped, Some("10.0.0.2:8080".parse().unwrap()));
        let v6 = address("B80D0120000000000000000001000000:0050");
        assert_eq!(v6, Some("[2001:db8::1]:80".parse().unwrap()));
    }

    #[test]
    fn our_own_connection_is_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = BTreeSet::from([listener.local_addr().unwrap()]);
        assert!(!connected(&[me()], &wanted));
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(connected(&[me()], &wanted));
        drop(client);
        assert!(!connected(&[me()], &wanted));
    }

    #[test]
    fn who_cannot_be_looked_into_may_hold_anything() {
        let inodes = BTreeSet::from(["7".to_owned()]);
        assert!(may_hold(None, &inodes));
        assert!(!may_hold(Some(BTreeSet::new()), &inodes));
        assert!(may_hold(Some(inodes.clone()), &inodes));
        assert!(!may_look(&ErrorKind::PermissionDenied.into()));
        assert_eq!(held(i32::MAX), Some(BTreeSet::new()), "it is not there");
    }

    #[test]
    fn our_own_listener_is_not_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, others) = listened(me(), &BTreeSet::from([me()]));
        assert!(ours.contains(&address) && !others.contains(&address));
        let (ours, others) = listened(me(), &BTreeSet::new());
        assert!(!ours.contains(&address) && others.contains(&address));
    }
}
