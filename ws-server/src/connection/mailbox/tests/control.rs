//! Pings and pongs, and pings that wait for their pongs.

use super::*;

/// Polls a timed ping once.
fn poll_ping(mailbox: &Mailbox, number: &mut Option<u64>) -> Poll<Result<Duration, ws_tokio::Error>> {
    mailbox.poll_ping(&mut Context::from_waker(Waker::noop()), number)
}

#[test]
fn a_ping_behind_a_full_control_queue_is_sent_later() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.block();
    while endpoint.connection.ping(&[1; 100], &mut endpoint.tx).is_ok() {}
    endpoint.mailbox.ping(&[2; 100]).unwrap();
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "");
    assert!(endpoint.transfer(), "the ping is left, and the close behind it");
    let first = endpoint.written();
    assert!(first.iter().all(|frame| *frame == (OpCode::Ping, vec![1; 100])), "{first:?}");
    assert!(!endpoint.transfer());
    let last = endpoint.written();
    assert_eq!((opcodes(&last), &last[0].1), (vec![OpCode::Ping, OpCode::Close], &vec![2; 100]));
}

#[test]
fn pings_are_refused_as_the_connection_refuses_them() {
    let endpoint = Endpoint::new(|_| ());
    assert_eq!(endpoint.mailbox.ping(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
    while endpoint.mailbox.ping(&[0; 100]).is_ok() {}
    assert_eq!(endpoint.mailbox.ping(&[0; 100]), Err(ControlError::Full));
    endpoint.mailbox.end(ConnectionState::Closing);
    assert_eq!(endpoint.mailbox.ping(&[]), Err(ControlError::Closed));
}

#[test]
fn pings_and_pongs_of_senders_go_out_in_their_order() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.mailbox.pong(b"1").unwrap();
    endpoint.mailbox.ping(b"2").unwrap();
    endpoint.mailbox.pong(b"3").unwrap();
    endpoint.transfer();
    let expected = [(OpCode::Pong, b"1"), (OpCode::Ping, b"2"), (OpCode::Pong, b"3")];
    assert_eq!(endpoint.written(), expected.map(|(opcode, payload)| (opcode, payload.to_vec())));
}

#[test]
fn a_pong_has_the_limits_of_a_ping() {
    let endpoint = Endpoint::new(|_| ());
    assert_eq!(endpoint.mailbox.pong(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
    endpoint.mailbox.pong(&[1; 125]).unwrap();
    endpoint.mailbox.pong(&[2; 125]).unwrap();
    assert_eq!(endpoint.mailbox.pong(&[3; 125]), Err(ControlError::Full));
    endpoint.mailbox.end(ConnectionState::Closed);
    assert_eq!(endpoint.mailbox.pong(b""), Err(ControlError::Closed));
}

#[test]
fn a_timed_ping_is_sent_once_and_answered_by_its_pong() {
    let mut endpoint = Endpoint::new(|_| ());
    let mut number = None;
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    assert_eq!(endpoint.wakes(), 1);
    assert!(!endpoint.transfer(), "nothing is left to send, so the connection does not ask for turns");
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    assert_eq!(endpoint.wakes(), 1, "nothing new to send");
    let frames = endpoint.written();
    let [(OpCode::Ping, payload)] = &frames[..] else { panic!("one ping: {frames:?}") };
    endpoint.mailbox.on_pong(b"another");
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    endpoint.mailbox.on_pong(payload);
    assert!(matches!(poll_ping(&endpoint.mailbox, &mut number), Poll::Ready(Ok(_))));
    endpoint.mailbox.forget_ping(number.unwrap());
    assert!(endpoint.mailbox.lock().rare.is_none(), "nothing is left behind");
}

#[test]
fn a_timed_ping_that_is_dropped_leaves_nothing_behind() {
    let mut endpoint = Endpoint::new(|_| ());
    let mut number = None;
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    endpoint.transfer();
    endpoint.mailbox.forget_ping(number.unwrap());
    assert!(endpoint.mailbox.lock().rare.is_none());
}

#[test]
fn a_timed_ping_is_forgotten_although_the_waker_panics() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }

    let config = Config::default().validate().unwrap();
    let mailbox = Mailbox::new(&config, ConnWaker::Task(Waker::from(Arc::new(Panics))), Arc::default());
    let mut number = None;
    guarded(|| poll_ping(&mailbox, &mut number)).unwrap_err();
    mailbox.forget_ping(number.unwrap());
    assert!(mailbox.lock().rare.as_ref().unwrap().timed.is_idle());
}

#[test]
fn an_answer_that_came_before_the_end_is_not_lost() {
    let mut endpoint = Endpoint::new(|_| ());
    let (mut answered, mut unanswered) = (None, None);
    assert!(poll_ping(&endpoint.mailbox, &mut answered).is_pending());
    endpoint.transfer();
    let payload = endpoint.written().remove(0).1;
    assert!(poll_ping(&endpoint.mailbox, &mut unanswered).is_pending());
    endpoint.mailbox.on_pong(&payload);
    endpoint.mailbox.end(ConnectionState::Closed);
    assert!(matches!(poll_ping(&endpoint.mailbox, &mut answered), Poll::Ready(Ok(_))));
    let closed = Poll::Ready(Err(ws_tokio::Error::Closed));
    assert_eq!(poll_ping(&endpoint.mailbox, &mut unanswered), closed);
    assert_eq!(poll_ping(&endpoint.mailbox, &mut None), closed);
    [answered, unanswered].into_iter().flatten().for_each(|number| endpoint.mailbox.forget_ping(number));
    assert!(endpoint.mailbox.lock().rare.is_none());
}

#[test]
fn a_close_goes_out_while_a_timed_ping_waits_for_its_pong() {
    let mut endpoint = Endpoint::new(|_| ());
    let mut number = None;
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    endpoint.transfer();
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "");
    assert!(!endpoint.transfer());
    assert_eq!(opcodes(&endpoint.written()), [OpCode::Ping, OpCode::Close]);
    assert_eq!(poll_ping(&endpoint.mailbox, &mut number), Poll::Ready(Err(ws_tokio::Error::Closed)));
}
