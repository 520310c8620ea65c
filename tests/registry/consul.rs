//! What only Consul does.

