//! A stack file as a whole: which services it deploys, and each of them.

use std::io::ErrorKind;

use crate::document::{
    At, Entry, Node, Place, Problems, Read, Table, Value, is_extension, nearest, parse_yaml,
};
use crate::model::{Draft, ImageRef, Policy, Publish, ServiceName, Workload};

use super::block::Block;
use super::compose::{Service, has_block, refuse_at_top};
use super::declared::Declared;
use super::interpolate::Variables;
use super::load::{Options, Source};
use super::policy::policy;
use super::workload::{Surroundings, workload};
use super::{BLOCK, dotenv};

/// The drafts of the chosen services. What is wrong is reported; the drafts are whole only when
/// nothing was.
pub(super) fn drafts(source: &Source, options: &Options, problems: &mut Problems) -> Vec<Draft> {
    match parse_yaml(&source.name, &source.text, problems) {
        Some(root) => drafts_in(&root, source, options, problems),
        None => Vec::new(),
    }
}

/// The same of a text that is parsed.
pub(super) fn drafts_in(
    root: &Node,
    source: &Source,
    options: &Options,
    problems: &mut Problems,
) -> Vec<Draft> {
    let variables = variables(source, options, problems);
    let Some(services) = services(root, problems) else { return Vec::new() };
    let chosen = choose(services, options.service.as_deref(), problems);
    let around = Surroundings {
        declared: Declared { root, variables: &variables },
        variables: &variables,
        base: &source.base,
    };
    let image = options.image.as_ref();
    let drafts = chosen.into_iter().filter_map(|entry| draft(entry, image, &around, problems));
    let drafts: Vec<Placed> = drafts.collect();
    refuse_same_routes(&drafts, problems);
    drafts.into_iter().map(|placed| placed.draft).collect()
}

/// A draft, and where its route names the hosts.
struct Placed {
    draft: Draft,
    hosts: Option<Place>,
}

impl Placed {
    /// The first host that `other` has under the same path.
    fn shares<'a>(&'a self, other: &Self) -> Option<(&'a str, &'a str)> {
        let (ours, theirs) =
            (self.draft.policy.route.as_ref()?, other.draft.policy.route.as_ref()?);
        let host = ours.hosts.iter().find(|host| theirs.hosts.contains(host))?;
        (ours.path == theirs.path).then_some((host, &ours.path))
    }
}

/// No two services have the same host and path: the second to be deployed would be refused.
fn refuse_same_routes(drafts: &[Placed], problems: &mut Problems) {
    for (index, draft) in drafts.iter().enumerate() {
        let mut others = drafts[..index].iter();
        let taken = others.find_map(|other| Some((other, draft.shares(other)?)));
        if let (Some((other, (host, path))), Some(place)) = (taken, &draft.hosts) {
            let owner = &other.draft.service;
            let at = other.hosts.as_ref().map_or_else(String::new, |place| {
                format!(" at {}:{}:{}", place.file, place.line, place.column)
            });
            let what = format!("the route {host}{path} is that of service `{owner}`{at}, too");
            problems.report(place, what, "give one of the two another host or path");
        }
    }
}

/// The process's variables, then those of `.env` beside the file.
fn variables(source: &Source, options: &Options, problems: &mut Problems) -> Variables {
    let mut variables: Variables = options.environment.clone().into_iter().collect();
    let path = source.base.join(".env");
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return variables,
        Err(error) => {
            let what = format!("it cannot be read: {error}");
            problems.report(&Place::start(&name), what, "mend or remove it");
            return variables;
        }
    };
    for (name, value) in dotenv::parse(&text, &name, &variables.clone(), problems) {
        if let Some(value) = value {
            variables.add(name, value);
        }
    }
    variables
}

/// The node of `services`; the keys beside it are checked too.
fn services<'a>(root: &'a Node, problems: &mut Problems) -> Option<&'a Node> {
    if root.is_empty() {
        problems.report(&root.place, "the stack file is empty", "add `services`");
        return None;
    }
    let mut top = Table::open(root, problems)?;
    let _: Option<Option<String>> = top.take("version", problems);
    let _: Option<Option<String>> = top.take("name", problems);
    for section in ["networks", "volumes", "secrets", "configs"] {
        let _: Option<Option<Mapping>> = top.take(section, problems);
    }
    let services: Option<Mapping> = top.take("services", problems);
    top.close(true, refuse_at_top, problems);
    services.and_then(|_| root.get("services"))
}

/// Any table, its keys not looked at.
struct Mapping;

impl Read for Mapping {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        Table::open(node, problems).map(|_| Self)
    }
}

/// The services to deploy: the one that is `wanted`, or all with a block.
fn choose<'a>(services: &'a Node, wanted: Option<&str>, problems: &mut Problems) -> Vec<&'a Entry> {
    let entries = services.entries();
    let ours: Vec<_> = entries.iter().filter(|entry| has_block(&entry.value)).collect();
    let Some(wanted) = wanted else {
        let others = entries.iter().filter(|entry| !has_block(&entry.value));
        others.for_each(|entry| report_misspelt(entry, problems));
        if ours.is_empty() {
            let what = format!("no service has an `{BLOCK}` block");
            problems.report(&services.place, what, "add it to the service to deploy");
        }
        return ours;
    };
    match entries.iter().find(|entry| entry.key == wanted) {
        Some(entry) if has_block(&entry.value) => return vec![entry],
        Some(entry) => {
            report_misspelt(entry, problems);
            let what = format!("`{wanted}` has no `{BLOCK}` block");
            problems.report(&entry.place, what, "add it, with `port` at least");
        }
        None => {
            let names: Vec<_> = ours.iter().map(|entry| entry.key.as_str()).collect();
            let remedy = match nearest(wanted, names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if names.is_empty() => format!("add it, with an `{BLOCK}` block"),
                None => format!("those to deploy are {}", names.join(", ")),
            };
            problems.report(&services.place, format!("there is no service `{wanted}`"), remedy);
        }
    }
    Vec::new()
}

/// A block under a name that is only almost right.
fn report_misspelt(service: &Entry, problems: &mut Problems) {
    let keys = service.value.entries().iter();
    for entry in keys.filter(|entry| entry.key.starts_with("x-") && !is_extension(&entry.key)) {
        let what = format!("unknown key `{}`", entry.key);
        problems.report(&entry.place, what, format!("did you mean `{BLOCK}`?"));
    }
}

/// The draft of one service.
fn draft(
    entry: &Entry,
    image: Option<&ImageRef>,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<Placed> {
    let name: Option<ServiceName> = match entry.key.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            problems.report(&entry.place, ToString::to_string(&error), "rename the service");
            None
        }
    };
    let mut node = entry.value.clone();
    if image.is_some() {
        // Replaced anyway: its variables need not be set.
        node.remove("image");
    }
    around.variables.apply(&mut node, problems);
    let service = Service::read(&node, problems)?;
    let workload = workload(&service, around, problems);
    let image = image.cloned().or(service.image.map(|image| image.0));
    if image.is_none() && node.get("image").is_none_or(Node::is_empty) {
        let what = "`image` is missing";
        problems.report(&entry.place, what, "add it; Verdigris deploys images that exist");
    }
    let Some(block) = service.block else {
        if node.get(BLOCK).is_some_and(|block| matches!(block.value, Value::Null)) {
            problems.report(&entry.place.below(BLOCK), "the block is empty", "add `port` at least");
        }
        return None;
    };
    let policy = policy(&block, problems);
    check_together(&block, &workload, &policy, problems);
    let hosts = block.route.as_ref().map(|route| route.hosts.place.clone());
    Some(Placed { draft: Draft { service: name?, image: image?, workload, policy }, hosts })
}

/// What the block needs of the rest. Only asked when all was read: a wrong value counts as absent.
fn check_together(
    block: &At<Block>,
    workload: &Workload,
    policy: &Policy,
    problems: &mut Problems,
) {
    if !problems.is_empty() {
        return;
    }
    if policy.publish == Publish::Overlay && workload.networks.is_empty() {
        let place = block.publish.as_ref().map_or(&block.place, |publish| &publish.place);
        let what = "`publish: overlay` needs a network, and the service has none";
        problems.report(place, what, "add `networks` with one that the proxies share");
    }
    let gates = block.gates.as_ref().and_then(|gates| gates.post_integration.as_ref());
    if let Some(gates) = gates.filter(|gates| !gates.is_empty() && policy.route.is_none()) {
        let what = "these gates ask through the proxies, which know nothing of the service";
        problems.report(&gates.place, what, "add `route`");
    }
}
