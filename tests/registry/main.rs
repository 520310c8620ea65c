//! The registries, each put through the same tests; Consul through some of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent;
mod certificates;
mod consul;
mod contract;
mod dns;
mod records;

use agent::Kind;
use verdigris::registry::embedded::Embedded;

/// The contract's tests over one kind of registry: `$start` makes it, or none where it cannot be.
macro_rules! over {
    ($kind:ident, $start:expr) => {
        mod $kind {
            #[allow(clippy::wildcard_imports, reason = "what starts it")]
            use super::*;

            over!(@tests $start;
                nothing_is_known_at_first,
                what_was_written_is_read,
                writing_again_changes_nothing,
                a_smaller_record_takes_the_place_of_a_larger,
                before_is_restored_after_any_change,
                an_empty_record_leaves_nothing,
                all_services_are_listed,
                services_are_apart_from_each_other,
                a_change_wakes_whoever_watches,
                a_record_is_replaced_only_where_it_was_read,
                of_all_that_read_the_same_one_replaces_it,
                what_is_changed_is_what_was_held,
                changes_side_by_side_are_all_made,
                writers_side_by_side_do_not_disturb_each_other,
                a_large_service_is_written_whole,
            );
        }
    };
    (@tests $start:expr; $($name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some((registry, _held)) = $start {
                    contract::$name(&registry).await;
                }
            }
        )*
    };
}

over!(embedded, embedded_in_a_directory());
over!(over_consul, over(Kind::Plain).await);
over!(over_consul_with_acl, over(Kind::Acl).await);
over!(over_consul_with_tls, over(Kind::Tls).await);

#[allow(clippy::unnecessary_wraps, reason = "as the others, which may be missing")]
fn embedded_in_a_directory() -> Option<(Embedded, tempfile::TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let registry = Embedded::open(directory.path()).unwrap();
    Some((registry, directory))
}

async fn over(
    kind: Kind,
) -> Option<(verdigris::registry::consul::Consul, std::sync::Arc<agent::Agent>)> {
    let agent = agent::shared(kind).await?;
    Some((agent.registry(), agent))
}
