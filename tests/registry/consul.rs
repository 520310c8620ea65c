//! What only Consul does.
