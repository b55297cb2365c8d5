//! Random operations on a delivery and on the reference.

use proptest::prelude::*;

use super::{
    reference::{Reference, Sample},
    *,
};

/// The messages for which a connection has room.
const ROOM: usize = 4;
const TOPICS: u64 = 3;
const KEYS: u8 = 40;

#[derive(Debug, Clone)]
enum Op {
    Join { messages: usize, bytes: usize },
    Leave { member: usize },
    Subscribe { member: usize, topic: u64, slow: SlowPolicy, recovered: usize },
    Unsubscribe { member: usize, topic: u64 },
    Publish { topic: u64, len: usize, key: Option<u8>, except: Option<usize>, is_expired: bool, count: usize },
    Fill { member: usize, limit: usize, back: Option<u64> },
    Dispatch { takes: bool },
    Check,
}

fn policy() -> impl Strategy<Value = SlowPolicy> {
    let kind = prop_oneof![
        1 => Just(SlowPolicy::disconnect()),
        2 => Just(SlowPolicy::drop_newest()),
        2 => Just(SlowPolicy::drop_oldest()),
        4 => Just(SlowPolicy::latest_per_key()),
    ];
    let messages = prop_oneof![4 => 1..6_usize, 2 => Just(1000)];
    let bytes = prop_oneof![2 => 50..1000_usize, 4 => Just(1 << 20)];
    (kind, messages, bytes).prop_map(|(kind, messages, bytes)| kind.max_messages(messages).max_bytes(bytes))
}

fn op() -> impl Strategy<Value = Op> {
    let member = 0..8_usize;
    let topic = 0..TOPICS;
    let join = (prop_oneof![1..10_usize, Just(1000)], prop_oneof![100..2000_usize, Just(1 << 20)]);
    let subscribe = (member.clone(), topic.clone(), policy(), 0..4_usize);
    let publish = (
        topic.clone(),
        prop_oneof![8..20_usize, 8..400_usize],
        proptest::option::of(0..KEYS),
        proptest::option::weighted(0.2, member.clone()),
        proptest::bool::weighted(0.1),
        prop_oneof![3 => 1..3_usize, 1 => 1..30_usize],
    );
    let fill = (member.clone(), prop_oneof![1..300_usize, Just(usize::MAX)], proptest::option::of(0..6_u64));
    prop_oneof![
        2 => join.prop_map(|(messages, bytes)| Op::Join { messages, bytes }),
        1 => member.clone().prop_map(|member| Op::Leave { member }),
        5 => subscribe.prop_map(|(member, topic, slow, recovered)| {
            Op::Subscribe { member, topic, slow, recovered }
        }),
        2 => (member, topic).prop_map(|(member, topic)| Op::Unsubscribe { member, topic }),
        14 => publish.prop_map(|(topic, len, key, except, is_expired, count)| {
            Op::Publish { topic, len, key, except, is_expired, count }
        }),
        8 => fill.prop_map(|(member, limit, back)| Op::Fill { member, limit, back }),
        4 => proptest::bool::ANY.prop_map(|takes| Op::Dispatch { takes }),
        2 => Just(Op::Check),
    ]
}

struct Subject {
    slot: Slot,
    peer: Peer,
    reference: Reference,
}

struct World {
    delivery: Delivery,
    members: Vec<Subject>,
    /// The ids and the numbers so far.
    next: u64,
    past: Instant,
}

impl World {
    fn run(&mut self, op: Op) {
        let count = self.members.len();
        let at = |member: usize| if count == 0 { None } else { Some(member % count) };
        match op {
            Op::Join { messages, bytes } => self.join(MemberLimits { messages, bytes }),
            Op::Leave { member } => {
                if let Some(member) = at(member) {
                    let Subject { slot, .. } = self.members.swap_remove(member);
                    self.delivery.remove_member(slot);
                }
            }
            Op::Subscribe { member, topic, slow, recovered } => {
                if let Some(member) = at(member) {
                    self.subscribe(member, topic, slow, recovered);
                }
            }
            Op::Unsubscribe { member, topic } => {
                if let Some(member) = at(member) {
                    let Subject { slot, reference, .. } = &mut self.members[member];
                    self.delivery.push(Command::Unsubscribe { slot: *slot, topic: TopicId(topic) });
                    self.delivery.kick();
                    reference.unsubscribe(topic);
                }
            }
            Op::Publish { topic, len, key, except, is_expired, count } => {
                let except = except.and_then(at).map(|member| self.members[member].reference.id);
                for offset in 0..count {
                    let key = key.map(|key| (key + offset as u8) % KEYS);
                    self.publish(topic, Sample { len, key, except, is_expired, ..Sample::default() });
                }
            }
            Op::Fill { member, limit, back } => {
                if let Some(member) = at(member) {
                    self.fill(member, limit, back);
                }
            }
            Op::Dispatch { takes } => self.dispatch(takes),
            Op::Check => self.check(),
        }
        self.members.iter().for_each(|member| member.reference.check());
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn join(&mut self, limits: MemberLimits) {
        let id = self.number();
        let wake = MemberWake::Local(id as u32);
        self.members.push(Subject {
            slot: self.delivery.add_member(MemberId(id), wake, limits),
            peer: Peer::with(|config| config.write_queue_messages = ROOM),
            reference: Reference::new(id, limits),
        });
    }

    fn subscribe(&mut self, member: usize, topic: u64, slow: SlowPolicy, recovered: usize) {
        let samples: Vec<Sample> = (0..recovered)
            .map(|len| Sample { number: self.number(), len: 8 + 50 * len, key: Some(1), ..Sample::default() })
            .collect();
        let recovered = samples.iter().map(|sample| Arc::new(self.publication(sample))).collect();
        let Subject { slot, reference, .. } = &mut self.members[member];
        self.delivery.push(Command::Subscribe { slot: *slot, topic: TopicId(topic), slow, recovered });
        self.delivery.kick();
        reference.subscribe(topic, slow, &samples, self.delivery.last_number());
    }

    fn publication(&self, sample: &Sample) -> Publication {
        with(numbered(sample.number, sample.len), |it| {
            it.key = sample.key.map(|key| Bytes::from(vec![key]));
            it.except = sample.except.map(MemberId);
            it.deadline = Some(self.past).filter(|_| sample.is_expired);
        })
    }

    fn publish(&mut self, topic: u64, mut sample: Sample) {
        sample.number = self.number();
        let publication = Arc::new(self.publication(&sample));
        self.delivery.push(Command::Publish {
            topic: TopicId(topic),
            publication,
            room: RoomShare::default(),
        });
        self.delivery.kick();
        let place = self.delivery.last_number();
        self.members.iter_mut().for_each(|member| member.reference.publish(topic, &sample, place));
    }

    fn fill(&mut self, member: usize, limit: usize, back: Option<u64>) {
        let before = back.map(|back| self.delivery.last_number().saturating_sub(back));
        let Subject { slot, peer, reference } = &mut self.members[member];
        let filled = peer.fill(&self.delivery, *slot, limit, before);
        assert_eq!((peer.take(), filled), reference.fill(limit, before, ROOM));
    }

    /// Each connection that has something to do was asked, once. Those that have a single publication get it without a
    /// turn, if they take it.
    fn dispatch(&mut self, takes: bool) {
        let (mut due, mut singles, mut others) = (VecDeque::new(), Singles::default(), VecDeque::new());
        self.delivery.dispatch(&mut due);
        self.delivery.take_singles(due.into_iter(), Instant::now(), |_| takes, &mut singles, &mut others);
        for (id, message) in singles.sends() {
            let reference = self.asked(id);
            assert_eq!(reference.take_single(), Some(number_of(message)));
        }
        for id in others {
            let reference = self.asked(id);
            assert!(!takes || reference.clone().take_single().is_none(), "{reference:?}");
            reference.is_asked = true;
        }
        for Subject { reference, .. } in &self.members {
            assert!(
                (reference.is_asked && !reference.is_asked_again) || !reference.wants_turn(),
                "{reference:?}"
            );
        }
    }

    /// A member that was asked, and had not been before, or became slow.
    fn asked(&mut self, id: u32) -> &mut Reference {
        let member = self.members.iter_mut().find(|member| member.reference.id == u64::from(id));
        let reference = &mut member.expect("a member that has not left").reference;
        let was_asked_again = std::mem::take(&mut reference.is_asked_again);
        assert!(reference.wants_turn() && (!reference.is_asked || was_asked_again), "{reference:?}");
        reference
    }

    fn check(&self) {
        for Subject { slot, reference, .. } in &self.members {
            assert_eq!(self.delivery.waiting(*slot), reference.waiting());
            assert_eq!(self.delivery.missed(*slot), reference.missed);
            for topic in 0..TOPICS {
                assert_eq!(self.delivery.missed_in(*slot, TopicId(topic)), reference.missed_in(topic));
            }
        }
    }

    /// Everything arrives in the end, and nothing is left behind.
    fn end(mut self) {
        self.check();
        self.dispatch(false);
        for member in 0..self.members.len() {
            while self.members[member].reference.wants_turn() {
                self.fill(member, usize::MAX, None);
            }
        }
        self.check();
        {
            let members = self.delivery.lock_executed();
            assert!(members.store.is_quiet());
            assert_eq!((members.store.nodes.len(), members.store.held.len()), (0, 0));
        }
        self.members.drain(..).for_each(|member| self.delivery.remove_member(member.slot));
        let members = self.delivery.lock_executed();
        assert_eq!((members.store.members.len(), members.store.subscriptions.len()), (0, 0));
        assert!(members.store.missed.is_empty() && members.store.keys.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_delivery_does_what_vectors_and_maps_do(ops in proptest::collection::vec(op(), 1..120)) {
        let past = Instant::now();
        let mut world = World { delivery: local(), members: Vec::new(), next: 0, past };
        ops.into_iter().for_each(|op| world.run(op));
        world.end();
    }
}
