//! Where instances, colours and routes are recorded: `embedded` or `consul`.
