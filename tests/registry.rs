//! The registries, each put through the same tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "registry/contract.rs"]
mod contract;
#[path = "registry/records.rs"]
mod records;

/// The contract's tests over one kind of registry.
macro_rules! over {
    ($kind:ident: $start:expr) => {
        mod $kind {
            use super::contract;

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
                writers_side_by_side_do_not_disturb_each_other,
                a_large_service_is_written_whole,
            );
        }
    };
    (@tests $start:expr; $($name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some(held) = $start.await {
                    contract::$name(&held.registry).await;
                }
            }
        )*
    };
}

over!(embedded: super::started::embedded());

/// A registry and what must live as long as it does.
mod started {
    use verdigris::registry::embedded::Embedded;

    pub struct Held<R, G> {
        pub registry: R,
        pub _guard: G,
    }

    pub async fn embedded() -> Option<Held<Embedded, tempfile::TempDir>> {
        let directory = tempfile::tempdir().unwrap();
        let registry = Embedded::open(directory.path()).unwrap();
        Some(Held { registry, _guard: directory })
    }
}
