//! The same body for better instruction sets. `bench/RESULTS.md` has what each one gives.

/// XORs `data` with the repeating key, with the widest vectors that pay.
#[cfg(target_arch = "x86_64")]
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) {
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calls a function compiled for a detected instruction set")]
        // SAFETY: `avx2` is an ordinary safe function but for the instructions it is compiled to, and AVX2 was just
        // detected on this machine.
        unsafe {
            avx2(key, data);
        }
    } else {
        super::body::apply(key, data);
    }
}

/// As [`super::body::copy`], with the widest vectors that pay.
#[cfg(target_arch = "x86_64")]
pub(super) fn copy(key: [u8; 4], source: &[u8], target: &mut [u8]) {
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calls a function compiled for a detected instruction set")]
        // SAFETY: as for `avx2`: nothing but its instructions sets `copy_avx2` apart, and AVX2 was just detected.
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
fn avx2(key: [u8; 4], data: &mut [u8]) {
    super::body::apply(key, data);
}

/// Every 64-bit ARM has the vectors that the compiler uses anyway, and others have none that we know of.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) {
    super::body::apply(key, data);
}

/// As [`super::body::copy`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn copy(key: [u8; 4], source: &[u8], target: &mut [u8]) {
    super::body::copy(key, source, target);
}
