//! The one place that names concrete adapters: builds the daemon from its configuration.
