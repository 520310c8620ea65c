//! `verdigris.toml`, read and validated; all problems are reported together.
