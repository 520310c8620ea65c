//! Changes of what a keeper holds: pure.

use std::sync::Arc;

use crate::model::{Backend, Colour, RouteRule, ServiceName, ServiceView};
use crate::proxy::error::{Error, Result};
use crate::proxy::routing::{self, Entries, Entry, NextRule};

use super::plan::Need;

/// A change that is not a flip.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Put instances into the idle colour.
    Stage { view: ServiceView, colour: Colour, backends: Vec<Backend>, what: Staged },
    /// Put everything of a service back.
    Restore { service: ServiceName, before: Option<ServiceView> },
    /// Forget the instances of a colour.
    Retire { service: ServiceName, colour: Colour },
    /// Replace the instances of a colour.
    Refresh { service: ServiceName, colour: Colour, backends: Vec<Backend> },
}

/// What is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staged {
    /// What has never served: it has to work with the template on disk.
    New,
    /// What served before: whoever brings it back is in a hurry.
    Earlier,
}

impl Change {
    /// The service that it is about.
    pub fn service(&self) -> &ServiceName {
        match self {
            Self::Stage { view, .. } => &view.service,
            Self::Restore { service, .. }
            | Self::Retire { service, .. }
            | Self::Refresh { service, .. } => service,
        }
    }

    /// How far it must come.
    pub fn need(&self) -> Need {
        match self {
            Self::Stage { what: Staged::New, .. } => Need::All,
            Self::Stage { what: Staged::Earlier, .. } => Need::Back,
            Self::Restore { .. } | Self::Retire { .. } | Self::Refresh { .. } => Need::Live,
        }
    }

    /// The entries after it. Answers a line worth reporting where not all of it was taken.
    pub fn apply(&self, entries: &mut Entries) -> Result<Option<String>> {
        match self {
            Self::Stage { view, colour, backends, .. } => {
                stage(entries, view, *colour, backends).map(|()| None)
            }
            Self::Restore { service, before } => {
                restore(entries, service, before.as_ref());
                Ok(None)
            }
            Self::Retire { service, colour } => {
                if let Some(entry) = entries.get_mut(service)
                    && entry.view.live != Some(*colour)
                {
                    Arc::make_mut(entry).view.backends.remove(colour);
                }
                Ok(None)
            }
            Self::Refresh { service, colour, backends } => {
                refresh(entries, service, *colour, backends)
            }
        }
    }
}

fn stage(
    entries: &mut Entries,
    view: &ServiceView,
    colour: Colour,
    backends: &[Backend],
) -> Result<()> {
    routing::admit(&view.service, &view.rule, entries)?;
    let service = view.service.clone();
    if backends.is_empty() {
        return Err(Error::Empty { service, colour });
    }
    let new = || Arc::new(Entry { view: view.clone(), next: None });
    let entry = Arc::make_mut(entries.entry(service).or_insert_with(new));
    adopt(entry, view);
    take_rule(entry, &view.rule, colour);
    put(&mut entry.view, colour, backends);
    Ok(())
}

/// What the caller knows of the live colour and we do not.
fn adopt(entry: &mut Entry, view: &ServiceView) {
    if entry.view.live.is_none() {
        entry.view.live = view.live;
    }
    if let Some(live) = entry.view.live
        && entry.view.of(live).is_empty()
    {
        put(&mut entry.view, live, view.of(live));
    }
}

/// A rule is taken over at once where nobody is served by the old one, else with the flip.
fn take_rule(entry: &mut Entry, rule: &RouteRule, with: Colour) {
    entry.next = None;
    if entry.view.live.is_none() {
        entry.view.rule = rule.clone();
    } else if entry.view.rule != *rule {
        entry.next = Some(NextRule { with, rule: rule.clone() });
    }
}

fn put(view: &mut ServiceView, colour: Colour, backends: &[Backend]) {
    let mut backends = backends.to_vec();
    backends.sort();
    backends.dedup_by(|a, b| a.address == b.address);
    if backends.is_empty() {
        view.backends.remove(&colour);
    } else {
        view.backends.insert(colour, backends);
    }
}

fn restore(entries: &mut Entries, service: &ServiceName, before: Option<&ServiceView>) {
    let Some(before) = before else {
        entries.remove(service);
        return;
    };
    let mut view = before.clone();
    // The instances of the colour that is to be live again may have been replaced meanwhile: those
    // that were known then would serve nobody.
    if let (Some(live), Some(now)) = (view.live, entries.get(service))
        && !now.view.of(live).is_empty()
    {
        put(&mut view, live, now.view.of(live));
    }
    entries.insert(service.clone(), Arc::new(Entry { view, next: None }));
}

fn refresh(
    entries: &mut Entries,
    service: &ServiceName,
    colour: Colour,
    backends: &[Backend],
) -> Result<Option<String>> {
    let Some(entry) = entries.get_mut(service) else {
        return Err(Error::Unknown(service.clone()));
    };
    if backends.is_empty() && entry.view.live == Some(colour) {
        return Ok(Some(format!(
            "`{service}` has no instance any more as {colour}, its live colour: the last ones known are kept"
        )));
    }
    put(&mut Arc::make_mut(entry).view, colour, backends);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn backend(address: &str) -> Backend {
        Backend { task: address.to_owned(), address: address.parse().unwrap() }
    }

    fn view(live: Option<Colour>) -> ServiceView {
        ServiceView {
            service: name("books"),
            rule: RouteRule {
                hosts: vec!["books.example.com".to_owned()],
                path: "/".to_owned(),
                tls: false,
            },
            live,
            generation: 1,
            backends: BTreeMap::new(),
        }
    }

    fn stage(view: ServiceView, colour: Colour, address: &str) -> Change {
        Change::Stage { view, colour, backends: vec![backend(address)], what: Staged::New }
    }

    fn go_live(entries: &mut Entries) {
        Arc::make_mut(entries.get_mut(&name("books")).unwrap()).make_live(Colour::Blue);
    }

    #[test]
    fn a_new_rule_waits_for_the_flip_when_somebody_is_served() {
        let mut entries = Entries::new();
        stage(view(None), Colour::Blue, "10.0.0.1:80").apply(&mut entries).unwrap();
        go_live(&mut entries);
        let mut moved = view(Some(Colour::Blue));
        moved.rule.path = "/new".to_owned();
        stage(moved, Colour::Green, "10.0.0.2:80").apply(&mut entries).unwrap();
        let entry = &entries[&name("books")];
        assert_eq!(entry.rule_of(Colour::Blue).path, "/");
        assert_eq!(entry.rule_of(Colour::Green).path, "/new");
    }

    #[test]
    fn a_live_colour_never_loses_its_last_instance() {
        let mut entries = Entries::new();
        stage(view(None), Colour::Blue, "10.0.0.1:80").apply(&mut entries).unwrap();
        go_live(&mut entries);
        let before = entries.clone();
        let change =
            Change::Refresh { service: name("books"), colour: Colour::Blue, backends: Vec::new() };
        assert!(change.apply(&mut entries).unwrap().is_some());
        let change = Change::Retire { service: name("books"), colour: Colour::Blue };
        change.apply(&mut entries).unwrap();
        assert_eq!(entries, before);
    }

    #[test]
    fn a_restore_keeps_live_instances_that_were_replaced_meanwhile() {
        let mut entries = Entries::new();
        stage(view(None), Colour::Blue, "10.0.0.1:80").apply(&mut entries).unwrap();
        go_live(&mut entries);
        let before = entries[&name("books")].view.clone();
        stage(view(Some(Colour::Blue)), Colour::Green, "10.0.0.2:80").apply(&mut entries).unwrap();
        let refresh = Change::Refresh {
            service: name("books"),
            colour: Colour::Blue,
            backends: vec![backend("10.0.0.9:80")],
        };
        refresh.apply(&mut entries).unwrap();
        let restore = Change::Restore { service: name("books"), before: Some(before) };
        restore.apply(&mut entries).unwrap();
        let view = &entries[&name("books")].view;
        assert_eq!(view.of(Colour::Blue), [backend("10.0.0.9:80")]);
        assert!(view.of(Colour::Green).is_empty());
    }

    #[test]
    fn another_services_route_is_not_taken() {
        let mut entries = Entries::new();
        stage(view(None), Colour::Blue, "10.0.0.1:80").apply(&mut entries).unwrap();
        let mut other = view(None);
        other.service = name("other");
        let error = stage(other, Colour::Blue, "10.0.0.3:80").apply(&mut entries).unwrap_err();
        assert_eq!(
            error.to_string(),
            "route `books.example.com/` belongs to service `books` already: change one of the two"
        );
    }
}
