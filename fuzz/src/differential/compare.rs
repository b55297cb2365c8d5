//! Gives both libraries the same bytes and compares their reports.

use ws_proto::{error::ConnectionError, frame::MAX_HEADER_LEN};

use super::{Reader, Told, ours::Ours, scenario::Scenario};

/// The reports of one library, each with the number of bytes that it had been given by then.
struct Record {
    told: Vec<(usize, Told)>,
    /// The number of bytes that it was given.
    given: usize,
}

impl Record {
    fn of(scenario: &Scenario, reader: &mut impl Reader) -> Self {
        let mut record = Self { told: Vec::new(), given: 0 };
        for piece in scenario.pieces() {
            record.feed(reader, piece);
            if record.is_over() {
                break;
            }
        }
        record
    }

    fn feed(&mut self, reader: &mut impl Reader, piece: &[u8]) {
        let mut told = Vec::new();
        reader.feed(piece, &mut told);
        self.given += piece.len();
        self.told.extend(told.into_iter().map(|told| (self.given, told)));
    }

    fn end(&mut self, reader: &mut impl Reader) {
        let mut told = Vec::new();
        reader.end(&mut told);
        self.told.extend(told.into_iter().map(|told| (self.given, told)));
    }

    fn is_over(&self) -> bool {
        self.told.last().is_some_and(|(_, told)| told.is_end())
    }

    /// Feeds zeroes, one by one, until the library reports something. A library that checks only complete frames has to
    /// agree then.
    fn complete(&mut self, reader: &mut impl Reader, most: usize) {
        let before = self.told.len();
        for _ in 0..most {
            if self.told.len() > before {
                return;
            }
            self.feed(reader, &[0]);
        }
    }
}

/// A difference between the two reports of the same end.
pub(super) struct Difference<'a> {
    /// The violation that our library reports, if any.
    pub(super) violation: Option<ConnectionError>,
    pub(super) ours: &'a Told,
    /// The other library's report, if any.
    pub(super) theirs: Option<&'a Told>,
    /// The payload length that the header of the offending frame announces.
    pub(super) announced: u64,
    pub(super) limit: usize,
}

/// Gives both the same bytes. Their reports may differ only as `is_known` lists, and only at the end.
pub(super) fn compare(
    scenario: &Scenario,
    mut theirs: impl Reader,
    is_known: impl Fn(&Difference<'_>) -> bool,
) {
    let mut ours = Ours::new(scenario);
    let (mut our, mut their) = (Record::of(scenario, &mut ours), Record::of(scenario, &mut theirs));
    let most = scenario.limit + 32;
    match (our.is_over(), their.is_over()) {
        (true, false) => their.complete(&mut theirs, most),
        (false, true) => our.complete(&mut ours, most),
        (false, false) if scenario.ends => {
            our.end(&mut ours);
            their.end(&mut theirs);
        }
        _ => {}
    }
    for (at, (bytes, told)) in our.told.iter().enumerate() {
        let same = their.told.get(at).is_some_and(|(their_bytes, their_told)| {
            told == their_told && (bytes == their_bytes || matches!(told, Told::Violation(_)))
        });
        if same {
            continue;
        }
        let violation = ours.violation();
        let difference = Difference {
            violation,
            ours: told,
            theirs: their.told.get(at).map(|(_, told)| told),
            announced: announced(&scenario.wire, at_byte(scenario, violation)),
            limit: scenario.limit,
        };
        assert!(
            told.is_end() && is_known(&difference),
            "{violation:?}: {told:?} at {bytes}, they say {:?}",
            their.told.get(at)
        );
        return;
    }
    assert!(
        our.told.len() == their.told.len(),
        "we say no more, they say {:?}",
        their.told.get(our.told.len())
    );
    if let (Some((our_bytes, Told::Violation(_))), Some((their_bytes, _))) =
        (our.told.last(), their.told.last())
    {
        // An invalid header may be refused at any of its bytes.
        let header = MAX_HEADER_LEN + scenario.longest_piece();
        assert!(*our_bytes <= their_bytes + header, "seen at {our_bytes} and by them at {their_bytes}");
    }
}

/// The number of bytes, given one by one, after which `violation` is reported.
fn at_byte(scenario: &Scenario, violation: Option<ConnectionError>) -> usize {
    let mut ours = Ours::new(scenario);
    let at = scenario.wire.iter().position(|byte| {
        ours.feed(&[*byte], &mut Vec::new());
        ours.violation().is_some()
    });
    assert!(at.is_none() || ours.violation() == violation, "cuts make a difference");
    at.map_or(scenario.wire.len(), |at| at + 1)
}

/// The payload length of the frame that byte `at` belongs to.
fn announced(wire: &[u8], at: usize) -> u64 {
    // Missing bytes of the last header are zero, as in `complete`.
    let wire = [wire, &[0; MAX_HEADER_LEN]].concat();
    let mut start = 0;
    loop {
        let frame = &wire[start.min(wire.len())..];
        let [_, second, extended @ ..] = frame else { return 0 };
        let (len, header) = match (second & 0x7f, extended.first_chunk(), extended.first_chunk()) {
            (126, Some(len), _) => (u64::from(u16::from_be_bytes(*len)), 4),
            (127, _, Some(len)) => (u64::from_be_bytes(*len), 10),
            (126 | 127, ..) => return 0,
            (len, ..) => (u64::from(len), 2),
        };
        let end = start as u64 + header + if second & 0x80 == 0 { 0 } else { 4 };
        let end = end.saturating_add(len);
        if end >= at as u64 {
            return len;
        }
        start = end as usize;
    }
}
