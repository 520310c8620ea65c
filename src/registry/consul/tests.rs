//! Records become images and back; diffs and their transactions lead from any image to any other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

use super::diff::Diff;
use super::image::{Entry, Image};
use super::layout::Layout;
use super::txn;
use crate::model::{
    Colour, Instance, Registration, ReleaseId, Route, RouteRule, ServiceName, ServiceRecord,
    Standing,
};

fn layout() -> Layout {
    Layout::new("verdigris").unwrap()
}

fn service() -> ServiceName {
    "books-ms".parse().unwrap()
}

prop_compose! {
    fn registration()(
        task in "[a-e][0-9]{0,2}",
        node in "[a-z.-]{1,8}",
        address in any::<(u32, u16)>(),
        six in any::<bool>(),
        blue in any::<bool>(),
        live in any::<bool>(),
        release in "[0-9a-f]{12}",
        image in "[ -~]{0,40}",
    ) -> Registration {
        let ip = std::net::Ipv4Addr::from(address.0);
        let ip = if six { ip.to_ipv6_mapped().into() } else { ip.into() };
        Registration {
            instance: Instance { task, node, address: SocketAddr::new(ip, address.1) },
            colour: if blue { Colour::Blue } else { Colour::Green },
            standing: if live { Standing::Live } else { Standing::Idle },
            release: ReleaseId::from(release),
            image,
        }
    }
}

fn colour() -> impl Strategy<Value = Colour> {
    prop_oneof![Just(Colour::Blue), Just(Colour::Green)]
}

prop_compose! {
    fn route()(
        generation in any::<u64>(),
        hosts in vec("[a-z.]{1,12}", 0..3),
        path in "/\\PC{0,12}",
        tls in any::<bool>(),
        ruled in any::<bool>(),
        weights in btree_map(colour(), any::<u8>(), 0..3),
        releases in btree_map(colour(), "\\PC{0,12}", 0..3),
    ) -> Route {
        let rule = ruled.then_some(RouteRule { hosts, path, tls });
        Route { generation, rule, gives_up: None, weights, releases }
    }
}

fn record(most: usize) -> impl Strategy<Value = ServiceRecord> {
    let parts = (vec(registration(), 0..most), option::of(colour()), option::of(route()));
    parts.prop_map(|(entries, colour, route)| {
        let named = |entry: Registration| (entry.instance.task.clone(), entry);
        ServiceRecord { instances: entries.into_iter().map(named).collect(), colour, route }
    })
}

fn encode(record: &ServiceRecord) -> Image {
    Image::encode(&layout(), &service(), record).unwrap()
}

/// An image that others have had their hands in.
fn image(most: usize) -> impl Strategy<Value = Image> {
    let rubbish = btree_map("[a-e][0-9]", "\\PC{0,9}", 0..4);
    let keys = btree_map(prop_oneof!["colour", "route"], vec(any::<u8>(), 0..9), 0..2);
    (record(most), rubbish, keys).prop_map(|(record, rubbish, keys)| {
        let mut image = encode(&record);
        for (task, tag) in rubbish {
            let entry = Entry {
                id: super::layout::id(&service(), Colour::Blue, &task),
                service: service().to_string(),
                tags: vec![tag],
                address: String::new(),
                port: -1,
                meta: BTreeMap::new(),
            };
            image.entries.insert(entry.id.clone(), entry);
        }
        for (leaf, value) in keys {
            image.keys.insert(format!("verdigris/services/books-ms/{leaf}"), value);
        }
        image
    })
}

fn apply(diff: &Diff, mut image: Image) -> Image {
    for entry in &diff.put {
        image.entries.insert(entry.id.clone(), entry.clone());
    }
    image.keys.extend(diff.set.clone());
    for key in &diff.unset {
        assert!(image.keys.remove(key).is_some());
    }
    for entry in &diff.remove {
        assert!(image.entries.remove(&entry.id).is_some());
    }
    image
}

/// An operation in few words: what it is on, its verb, and its id or key.
fn told(operation: &txn::Operation) -> (&'static str, String, String) {
    let json = serde_json::to_value(operation).unwrap();
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let all = [
        ("node", "/Node/Verb", "/Node/Node/Node"),
        ("service", "/Service/Verb", "/Service/Service/ID"),
        ("key", "/KV/Verb", "/KV/Key"),
    ];
    let found =
        all.into_iter().find_map(|(kind, verb, name)| Some((kind, text(verb)?, text(name)?)));
    found.unwrap()
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(record in record(8)) {
        let image = encode(&record);
        prop_assert_eq!(image.decode(&layout(), &service()).unwrap(), record);
    }

    #[test]
    fn an_image_survives_the_wire(record in record(8)) {
        for entry in encode(&record).entries.into_values() {
            let text = serde_json::to_string(&entry).unwrap();
            prop_assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
        }
    }

    #[test]
    fn a_diff_leads_from_one_image_to_the_other(from in image(8), to in image(8)) {
        let diff = Diff::between(&from, &to);
        prop_assert_eq!(apply(&diff, from), to);
    }

    #[test]
    fn a_diff_of_equals_is_empty_and_touches_nothing(image in image(8)) {
        let diff = Diff::between(&image, &image);
        prop_assert_eq!(&diff, &Diff::default());
        prop_assert!(txn::transactions(&layout(), &diff, &BTreeMap::new(), &[]).is_empty());
    }

}

proptest! {
    // Large images: fewer of them say as much.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn transactions_hold_each_change_once_and_in_order(
        from in image(150), to in image(150), fenced in any::<bool>(),
    ) {
        let indices = from.keys.keys().cloned().zip(1..).collect();
        let diff = Diff::between(&from, &to);
        let fence = fenced.then(|| txn::Operation::check_lock("lock", "session"));
        let transactions = txn::transactions(&layout(), &diff, &indices, fence.as_slice());
        let mut flat = Vec::new();
        for transaction in &transactions {
            prop_assert!(!transaction.is_empty() && transaction.len() <= 64);
            if let Some(fence) = &fence {
                prop_assert_eq!(&transaction[0], fence);
            }
            let told: Vec<_> = transaction.iter().skip(fenced.into()).map(told).collect();
            let puts = told.iter().any(|(kind, verb, _)| *kind == "service" && verb == "set");
            prop_assert_eq!(puts, told[0].0 == "node", "the node comes with instances");
            flat.extend(told.into_iter().filter(|(kind, ..)| *kind != "node"));
        }
        let service = |verb| move |entry: &Entry| ("service", String::from(verb), entry.id.clone());
        let key = |verb| move |key: &String| ("key", String::from(verb), key.clone());
        let expected: Vec<_> = (diff.put.iter().map(service("set")))
            .chain(diff.set.keys().map(key("cas")))
            .chain(diff.unset.iter().map(key("delete-cas")))
            .chain(diff.remove.iter().map(service("delete")))
            .collect();
        prop_assert_eq!(&flat, &expected);
        if flat.len() < 63 {
            prop_assert!(transactions.len() <= 1, "as one, if it can be");
        }
    }
}

#[test]
fn a_key_is_changed_only_where_it_was_read() {
    let (before, after) = (
        ServiceRecord::default(),
        ServiceRecord { colour: Some(Colour::Blue), ..ServiceRecord::default() },
    );
    let indices = BTreeMap::from([("verdigris/services/books-ms/colour".to_owned(), 7)]);
    let index = |from: &Image, to: &Image, indices: &BTreeMap<String, u64>| {
        let all = txn::transactions(&layout(), &Diff::between(from, to), indices, &[]);
        let json = serde_json::to_value(&all[0][0]).unwrap();
        json["KV"]["Index"].as_u64().unwrap()
    };
    let (none, blue) = (encode(&before), encode(&after));
    assert_eq!(index(&none, &blue, &BTreeMap::new()), 0, "it must not exist");
    assert_eq!(index(&blue, &none, &indices), 7);
}
