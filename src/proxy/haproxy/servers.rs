//! The servers of backends in a running process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::sockets::{Process, Sockets};
use crate::proxy::error::{Error, Result};

/// The addresses that each backend is to have.
pub(crate) type Wanted = BTreeMap<String, BTreeSet<SocketAddr>>;

/// A server line of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    name: String,
    address: Option<SocketAddr>,
    /// It gets requests.
    ready: bool,
}

/// The bit of `srv_admin_state` that says: in maintenance because it was told so.
const MAINTENANCE: u32 = 0x01;

/// Make the servers of `process` those that are `wanted`, and read them back. No server that gets
/// requests is ever given another address: requests would go to the old one for up to 0.3 s.
pub(crate) async fn agree(sockets: &Sockets, process: &Process, wanted: &Wanted) -> Result<()> {
    let now = read(sockets, process, "").await?;
    let mut commands = Vec::new();
    for (backend, addresses) in wanted {
        let slots = now.get(backend).map_or(&[][..], Vec::as_slice);
        commands.extend(moves(backend, slots, addresses)?);
    }
    if commands.is_empty() {
        return Ok(());
    }
    sockets.tell(process, &commands).await?;
    let now = read(sockets, process, "").await?;
    for (backend, addresses) in wanted {
        let slots = now.get(backend).map_or(&[][..], Vec::as_slice);
        if served(slots) != *addresses {
            return Err(missing(backend, addresses, &served(slots)));
        }
    }
    Ok(())
}

/// The commands that lead from `slots` to `wanted`: new instances first, then those that go.
fn moves(backend: &str, slots: &[Slot], wanted: &BTreeSet<SocketAddr>) -> Result<Vec<String>> {
    let served = served(slots);
    let mut free = slots.iter().filter(|slot| !slot.ready);
    let mut commands = Vec::new();
    for address in wanted.difference(&served) {
        let Some(slot) = free.next() else {
            return Err(missing(backend, wanted, &served));
        };
        let target = format!("{backend}/{}", slot.name);
        commands.push(format!("set server {target} addr {} port {}", address.ip(), address.port()));
        commands.push(format!("set server {target} state ready"));
    }
    let gone = |slot: &&Slot| slot.ready && slot.address.is_none_or(|a| !wanted.contains(&a));
    for slot in slots.iter().filter(gone) {
        commands.push(format!("set server {backend}/{} state maint", slot.name));
    }
    Ok(commands)
}

fn served(slots: &[Slot]) -> BTreeSet<SocketAddr> {
    let ready = slots.iter().filter(|slot| slot.ready);
    ready.filter_map(|slot| slot.address).collect()
}

fn missing(backend: &str, wanted: &BTreeSet<SocketAddr>, served: &BTreeSet<SocketAddr>) -> Error {
    let lacking: Vec<String> = wanted.difference(served).map(ToString::to_string).collect();
    Error::Missing {
        what: if lacking.is_empty() {
            format!("backend `{backend}` without instances that are gone")
        } else {
            format!("{} in backend `{backend}`", lacking.join(", "))
        },
    }
}

/// The backends of `process` that serve as they are: by nobody but instances that are `wanted`.
pub(crate) async fn fit(
    sockets: &Sockets,
    process: &Process,
    wanted: &Wanted,
) -> Result<BTreeSet<String>> {
    let now = read(sockets, process, "").await?;
    let fits = |backend: &&String| {
        let served = now.get(*backend).map(|slots| served(slots)).unwrap_or_default();
        wanted.get(*backend).is_some_and(|wanted| is_fit(&served, wanted))
    };
    Ok(now.keys().filter(fits).cloned().collect())
}

/// The instances that `backend` of `process` serves by.
pub(crate) async fn served_by(
    sockets: &Sockets,
    process: &Process,
    backend: &str,
) -> Result<BTreeSet<SocketAddr>> {
    let now = read(sockets, process, backend).await?;
    Ok(now.get(backend).map(|slots| served(slots)).unwrap_or_default())
}

/// Whether who serves by `served` serves by nobody but instances that are `wanted`.
pub(crate) fn is_fit(served: &BTreeSet<SocketAddr>, wanted: &BTreeSet<SocketAddr>) -> bool {
    !served.is_empty() && served.is_subset(wanted)
}

/// The servers of every backend, or of `backend` where one is named; none of one that there is not.
async fn read(
    sockets: &Sockets,
    process: &Process,
    backend: &str,
) -> Result<BTreeMap<String, Vec<Slot>>> {
    let listed = sockets.ask(process, &format!("show servers state {backend}")).await?;
    let mut found: BTreeMap<String, Vec<Slot>> = BTreeMap::new();
    for (backend, slot) in listed.lines().filter_map(parse) {
        found.entry(backend).or_default().push(slot);
    }
    Ok(found)
}

/// A line of `show servers state`: backend, server, address, administrative state and port by place.
fn parse(line: &str) -> Option<(String, Slot)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let state: u32 = fields.get(6)?.parse().ok()?;
    let port: u16 = fields.get(18)?.parse().ok()?;
    let ip = fields.get(4)?.parse().ok();
    let slot = Slot {
        name: (*fields.get(3)?).to_owned(),
        address: ip.map(|ip| SocketAddr::new(ip, port)),
        ready: state & MAINTENANCE == 0,
    };
    Some(((*fields.get(1)?).to_owned(), slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str, address: &str, ready: bool) -> Slot {
        Slot { name: name.to_owned(), address: address.parse().ok(), ready }
    }

    #[test]
    fn a_line_is_read() {
        let line = "4 books-ms-blue 1 s1 127.0.0.1 2 0 1 1 0 6 3 2 6 0 0 0 - 19001 - 0 0 - - 0";
        let expected = ("books-ms-blue".to_owned(), slot("s1", "127.0.0.1:19001", true));
        assert_eq!(parse(line), Some(expected));
        let spare = line.replace(" 2 0 1 1 ", " 0 5 1 1 ");
        assert!(parse(&spare).is_some_and(|(_, slot)| !slot.ready));
        assert_eq!(parse("# be_id be_name srv_id"), None);
    }

    #[test]
    fn new_ones_come_before_old_ones_go_and_busy_slots_keep_their_address() {
        let slots = [slot("s1", "10.0.0.1:80", true), slot("s2", "127.0.0.1:1", false)];
        let wanted = BTreeSet::from(["10.0.0.2:80".parse().unwrap()]);
        assert_eq!(
            moves("b", &slots, &wanted).unwrap(),
            [
                "set server b/s2 addr 10.0.0.2 port 80",
                "set server b/s2 state ready",
                "set server b/s1 state maint"
            ]
        );
    }

    #[test]
    fn a_backend_fits_that_serves_by_nobody_else() {
        let set = |list: &[&str]| list.iter().map(|address| address.parse().unwrap()).collect();
        let wanted: BTreeSet<SocketAddr> = set(&["10.0.0.1:80", "10.0.0.2:80"]);
        assert!(is_fit(&set(&["10.0.0.1:80"]), &wanted));
        assert!(!is_fit(&set(&["10.0.0.1:80", "10.0.0.3:80"]), &wanted));
        assert!(!is_fit(&set(&[]), &wanted));
    }

    #[test]
    fn too_few_slots_are_an_error() {
        let slots = [slot("s1", "10.0.0.1:80", true)];
        let wanted = BTreeSet::from(["10.0.0.2:80".parse().unwrap()]);
        let error = moves("b", &slots, &wanted).unwrap_err().to_string();
        assert_eq!(error, "the running proxy does not have 10.0.0.2:80 in backend `b`");
    }
}
