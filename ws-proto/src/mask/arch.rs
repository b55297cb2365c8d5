//! The same loops, compiled for wider instruction sets. `bench/LOG.md` has the measured gain of each.

/// XORs `data` with the repeating key, using the widest vectors that are worthwhile.
#[cfg(target_arch = "x86_64")]
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) {
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calls a function compiled for a detected instruction set")]
        // SAFETY: `avx2` is a safe function except for the instructions it is compiled to, and AVX2 was just detected
        // on this machine.
        unsafe {
            avx2(key, data);
        }
    } else {
        super::body::apply(key, data);
    }
}

/// As [`super::body::apply_and_test`], using the widest vectors that are worthwhile.
#[cfg(target_arch = "x86_64")]
pub(super) fn apply_and_test(key: [u8; 4], data: &mut [u8]) -> bool {
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calls a function compiled for a detected instruction set")]
        // SAFETY: as for `avx2`: `test_avx2` needs nothing but its instruction set, and AVX2 was just detected.
        unsafe {
            test_avx2(key, data)
        }
    } else {
        super::body::apply_and_test(key, data)
    }
}

/// As [`super::body::copy`], using the widest vectors that are worthwhile.
#[cfg(target_arch = "x86_64")]
pub(super) fn copy(key: [u8; 4], source: &[u8], target: &mut [u8]) {
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calls a function compiled for a detected instruction set")]
        // SAFETY: as for `avx2`: `copy_avx2` needs nothing but its instruction set, and AVX2 was just detected.
        unsafe {
            copy_avx2(key, source, target);
        }
    } else {
        super::body::copy(key, source, target);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn copy_avx2(key: [u8; 4], source: &[u8], target: &mut [u8]) {
    super::body::copy(key, source, target);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn test_avx2(key: [u8; 4], data: &mut [u8]) -> bool {
    super::body::apply_and_test(key, data)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(key: [u8; 4], data: &mut [u8]) {
    super::body::apply(key, data);
}

/// On 64-bit ARM the compiler uses its vectors by default. On other architectures no wider ones are known to help.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) {
    super::body::apply(key, data);
}

/// As [`super::body::copy`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn copy(key: [u8; 4], source: &[u8], target: &mut [u8]) {
    super::body::copy(key, source, target);
}

/// As [`super::body::apply_and_test`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn apply_and_test(key: [u8; 4], data: &mut [u8]) -> bool {
    super::body::apply_and_test(key, data)
}
