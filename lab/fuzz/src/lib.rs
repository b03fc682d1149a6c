//! The targets of `holler-lab`, without what else that crate brings along.

#[path = "../../src/fuzz/mod.rs"]
pub mod fuzz;
