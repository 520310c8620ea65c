use crate::document::{At, Problems};
use crate::model::{Mount, MountKind};

use super::super::compose::{MountUse, Service};
use super::super::declared::{Declared, DeclaredVolume};

/// `volumes`, then `tmpfs`; no two at the same path.
pub(super) fn mounts(
    service: &Service,
    declared: &Declared<'_>,
    problems: &mut Problems,
) -> Vec<Mount> {
    let volumes = service.volumes.iter().map(|mount| (&mount.value, &mount.place));
    let tmpfs = service.tmpfs.0.iter().map(|mount| (&mount.value.0, &mount.place));
    let mut mounts: Vec<Mount> = Vec::new();
    for (mount, place) in volumes.chain(tmpfs) {
        if mounts.iter().any(|earlier| earlier.target == mount.target) {
            let what = format!("`{}` is the target of two mounts", mount.target);
            problems.report(place, what, "remove one of them");
        }
        mounts.extend(resolved(mount, declared, problems));
    }
    mounts
}

fn resolved(mount: &MountUse, declared: &Declared<'_>, problems: &mut Problems) -> Option<Mount> {
    let volume = match (mount.kind, &mount.source) {
        (MountKind::Volume, Some(source)) => declared.volume(source, problems)?,
        (_, source) => DeclaredVolume {
            name: source.as_ref().map(|At { value, .. }| value.clone()).unwrap_or_default(),
            ..<_>::default()
        },
    };
    Some(Mount {
        kind: mount.kind,
        source: Some(volume.name).filter(|name| !name.is_empty()),
        target: mount.target.clone(),
        read_only: mount.read_only,
        no_copy: mount.no_copy,
        propagation: mount.propagation.clone(),
        tmpfs_size: mount.tmpfs_size,
        tmpfs_mode: mount.tmpfs_mode,
        driver: volume.driver,
        driver_options: volume.driver_options,
    })
}
