//! The rows, in groups of what is attacked.

mod allocation;
mod bursts;
mod clocks;
mod closes;
mod compression;
mod descriptors;
mod elephants;
mod floods;
mod fragments;
mod frames;
mod handlers;
mod heads;
mod injection;
mod masks;
mod origins;
mod proxies;
mod requests;
mod resets;
mod shutdown;
mod silence;
mod slots;
mod slow_readers;
mod splits;
mod tls;
mod transports;
mod utf8;
