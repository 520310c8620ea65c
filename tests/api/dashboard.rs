//! The dashboard's files: whole, closed to the outside, and the same for everybody.

use crate::support::daemon::Daemon;

#[tokio::test]
async fn every_file_that_the_page_names_is_served_to_anybody() {
    let daemon = Daemon::start().await;
    let http = crate::http_over_tcp();
    let mut wanted = vec!["/".to_owned()];
    let mut served = Vec::new();
    while let Some(path) = wanted.pop() {
        if served.contains(&path) {
            continue;
        }
        let response = http.get(daemon.url(&path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = response.text().await.unwrap();
        for part in text.split(['"', '\'']) {
            let elsewhere = ["http:", "https:", "//"].iter().any(|start| {
                part.strip_prefix(start)
                    .is_some_and(|rest| !rest.starts_with(' ') && rest.len() > 2)
            });
            let namespace = part == "http://www.w3.org/2000/svg";
            assert!(!elsewhere || namespace, "{path} names {part}");
            let module = part.strip_prefix("./").and_then(|name| name.strip_suffix(".js"));
            if let Some(name) = module {
                wanted.push(format!("/assets/{name}.js"));
            } else if part.starts_with("/assets/") {
                wanted.push(part.to_owned());
            }
        }
        served.push(path);
    }
    assert_eq!(served.len(), 12, "{served:?}");
}

#[tokio::test]
async fn a_browser_keeps_a_file_until_it_changes() {
    let daemon = Daemon::start().await;
    let http = crate::http_over_tcp();
    let first = http.get(daemon.url("/assets/app.js")).send().await.unwrap();
    let tag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["cache-control"], "no-cache");
    let again = http.get(daemon.url("/assets/app.js")).header("if-none-match", tag);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(again.text().await.unwrap(), "");
    assert_eq!(http.get(daemon.url("/assets/other.js")).send().await.unwrap().status(), 401);
}
