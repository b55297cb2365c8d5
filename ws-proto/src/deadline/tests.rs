use super::*;

#[test]
fn a_wait_is_added_and_capped_at_thirty_years() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    assert_eq!(deadline_after(start, second), start + second);
    for endless in [LONGEST, LONGEST + second, Duration::MAX] {
        assert_eq!(deadline_after(start, endless), start + LONGEST, "{endless:?}");
    }
}

#[test]
fn a_clock_at_its_limit_does_not_panic() {
    let powers = (0..63).rev().map(|power| Duration::from_secs(1 << power));
    let last = powers.fold(Instant::now(), |at, step| at.checked_add(step).unwrap_or(at));
    assert_eq!(deadline_after(last, Duration::MAX), last);
}
