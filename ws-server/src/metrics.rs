//! The statistics of a server as metrics: for the facade of the crate [`metrics`](https://docs.rs/metrics), and as plain
//! samples. Feature `metrics`.
//!
//! An [`Exporter`] reports to the recorder that the program has installed, such as that of
//! `metrics-exporter-prometheus`. Call [`update`](Exporter::update) now and then, or when the metrics are asked for:
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use ws_server::{Server, metrics::Exporter};
//!
//! let server = Server::bind("127.0.0.1:9001").await?;
//! let mut exporter = Exporter::new(server.stats_handle());
//! tokio::spawn(async move {
//!     loop {
//!         exporter.update();
//!         tokio::time::sleep(std::time::Duration::from_secs(5)).await;
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! [`METRICS`] lists all metrics. Their names, units and labels are stable. [`samples`] is for a program that renders
//! them itself: the example `metrics-server` serves them to Prometheus without a recorder.

mod exporter;
mod samples;
mod table;

pub use exporter::Exporter;
pub use samples::{Sample, Value, samples};
pub use table::{METRICS, Metric, MetricKind};
