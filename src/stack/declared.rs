//! The networks, volumes, secrets and configs that a stack file declares beside its services.
//!
//! Verdigris creates no networks, secrets or configs and puts no project's name before theirs. What a
//! service refers to is looked up in the Swarm under the declaration's `name`, or else under the key
//! itself, declared or not; preflight tells what is missing there. A declaration that says how the
//! thing is made is fine when it has a `name` (something else makes it), and an error without one,
//! since `docker stack deploy` would make it under another name.

use std::collections::BTreeMap;

use crate::document::{At, Node, Problems, Read, Refusal, Scalar, ScalarKind, Value, record};

use super::compose::Pairs;
use super::interpolate::Variables;
use super::leaves::{Name, is_template};

/// One of the sections beside `services`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Networks,
    Volumes,
    Secrets,
    Configs,
}

impl Section {
    fn key(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::Volumes => "volumes",
            Self::Secrets => "secrets",
            Self::Configs => "configs",
        }
    }

    /// How a person makes one.
    fn maker(self) -> &'static str {
        match self {
            Self::Networks => "docker network create --driver overlay",
            Self::Volumes => "docker volume create",
            Self::Secrets => "docker secret create",
            Self::Configs => "docker config create",
        }
    }
}

record! {
    /// A network, secret or config as declared. All but the name is for whoever makes it.
    struct Declaration is extensible {
        name: Option<Name>,
        external: Option<External>,
        driver: Option<At<Anything>>,
        driver_opts: Option<At<Anything>>,
        attachable: Option<At<Anything>>,
        internal: Option<At<Anything>>,
        ipam: Option<At<Anything>>,
        enable_ipv4: Option<At<Anything>>,
        enable_ipv6: Option<At<Anything>>,
        labels: Option<At<Anything>>,
        file: Option<At<Anything>>,
        environment: Option<At<Anything>>,
        content: Option<At<Anything>>,
        template_driver: Option<At<Anything>>,
    }

    /// A volume as declared: nodes make it when an instance first needs it.
    struct VolumeDeclaration is extensible refuses refuse_volume {
        name: Option<Name>,
        external: Option<External>,
        driver: Option<Name>,
        driver_opts: Pairs,
    }
}

fn refuse_volume(key: &str) -> Option<Refusal> {
    (key == "labels").then_some(Refusal {
        why: "Verdigris does not pass labels of volumes on",
        remedy: "remove it",
    })
}

/// A value that is not looked at.
#[derive(Debug, Clone)]
struct Anything;

impl Read for Anything {
    fn read(_: &Node, _: &mut Problems) -> Option<Self> {
        Some(Self)
    }
}

/// `external: true`, or in the old form with the name.
#[derive(Debug, Clone)]
enum External {
    Said(bool),
    Named(Name),
}

impl Read for External {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match node.get("name") {
            Some(name) => Name::read(name, problems).map(Self::Named),
            None => bool::read(node, problems).map(Self::Said),
        }
    }
}

/// What is known of a volume.
#[derive(Debug, Default)]
pub(super) struct DeclaredVolume {
    pub name: String,
    pub driver: Option<String>,
    pub driver_options: BTreeMap<String, String>,
}

/// The declarations of a stack file.
pub(super) struct Declared<'a> {
    pub root: &'a Node,
    pub variables: &'a Variables,
}

impl Declared<'_> {
    /// Some declaration of `key` exists.
    pub fn has(&self, section: Section, key: &str) -> bool {
        self.find(section, key).is_some()
    }

    fn find(&self, section: Section, key: &str) -> Option<&Node> {
        self.root.get(section.key())?.get(key)
    }

    /// The declaration of `key`, its variables replaced; none too when it is wrong.
    fn read<T: Read>(&self, section: Section, key: &str, problems: &mut Problems) -> Option<At<T>> {
        let mut node = self.find(section, key)?.clone();
        self.variables.apply(&mut node, problems);
        Option::read(&node, problems)?
    }

    /// The name in the Swarm of what a service calls `reference`; a network, secret or config.
    pub fn resolve(
        &self,
        section: Section,
        reference: &At<String>,
        problems: &mut Problems,
    ) -> Option<String> {
        let declared: Option<At<Declaration>> = self.read(section, reference, problems);
        let Some(declared) = declared else { return plain(reference, problems) };
        match (&declared.name, &declared.external) {
            (Some(name), _) | (None, Some(External::Named(name))) => Some(name.0.clone()),
            (None, Some(External::Said(true))) => plain(reference, problems),
            (None, _) => {
                for place in declared.value.making().into_iter().flatten() {
                    let maker = section.maker();
                    problems.report(
                        &place.place,
                        "Verdigris does not make it, and a name is not given",
                        format!(
                            "make it (`{maker} …`) and say `external: true`, or give its `name`"
                        ),
                    );
                }
                plain(reference, problems)
            }
        }
    }

    /// The volume that a service calls `reference`.
    pub fn volume(
        &self,
        reference: &At<String>,
        problems: &mut Problems,
    ) -> Option<DeclaredVolume> {
        let declared: Option<At<VolumeDeclaration>> =
            self.read(Section::Volumes, reference, problems);
        let Some(At { value: declared, .. }) = declared else {
            let name = if is_template(reference) {
                reference.value.clone()
            } else {
                plain(reference, problems)?
            };
            return Some(DeclaredVolume { name, ..<_>::default() });
        };
        let name = match (declared.name, declared.external) {
            (Some(Name(name)), _) | (None, Some(External::Named(Name(name)))) => name,
            (None, _) => plain(reference, problems)?,
        };
        let options = declared.driver_opts.0.into_iter();
        Some(DeclaredVolume {
            name,
            driver: declared.driver.map(|driver| driver.0),
            driver_options: options
                .map(|pair| (pair.key.value, pair.value.unwrap_or_default()))
                .collect(),
        })
    }
}

impl Declaration {
    /// The keys that say how it is made.
    fn making(&self) -> [&Option<At<Anything>>; 12] {
        [
            &self.driver,
            &self.driver_opts,
            &self.attachable,
            &self.internal,
            &self.ipam,
            &self.enable_ipv4,
            &self.enable_ipv6,
            &self.labels,
            &self.file,
            &self.environment,
            &self.content,
            &self.template_driver,
        ]
    }
}

/// The reference itself as a name.
fn plain(reference: &At<String>, problems: &mut Problems) -> Option<String> {
    let scalar = Scalar { text: reference.value.clone(), kind: ScalarKind::Untyped };
    let node = Node { place: reference.place.clone(), value: Value::Scalar(scalar) };
    Name::read(&node, problems).map(|name| name.0)
}
