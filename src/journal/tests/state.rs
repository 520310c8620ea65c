//! One daemon per state directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[tokio::test]
async fn a_second_daemon_is_refused_and_told_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/state");
    let first = StateDir::lock(&path).unwrap();
    let refused = StateDir::lock(&path).unwrap_err();
    let told = refused.to_string();
    assert!(matches!(refused, StateDirError::Held { .. }));
    let process = format!("process {}", std::process::id());
    assert!(told.contains(&process) && told.contains("deep/state"), "{told}");
    let store = Store::open(&first, Retention::default()).await.unwrap();
    drop(first);
    assert!(StateDir::lock(&path).is_err(), "the store holds it too");
    drop(store);
    StateDir::lock(&path).unwrap();
}

#[test]
fn it_is_made_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let _state = StateDir::lock(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_file_in_its_place_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    fs::write(&path, "").unwrap();
    let told = StateDir::lock(&path).unwrap_err();
    assert!(matches!(told, StateDirError::Create { .. }), "{told}");
}
