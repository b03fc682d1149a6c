//! The proving ground: what shows that Holler does what it promises, and how well.

mod bench;
pub mod chance;
pub mod crash;
pub mod crash_points;
pub mod demo;
pub mod fuzz;
pub mod history;
pub mod kill;
pub mod link;
pub mod programs;
pub mod proxy;
mod python;
pub mod relay;
pub mod sim;
pub mod similarity;
pub mod tasks;
