//! Stack files of the sample service, as a person would write them, with this and that changed.

use serde_json::{Value, json};

/// A stack file with one service. It is written as JSON, which is YAML too.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The service.
    pub name: String,
    service: Value,
}

impl Stack {
    /// `name` from `image`: two replicas, a quick health check, all three kinds of points gated by
    /// HTTP, 80 and 443.
    pub fn new(name: &str, image: &str) -> Self {
        let service = json!({
            "image": image,
            // Each check is a process of its own: more of them would be most of the load.
            "healthcheck": {
                "test": ["CMD", "/books-ms", "health"],
                "interval": "1s", "timeout": "10s", "retries": 3,
            },
            "deploy": { "replicas": 2 },
            "stop_grace_period": "10s",
            "x-verdigris": {
                "port": 8080,
                "route": {
                    "hosts": [host(name)], "path": "/api/v1/books", "tls": true,
                },
                "gates": {
                    "pre_integration": [{ "http": { "path": "/health" }, "timeout": "10s" }],
                    "post_integration": [{ "http": { "path": "/api/v1/books" }, "timeout": "10s" }],
                },
                "stable_for": "300ms",
                "drain": "10s",
                "deadline": "90s",
            },
        });
        Self { name: name.to_owned(), service }
    }

    /// With `value` at `pointer` of the service, as `/deploy/replicas`.
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.service;
        for key in pointer.trim_start_matches('/').split('/') {
            if place.is_null() {
                *place = json!({});
            }
            place = &mut place[key];
        }
        *place = value.into();
        self
    }

    /// With the block's `key`.
    pub fn asking(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(&format!("/x-verdigris/{key}"), value)
    }

    /// With an environment variable.
    pub fn set(self, name: &str, value: &str) -> Self {
        self.with(&format!("/environment/{name}"), value)
    }

    /// Broken as `BOOKS_FAULT` says.
    pub fn fault(self, fault: &str) -> Self {
        self.set("BOOKS_FAULT", fault)
    }

    /// With other gates at a point.
    pub fn gate(self, point: &str, gates: &[Value]) -> Self {
        self.asking(&format!("gates/{point}"), gates.to_vec())
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let file = json!({ "services": { &self.name: self.service } });
        serde_json::to_string_pretty(&file).unwrap()
    }
}

/// The name under which the public knows a service: the testbed's certificate covers it.
pub fn host(service: &str) -> String {
    match service {
        "books-ms" => "books.example.com".to_owned(),
        other => format!("{other}.example.com"),
    }
}
