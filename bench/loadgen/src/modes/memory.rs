//! The memory of the whole machine, from `/proc/meminfo`.

use std::fs;

/// What the kernel uses for itself: its slabs, single pages for tables, and memory by `vmalloc`. For idle sockets it is
/// almost all slabs. Both ends of each connection are in it.
pub(super) fn kernel() -> u64 {
    // `SReclaimable` holds the caches of files, but also the directory entries of sockets.
    ["Slab:", "PageTables:", "VmallocUsed:"].into_iter().map(field).sum()
}

/// What processes can still allocate.
pub(super) fn available() -> u64 {
    field("MemAvailable:")
}

fn field(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    #[test]
    fn meminfo_has_the_fields() {
        assert!(super::available() > 0);
        assert!(super::kernel() > 0);
    }
}
