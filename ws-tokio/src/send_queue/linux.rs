//! Linux: the state is read through netlink (sock_diag(7)). It is the same as that of `SIOCOUTQ` and `TCP_INFO`, and
//! needs no unsafe code. A query is seven system calls; one is made when a deadline is about to pass.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, getpeername, getsockname, netlink, recv,
    send, socket_with, sockopt,
};
use ws_proto::SendQueue;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// The attribute with a `struct tcp_info`, and the bit that requests it.
const INET_DIAG_INFO: u16 = 2;
const ASK_FOR_INFO: u8 = 1 << (INET_DIAG_INFO - 1);

/// A `struct nlmsghdr`, followed by a `struct inet_diag_req_v2` or a `struct inet_diag_msg`.
const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = HEADER_LEN + 56;
const REPLY_LEN: usize = HEADER_LEN + 72;
/// Offset of the send queue's length in the reply.
const WRITE_QUEUE_AT: usize = HEADER_LEN + 60;

/// Offsets in a `struct tcp_info`. The last field exists since Linux 4.1.
const RETRANSMITS_AT: usize = 2;
const PROBES_AT: usize = 3;
const LAST_ACK_RECEIVED_AT: usize = 56;
const BYTES_ACKED_AT: usize = 120;

/// Returns the state of a TCP socket's send queue, for
/// [`WebSocket::with_send_queue`](crate::WebSocket::with_send_queue). `None` if the socket is not a TCP socket, its
/// connection is over, it belongs to another network namespace, or the process may not use netlink. On platforms other
/// than Linux it is always `None`.
#[must_use]
pub fn tcp_send_queue(socket: &impl AsFd) -> Option<SendQueue> {
    let request = request(socket.as_fd())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let netlink =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG)).ok()?;
    send(&netlink, &request, SendFlags::empty()).ok()?;
    let mut reply = [0; 1024];
    let (_, len) = recv(&netlink, &mut reply[..], RecvFlags::empty()).ok()?;
    parse(reply.get(..len)?)
}

/// Builds a request for the one socket with these addresses and this cookie.
fn request(socket: BorrowedFd<'_>) -> Option<[u8; REQUEST_LEN]> {
    let local = SocketAddr::try_from(getsockname(socket).ok()?).ok()?;
    let peer = SocketAddr::try_from(getpeername(socket).ok()??).ok()?;
    let cookie = sockopt::socket_cookie(socket).ok()?;
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let interface = match local {
        SocketAddr::V6(local) => local.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let mut request = [0; REQUEST_LEN];
    let mut rest = &mut request[..];
    let mut put = |bytes: &[u8]| {
        let (field, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        field.copy_from_slice(bytes);
        rest = behind;
    };
    put(&(REQUEST_LEN as u32).to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port.
    put(&[0; 8]);
    put(&[family.as_raw() as u8, IPPROTO_TCP, ASK_FOR_INFO, 0]);
    // Any state.
    put(&u32::MAX.to_ne_bytes());
    put(&local.port().to_be_bytes());
    put(&peer.port().to_be_bytes());
    put(&address(local.ip()));
    put(&address(peer.ip()));
    put(&interface.to_ne_bytes());
    put(&(cookie as u32).to_ne_bytes());
    put(&((cookie >> 32) as u32).to_ne_bytes());
    Some(request)
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            octets
        }
    }
}

fn parse(reply: &[u8]) -> Option<SendQueue> {
    if u16::from_ne_bytes(field(reply, 4)?) != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let unacknowledged = u32::from_ne_bytes(field(reply, WRITE_QUEUE_AT)?);
    let info = tcp_info(reply.get(REPLY_LEN..)?)?;
    let [retransmits] = field(info, RETRANSMITS_AT)?;
    let [probes] = field(info, PROBES_AT)?;
    let last_heard = u32::from_ne_bytes(field(info, LAST_ACK_RECEIVED_AT)?);
    // A peer that is present answers probes of its full window, so one probe may be unanswered. Probes are sent at
    // growing intervals.
    let owes_an_answer = retransmits > 0 || probes > 1;
    Some(SendQueue {
        acknowledged: u64::from_ne_bytes(field(info, BYTES_ACKED_AT)?),
        unacknowledged: unacknowledged.into(),
        unanswered: Duration::from_millis(if owes_an_answer { last_heard.into() } else { 0 }),
    })
}

/// Finds the attribute that was requested.
fn tcp_info(mut attributes: &[u8]) -> Option<&[u8]> {
    const ATTRIBUTE_HEADER_LEN: usize = 4;
    loop {
        let len = usize::from(u16::from_ne_bytes(field(attributes, 0)?));
        let kind = u16::from_ne_bytes(field(attributes, 2)?);
        if kind == INET_DIAG_INFO {
            return attributes.get(ATTRIBUTE_HEADER_LEN..len);
        }
        // Attributes are aligned to four bytes.
        attributes = attributes.get(len.max(ATTRIBUTE_HEADER_LEN).next_multiple_of(4)..)?;
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read as _, Write as _},
        net::{TcpListener, TcpStream},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn a_send_queue_is_what_was_written_and_not_acknowledged() {
        for address in ["127.0.0.1", "::1"] {
            let (mut near, mut far) = pair(address);
            near.set_nonblocking(true).unwrap();
            let before = tcp_send_queue(&near).unwrap();
            assert_eq!((before.unacknowledged, before.unanswered), (0, Duration::ZERO));
            let mut written = 0;
            while let Ok(n) = near.write(&[0; 65536]) {
                written += n as u64;
            }
            let full = tcp_send_queue(&near).unwrap();
            let acknowledged = full.acknowledged - before.acknowledged;
            assert_eq!(acknowledged + full.unacknowledged, written);
            assert!(full.unacknowledged > 0);
            // Until the queue is empty.
            let mut buffer = vec![0; 65536];
            let mut read = 0;
            while read < written {
                read += far.read(&mut buffer).unwrap() as u64;
            }
            let after = tcp_send_queue(&near).unwrap();
            assert_eq!(after.acknowledged - before.acknowledged + after.unacknowledged, written);
            assert!(after.acknowledged > full.acknowledged);
        }
    }

    #[test]
    fn a_dual_stack_socket_has_a_send_queue() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let near = listener.accept().unwrap().0;
        assert!(near.local_addr().unwrap().is_ipv6());
        assert!(tcp_send_queue(&near).is_some());
        assert!(tcp_send_queue(&far).is_some());
    }

    #[test]
    fn a_socket_that_is_not_tcp_or_not_connected_has_no_send_queue() {
        let (near, _far) = UnixStream::pair().unwrap();
        assert_eq!(tcp_send_queue(&near), None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(tcp_send_queue(&listener), None);
    }

    #[test]
    fn a_connection_that_was_reset_has_no_send_queue() {
        let (mut near, far) = pair("127.0.0.1");
        near.write_all(b"unread").unwrap();
        while far.peek(&mut [0]).unwrap() == 0 {}
        drop(far);
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(tcp_send_queue(&near), None);
    }

    #[test]
    fn a_truncated_reply_is_no_send_queue() {
        let mut reply = vec![0; REPLY_LEN];
        reply[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        reply[WRITE_QUEUE_AT..][..4].copy_from_slice(&7_u32.to_ne_bytes());
        let mut attribute = |kind: u16, data: &[u8]| {
            reply.extend((data.len() as u16 + 4).to_ne_bytes());
            reply.extend(kind.to_ne_bytes());
            reply.extend(data);
            reply.resize(reply.len().next_multiple_of(4), 0);
        };
        attribute(9, &[1; 5]);
        let mut info = [0; 232];
        info[PROBES_AT] = 2;
        info[LAST_ACK_RECEIVED_AT..][..4].copy_from_slice(&1500_u32.to_ne_bytes());
        info[BYTES_ACKED_AT..][..8].copy_from_slice(&3_u64.to_ne_bytes());
        attribute(INET_DIAG_INFO, &info);
        let whole = SendQueue { acknowledged: 3, unacknowledged: 7, unanswered: Duration::from_millis(1500) };
        assert_eq!(parse(&reply), Some(whole));
        for len in 0..reply.len() {
            assert_eq!(parse(&reply[..len]), None, "{len}");
        }
    }
}
