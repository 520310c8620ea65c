use crate::document::{At, Leaf, Node, Place, Problems, Read, Refusal, Value, record};
use crate::model::MountKind;

use super::super::leaves::{InsidePath, Mode, Size};

/// One of a service's volumes, short or long form. A volume's source is the key it has in the file.
#[derive(Debug, Clone)]
pub(crate) struct MountUse {
    pub kind: MountKind,
    pub source: Option<At<String>>,
    pub target: String,
    pub read_only: bool,
    pub no_copy: bool,
    pub propagation: Option<String>,
    pub tmpfs_size: Option<u64>,
    pub tmpfs_mode: Option<u32>,
}

impl MountUse {
    fn new(kind: MountKind, source: Option<At<String>>, target: String) -> Self {
        Self {
            kind,
            source,
            target,
            read_only: false,
            no_copy: false,
            propagation: None,
            tmpfs_size: None,
            tmpfs_mode: None,
        }
    }
}

impl Read for MountUse {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Table(_) = node.value {
            return long(MountRecord::read(node, problems)?, &node.place, problems);
        }
        let text: At<String> = Read::read(node, problems)?;
        short(&text, problems)
    }
}

record! {
    struct MountRecord is extensible refuses refuse {
        r#type: At<String>,
        source: Option<At<String>>,
        target: InsidePath,
        read_only: Option<bool>,
        bind: Option<BindRecord>,
        volume: Option<VolumeRecord>,
        tmpfs: Option<TmpfsRecord>,
    }

    struct BindRecord is extensible refuses refuse_bind {
        propagation: Option<At<String>>,
    }

    struct VolumeRecord is extensible refuses refuse_volume {
        nocopy: Option<bool>,
    }

    struct TmpfsRecord is extensible {
        size: Option<Size>,
        mode: Option<Mode>,
    }
}

fn refuse(key: &str) -> Option<Refusal> {
    (key == "consistency")
        .then_some(Refusal { why: "it is for desktops only", remedy: "remove it" })
}

fn refuse_bind(key: &str) -> Option<Refusal> {
    let (why, remedy) = match key {
        "create_host_path" => {
            ("Swarm mounts what is there", "create the directory on the nodes, and remove it")
        }
        "selinux" | "recursive" => ("Swarm does not pass it on", "remove it"),
        _ => return None,
    };
    Some(Refusal { why, remedy })
}

fn refuse_volume(key: &str) -> Option<Refusal> {
    matches!(key, "subpath" | "labels")
        .then_some(Refusal { why: "engines before version 25 do not know it", remedy: "remove it" })
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

fn long(record: MountRecord, place: &Place, problems: &mut Problems) -> Option<MountUse> {
    let kind = match record.r#type.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        other => {
            let what = format!("mounts of type `{other}` are not supported");
            problems.report(&record.r#type.place, what, "use `volume`, `bind` or `tmpfs`");
            return None;
        }
    };
    let strangers = [
        (record.bind.is_some(), MountKind::Bind, "bind"),
        (record.volume.is_some(), MountKind::Volume, "volume"),
        (record.tmpfs.is_some(), MountKind::Tmpfs, "tmpfs"),
    ];
    for (_, _, key) in strangers.into_iter().filter(|(given, of, _)| *given && *of != kind) {
        let what = format!("`{key}` has no meaning for a mount of type `{}`", *record.r#type);
        problems.report(&place.below(key), what, "remove it, or change `type`");
    }
    let mut mount = MountUse::new(kind, record.source, record.target.0);
    mount.read_only = record.read_only.unwrap_or_default();
    mount.no_copy = record.volume.and_then(|volume| volume.nocopy).unwrap_or_default();
    if let Some(propagation) = record.bind.and_then(|bind| bind.propagation) {
        if PROPAGATIONS.contains(&propagation.as_str()) {
            mount.propagation = Some(propagation.value);
        } else {
            let what = format!("`{}` is not a propagation", *propagation);
            problems.report(
                &propagation.place,
                what,
                format!("known are {}", PROPAGATIONS.join(", ")),
            );
        }
    }
    if let Some(tmpfs) = record.tmpfs {
        mount.tmpfs_size = tmpfs.size.map(|size| size.0);
        mount.tmpfs_mode = tmpfs.mode.map(|mode| mode.0);
    }
    checked(mount, place, problems)
}

/// `[SOURCE:]TARGET[:OPTIONS]`
fn short(text: &At<String>, problems: &mut Problems) -> Option<MountUse> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] if target.starts_with('/') => (Some(source), target, ""),
        [target, options] => (None, target, options),
        [source, target, options] => (Some(source), target, options),
        _ => {
            problems.report(
                &text.place,
                format!("`{}` is not a volume", **text),
                "write `[SOURCE:]TARGET[:ro]`, or the long form",
            );
            return None;
        }
    };
    let kind = match source {
        Some(source) if source.starts_with(['/', '.', '~']) => MountKind::Bind,
        _ => MountKind::Volume,
    };
    let source = source.map(|source| At { value: source.to_owned(), place: text.place.clone() });
    let mut mount = MountUse::new(kind, source, target.to_owned());
    if let Err(why) = InsidePath::parse(target) {
        let what = format!("`{target}` is not an absolute path in the container: {why}");
        problems.report(&text.place, what, "write for example `data:/data`");
        return None;
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.no_copy = true,
            option if PROPAGATIONS.contains(&option) => {
                mount.propagation = Some(option.to_owned());
            }
            option => problems.report(
                &text.place,
                format!("the volume option `{option}` is not supported"),
                "use `ro`, `rw` or `nocopy`",
            ),
        }
    }
    checked(mount, &text.place, problems)
}

fn checked(mount: MountUse, place: &Place, problems: &mut Problems) -> Option<MountUse> {
    let problem = match (mount.kind, &mount.source) {
        (MountKind::Bind, None) => Some(("a bind mount has no `source`", "name the node's path")),
        (MountKind::Bind, Some(source)) if !source.starts_with('/') => Some((
            "the path on the node is not absolute; every node would look elsewhere",
            "write it from `/`",
        )),
        (MountKind::Tmpfs, Some(_)) => Some(("a tmpfs has no `source`", "remove it")),
        (MountKind::Bind, _) if mount.no_copy => {
            Some(("`nocopy` has no meaning for a path of the node", "remove it"))
        }
        (MountKind::Volume, _) if mount.propagation.is_some() => {
            Some(("a volume has no propagation", "remove it"))
        }
        _ => None,
    };
    let Some((what, remedy)) = problem else { return Some(mount) };
    problems.report(place, what, remedy);
    None
}

/// One of `tmpfs`: `PATH[:size=64m,mode=1777]`.
#[derive(Debug, Clone)]
pub(crate) struct TmpfsUse(pub MountUse);

impl Leaf for TmpfsUse {
    const WHAT: &'static str = "a tmpfs";
    const EXAMPLE: &'static str = "/run:size=64m,mode=1777";

    fn parse(text: &str) -> Result<Self, String> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let target = InsidePath::parse(target)?.0;
        let mut mount = MountUse::new(MountKind::Tmpfs, None, target);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", size)) => mount.tmpfs_size = Some(Size::parse(size)?.0),
                // Here, other than in YAML, the digits are octal with and without zero.
                Some(("mode", mode)) => {
                    let octal = format!("0{}", mode.trim_start_matches('0'));
                    mount.tmpfs_mode = Some(Mode::parse(&octal)?.0);
                }
                _ if option == "ro" => mount.read_only = true,
                _ if option == "rw" => {}
                _ => return Err(format!("Swarm does not know the option `{option}`")),
            }
        }
        Ok(Self(mount))
    }
}
