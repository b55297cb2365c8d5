//! The measured part of a run: elapsed time and processor time at its start and end.

use bench_common::json::Numbers;
use bench_common::os::Process;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Window {
    server: Option<Process>,
    started: Instant,
    server_cpu: u64,
    own_cpu: u64,
}

fn own_cpu() -> u64 {
    Process { pid: std::process::id() }.cpu_ns().unwrap_or(0)
}

impl Window {
    pub(crate) fn open(server: Option<Process>) -> Self {
        let server_cpu = server.and_then(Process::cpu_ns).unwrap_or(0);
        Self { server, started: Instant::now(), server_cpu, own_cpu: own_cpu() }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Ends the window after `events` events. Records their rate, and the server's processor time per event, under
    /// these names.
    pub(crate) fn close(&self, events: f64, [rate, cost]: [&str; 2], numbers: &mut Numbers) {
        let seconds = self.seconds();
        let busy = |cpu: u64| cpu as f64 / 1e9 / seconds;
        numbers.push("seconds", seconds);
        numbers.push(rate, events / seconds);
        if let Some(cpu) = self.server.and_then(Process::cpu_ns) {
            let spent = cpu.saturating_sub(self.server_cpu);
            numbers.push(cost, spent as f64 / events);
            numbers.push("server_busy", busy(spent));
        }
        numbers.push("generator_busy", busy(own_cpu().saturating_sub(self.own_cpu)));
    }
}
