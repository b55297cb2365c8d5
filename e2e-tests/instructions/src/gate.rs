//! Runs the cases under valgrind and compares the counts with the table.

use std::{
    env,
    io::ErrorKind,
    process::{Command, Stdio},
    thread,
};

use crate::{
    cases::{CASES, Case},
    table::{Table, Verdict},
};

/// The processor that valgrind presents to the program has the features of the host, up to AVX2. The table holds for
/// hosts with AVX2.
const MACHINE: &str = "x86_64 with AVX2";

/// Compares the named cases, or all if there are no names, with the table.
pub(crate) fn check(names: &[&str]) -> Result<(), String> {
    let Some(machine) = machine() else {
        println!("skipped: the table holds for {MACHINE}");
        return Ok(());
    };
    if !has_valgrind() {
        return skip("valgrind is not installed");
    }
    let table = Table::read()?;
    let tolerance = table.tolerance(&compiler()?, machine);
    println!(
        "{}: a case may take {} % more than in the table, which is of {}",
        compiler()?,
        tolerance,
        table.compiler
    );
    println!("{:18} {:>8} {:>8} {:>8}", "case", "table", "now", "change");
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| names.is_empty() || names.contains(&case.name)) {
        let (before, now) = (table.get(case.name)?, count(case)?);
        let verdict = Verdict::of(before, now, tolerance);
        println!("{:18} {before:>8} {now:>8} {:>+7.1} %{verdict}", case.name, verdict.change());
        if verdict.fails() {
            failed.push(case.name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more instructions per message than the table allows: {}. If that is intended, run `just instructions --write`.",
        failed.join(", ")
    ))
}

/// Counts all cases and writes the table.
pub(crate) fn write() -> Result<(), String> {
    let machine = machine().ok_or_else(|| format!("the table is written on {MACHINE}"))?;
    let mut table = Table::new(compiler()?, machine);
    for case in CASES {
        let now = count(case)?;
        println!("{:18} {now:>8}", case.name);
        table.set(case.name, now);
    }
    table.write()
}

/// The instructions per message of a case.
fn count(case: &Case) -> Result<u64, String> {
    let (short, long) = thread::scope(|scope| {
        let short = scope.spawn(|| instructions(case, case.count));
        let long = instructions(case, 2 * case.count);
        (short.join(), long)
    });
    let short = short.unwrap_or_else(|_| Err(String::from("a thread panicked")))?;
    let more = long?.checked_sub(short).ok_or_else(|| format!("{}: the longer run took fewer", case.name))?;
    Ok((more + u64::from(case.count) / 2) / u64::from(case.count))
}

/// The instructions of a process that runs a case for `count` messages.
fn instructions(case: &Case, count: u32) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", case.name, &count.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let total = refs(&log).filter(|_| output.status.success());
    total.ok_or_else(|| format!("{} failed under valgrind, {}:\n{log}", case.name, output.status))
}

/// The count in valgrind's line `==1== I   refs:      1,234,567`.
fn refs(log: &str) -> Option<u64> {
    let count = log.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == "I" && words.next()? == "refs:").then(|| words.next()).flatten()
    })?;
    count.replace(',', "").parse().ok()
}

fn has_valgrind() -> bool {
    let ran = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    !matches!(ran, Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Says that nothing was counted. Where everything must be there, that is an error.
fn skip(reason: &str) -> Result<(), String> {
    if env::var_os("WS_REQUIRE_PEERS").is_some() {
        return Err(format!("{reason}, and WS_REQUIRE_PEERS is set"));
    }
    println!("skipped: {reason}");
    Ok(())
}

/// The machine's description, if the table can hold for it.
fn machine() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    if cfg!(target_os = "linux") && std::arch::is_x86_feature_detected!("avx2") {
        return Some(MACHINE);
    }
    None
}

/// The compiler's name and version.
fn compiler() -> Result<String, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::refs;

    #[test]
    fn the_count_is_found_in_the_log_of_valgrind() {
        let log = "==7== Cachegrind\n==7== \n==7== I   refs:      1,234,567\n";
        assert_eq!(refs(log), Some(1_234_567));
        assert_eq!(refs("==7== I refs:  89\n"), Some(89));
        assert_eq!(refs("==7== Cachegrind\n"), None);
    }
}
