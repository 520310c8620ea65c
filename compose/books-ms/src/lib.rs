//! What the sample service and its tests share: the catalogue.

pub mod catalogue;
