//! Gates: container, http and command.
