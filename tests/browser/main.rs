//! The dashboard in a real browser (headless Chromium by chromedriver), over a fake daemon.
//!
//! Where there is no chromedriver these tests say so and pass; `VERDIGRIS_BROWSER=1` makes that
//! a failure, and `VERDIGRIS_BROWSER=0` leaves them out. `VERDIGRIS_SCREENSHOTS=DIRECTORY` keeps pictures.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod driver;
mod pages;
