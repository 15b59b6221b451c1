//! The project's own chores: set-up, demo, tests, measurements; and the network lab that demo and scenario tests share.
//!
//! A lab is a node and its neighbours made of network namespaces: [`netns`] makes one namespace, [`lab`] wires them and
//! attaches what a bundle holds, [`flow`] says who talks to whom and what `ciliumc trace` expects of it. Nothing here
//! touches the network of the machine itself.

pub mod bench;
pub mod bench_analysis;
pub mod bench_front;
pub mod bench_loader;
pub mod bench_path;
pub mod cluster;
pub mod demo;
pub mod error;
pub mod flow;
pub mod fuzz;
pub mod kernels;
pub mod lab;
pub mod netns;
pub mod process;
pub mod report;
pub mod setup;
pub mod suite;
pub mod tools;
pub mod traffic;
pub mod wire;
