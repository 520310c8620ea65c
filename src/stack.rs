//! Compose files with an `x-verdigris` block, read into the model, with positions in errors.
