//! The machine that the numbers were measured on.

use std::fs;
use std::process::Command;

/// The names of the machine's parts.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    pub(crate) date: String,
    /// The load average of the last minute before the first run, as a measure of other programs' work.
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            processor: model.map_or_else(|| String::from("unknown"), |(_, name)| name.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            compiler: output("rustc", &["--version"]).split(" (").next().unwrap_or_default().to_owned(),
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            load: read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned(),
        }
    }

    /// A description in one line.
    pub(crate) fn describe(&self) -> String {
        let Self { processor, cores, kernel, compiler, .. } = self;
        format!("{processor}, {cores} cores, {kernel}, {compiler}, loopback")
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::from("unknown"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
