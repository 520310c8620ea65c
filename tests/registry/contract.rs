//! What every registry does.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use tokio::time::timeout;
use verdigris::deploy::ports::{Registry, Trouble};
use verdigris::model::{Colour, ServiceRecord};

use crate::records::{self, service, settled, story};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn nothing_is_known_at_first(registry: &dyn Registry) {
    let service = service();
    let record = registry.read(&service).await.unwrap();
    assert!(record.is_empty());
    let all = registry.read_all().await.unwrap();
    assert!(!all.contains_key(&service));
}

pub async fn what_was_written_is_read(registry: &dyn Registry) {
    let service = service();
    for record in story() {
        registry.write(&service, &record).await.unwrap();
        assert_eq!(registry.read(&service).await.unwrap(), record);
    }
}

pub async fn writing_again_changes_nothing(registry: &dyn Registry) {
    let service = service();
    let record = settled(Colour::Blue, 3, 2);
    for _ in 0..3 {
        registry.write(&service, &record).await.unwrap();
        assert_eq!(registry.read(&service).await.unwrap(), record);
    }
}

pub async fn a_smaller_record_takes_the_place_of_a_larger(registry: &dyn Registry) {
    let service = service();
    for count in [5, 2, 4, 0, 1] {
        let record = settled(Colour::Green, 1, count);
        registry.write(&service, &record).await.unwrap();
        assert_eq!(registry.read(&service).await.unwrap(), record);
    }
}

pub async fn a_record_is_replaced_only_where_it_was_read(registry: &dyn Registry) {
    let (service, nothing) = (service(), ServiceRecord::default());
    let (one, other) = (settled(Colour::Blue, 1, 2), settled(Colour::Green, 2, 2));
    registry.replace(&service, &nothing, &one).await.unwrap();
    registry.replace(&service, &one, &other).await.unwrap();
    for (read, wanted) in [(&nothing, &one), (&one, &nothing), (&one, &one), (&one, &other)] {
        let error = registry.replace(&service, read, wanted).await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Conflict, "{}", error.chain());
        assert_eq!(registry.read(&service).await.unwrap(), other);
    }
    registry.replace(&service, &other, &other).await.unwrap();
    registry.replace(&service, &other, &nothing).await.unwrap();
    assert!(registry.read(&service).await.unwrap().is_empty());
}

pub async fn of_all_that_read_the_same_one_replaces_it(registry: &dyn Registry) {
    let (service, read) = (service(), settled(Colour::Blue, 1, 2));
    registry.write(&service, &read).await.unwrap();
    // Half of them change keys only, half instances as well.
    let wanted: Vec<ServiceRecord> = (0..10)
        .map(|n| match n % 2 {
            0 => settled(Colour::Green, 2 + n, 2),
            _ => ServiceRecord { colour: None, ..read.clone() },
        })
        .collect();
    let tries = wanted.iter().map(|record| registry.replace(&service, &read, record));
    let done = futures_util::future::join_all(tries).await;
    let won: Vec<_> = done.iter().zip(&wanted).filter(|(done, _)| done.is_ok()).collect();
    assert_eq!(won.len(), 1, "{done:?}");
    assert_eq!(registry.read(&service).await.unwrap(), *won[0].1);
    let lost = done.iter().filter_map(|done| done.as_ref().err());
    assert!(lost.into_iter().all(|error| error.trouble == Trouble::Conflict));
}

pub async fn what_is_changed_is_what_was_held(registry: &dyn Registry) {
    let service = service();
    for (before, after) in story().into_iter().zip(story().into_iter().skip(1)) {
        registry.write(&service, &before).await.unwrap();
        let change = |record: &mut ServiceRecord| {
            assert_eq!(*record, before);
            *record = after.clone();
        };
        assert_eq!(registry.update(&service, &change).await.unwrap(), after);
        assert_eq!(registry.read(&service).await.unwrap(), after);
    }
}

pub async fn changes_side_by_side_are_all_made(registry: &dyn Registry) {
    let (service, new) = (service(), settled(Colour::Blue, 1, 8));
    // Keys change with each, so that one that comes between is seen.
    let change = |task: &str| {
        let entry = new.instances[task].clone();
        move |record: &mut ServiceRecord| {
            record.instances.insert(entry.instance.task.clone(), entry.clone());
            let generation = record.route.as_ref().map_or(0, |route| route.generation);
            record.route = Some(records::route(generation + 1, Colour::Blue));
        }
    };
    let make = async |task: &str| {
        let change = change(task);
        loop {
            match registry.update(&service, &change).await {
                Err(error) if error.trouble == Trouble::Conflict => {}
                done => return done.map(drop),
            }
        }
    };
    try_join_all(new.instances.keys().map(|task| make(task))).await.unwrap();
    let record = registry.read(&service).await.unwrap();
    assert_eq!(record.instances, new.instances);
    assert_eq!(record.route.map(|route| route.generation), Some(8));
}

pub async fn before_is_restored_after_any_change(registry: &dyn Registry) {
    for before in story() {
        let service = service();
        registry.write(&service, &before).await.unwrap();
        for after in story() {
            registry.write(&service, &after).await.unwrap();
            registry.write(&service, &before).await.unwrap();
            assert_eq!(registry.read(&service).await.unwrap(), before);
        }
    }
}

pub async fn an_empty_record_leaves_nothing(registry: &dyn Registry) {
    let service = service();
    let full = settled(Colour::Blue, 1, 2);
    registry.write(&service, &full).await.unwrap();
    let empty = ServiceRecord::default();
    registry.write(&service, &empty).await.unwrap();
    assert!(registry.read(&service).await.unwrap().is_empty());
    assert!(!registry.read_all().await.unwrap().contains_key(&service));
}

pub async fn all_services_are_listed(registry: &dyn Registry) {
    let mut written = Vec::new();
    for record in story() {
        let service = service();
        registry.write(&service, &record).await.unwrap();
        written.push((service, record));
    }
    let all = registry.read_all().await.unwrap();
    for (service, record) in written {
        let expected = (!record.is_empty()).then_some(&record);
        assert_eq!(all.get(&service), expected, "{service}");
    }
}

pub async fn services_are_apart_from_each_other(registry: &dyn Registry) {
    let (one, other) = (service(), service());
    // A name that begins like another one.
    let longer = format!("{one}-more").parse().unwrap();
    let record = settled(Colour::Blue, 1, 2);
    for service in [&one, &other, &longer] {
        registry.write(service, &record).await.unwrap();
    }
    let empty = ServiceRecord::default();
    registry.write(&one, &empty).await.unwrap();
    assert!(registry.read(&one).await.unwrap().is_empty());
    assert_eq!(registry.read(&other).await.unwrap(), record);
    assert_eq!(registry.read(&longer).await.unwrap(), record);
}

pub async fn a_change_wakes_whoever_watches(registry: &dyn Registry) {
    let service = service();
    let mut changes = registry.changes().await.unwrap();
    for record in story().into_iter().skip(1) {
        registry.write(&service, &record).await.unwrap();
        let hint = timeout(PATIENCE, changes.next()).await;
        hint.expect("a hint comes").expect("the stream goes on");
    }
}

pub async fn writers_side_by_side_do_not_disturb_each_other(registry: &dyn Registry) {
    let services: Vec<_> = (0..20).map(|_| service()).collect();
    let record = settled(Colour::Blue, 1, 2);
    let written = try_join_all(services.iter().map(async |service| {
        for step in story() {
            registry.write(service, &step).await?;
        }
        registry.write(service, &record).await
    }));
    written.await.unwrap();
    let all = registry.read_all().await.unwrap();
    for service in services {
        assert_eq!(all[&service], record);
    }
}

pub async fn a_large_service_is_written_whole(registry: &dyn Registry) {
    let service = service();
    for record in [
        settled(Colour::Blue, 1, 200),
        settled(Colour::Green, 2, 150),
        records::record([], Some(Colour::Green), None),
    ] {
        registry.write(&service, &record).await.unwrap();
        assert_eq!(registry.read(&service).await.unwrap(), record);
    }
}
