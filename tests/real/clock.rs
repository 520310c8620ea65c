//! The wall clock jumps in the middle of a deployment: only the deployment's own time counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use verdigris::model::{Happening, Step};

use crate::support::world::request;
use crate::support::{Proxy, Registry, Traffic, World, run};

/// What the clock says at first: late enough that the testbed's certificates are valid a day earlier.
const NOW: &str = "+3d";

/// The wall clock as the daemon sees it.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(home: &Path) -> Self {
        let clock = Self { file: home.join("clock"), library: run::faketime().unwrap() };
        clock.set(NOW);
        clock
    }

    /// Makes it so far from the true time.
    fn set(&self, offset: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    fn environment(&self) -> [(&str, &str); 4] {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            // What is set by hand, or by a time server, is the wall clock alone.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_neither_reverts_a_deployment_nor_gives_it_a_day_more() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let clock = Clock::new(&world.home);
    world.restart(&clock.environment()).await;
    let traffic = Traffic::start(&world, "books-ms");
    for (edition, jump, hours) in [("2.0", "+4d", 24), ("3.0", "+2d", -24)] {
        clock.set(NOW);
        let stack = world
            .books(edition)
            .asking("approve", json!({ "expires": "1m" }))
            .asking("bake", json!({ "for": "3s" }))
            .asking("deadline", "1m");
        let id = world.submit(request(&stack)).await.unwrap().deployment;
        world.until_begun(id, Step::Approve).await;
        clock.set(jump);
        traffic.flow(Duration::from_secs(1)).await;
        assert_eq!(world.client().deployment(id).await.unwrap().outcome, None, "{jump}");
        world.approve(id).await;
        world.until_begun(id, Step::Bake).await;
        clock.set(NOW);
        let ended = world.end_of(id).await.committed();
        let at = |step| {
            let begun = |event: &&verdigris::model::Event| {
                event.step == Some(step) && event.what == Happening::Began
            };
            ended.events.iter().find(begun).unwrap().at
        };
        let jumped = at(Step::Switch).duration_since(at(Step::Approve));
        let off = jumped.abs_diff_hours(hours);
        assert!(off < 1.0, "{jump}: the daemon's clock went on by {jumped:#}");
        let newest = world.client().deployments(None, 1).await.unwrap();
        assert_eq!(newest[0].id, id, "the last is the newest, whatever the clock says");
    }
    // A deployment that hangs still ends at its deadline.
    let long = json!({ "for": "7s" });
    let stack = world.books("1.0").asking("bake", long).asking("deadline", "8s");
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Bake).await;
    clock.set("+2d");
    let ended = world.end_of(id).await;
    assert_eq!(ended.exit(), 40, "{}", ended.story());
    traffic.end("the clock jumps").await;
}

trait Hours {
    /// How far it is from `hours`.
    fn abs_diff_hours(self, hours: i64) -> f64;
}

impl Hours for SignedDuration {
    fn abs_diff_hours(self, hours: i64) -> f64 {
        (self - SignedDuration::from_hours(hours)).as_secs_f64().abs() / 3600.0
    }
}
