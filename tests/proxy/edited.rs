//! Worlds whose template is edited, and what a fleet then says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use verdigris::proxy::{Fleet, Kind};

use crate::world::World;

/// A world whose template is a copy of the one built in.
pub fn with_template(kind: Kind) -> Option<(World, PathBuf, String)> {
    let mut world = World::new(kind)?;
    let built_in = match kind {
        Kind::Nginx => include_str!("../../templates/nginx.conf.tera"),
        Kind::Haproxy => include_str!("../../templates/haproxy.cfg.tera"),
    };
    let directory = world.path("templates");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("proxy.tera");
    fs::write(&path, built_in).unwrap();
    world.settings.template = Some(path.clone());
    Some((world, path, built_in.to_owned()))
}

/// Skips loudly where the proxy is not installed.
macro_rules! edited_world {
    ($kind:expr) => {
        match crate::edited::with_template($kind) {
            Some(world) => world,
            None => {
                eprintln!("SKIPPED: {} is not installed", $kind);
                return;
            }
        }
    };
}
pub(crate) use edited_world;

/// The problem that `fleet` comes to report, with `wanted` in it.
pub async fn problem(fleet: &Fleet, wanted: &str) -> String {
    for _ in 0..1200 {
        if let Some(problem) = fleet.status()[0].problem.clone()
            && problem.contains(wanted)
        {
            return problem;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no problem with `{wanted}`: {:?}", fleet.status()[0].problem);
}

/// Wait until `fleet` reports that all is well.
pub async fn well(fleet: &Fleet) {
    for _ in 0..1200 {
        if fleet.status()[0].in_sync {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still a problem: {:?}", fleet.status()[0].problem);
}
