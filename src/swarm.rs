//! The Docker Engine API, by bollard: runs colours, and what gates need of an engine.
