//! Turns `socket:[12345]` into addresses and a state, so that a leak report names the connection.

use std::fs;
use std::net::Ipv4Addr;

/// The target of a descriptor, with addresses and state appended if it is a TCP socket.
pub(super) fn describe(target: &str) -> String {
    let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    match inode.and_then(find_tcp) {
        Some(connection) => format!("{target} {connection}"),
        None => target.to_owned(),
    }
}

fn find_tcp(inode: &str) -> Option<String> {
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| describe_line(line, inode))
    })
}

/// Columns: number, local address, remote address, state, five that are not used, inode.
fn describe_line(line: &str, inode: &str) -> Option<String> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    if columns.get(9) != Some(&inode) {
        return None;
    }
    Some(format!("tcp {} -> {} {}", address(columns[1])?, address(columns[2])?, state(columns[3])))
}

/// `0100007F:1F90` is 127.0.0.1:8080: the address in the machine's byte order, the port as a number.
fn address(hex: &str) -> Option<String> {
    let (host, port) = hex.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    match u32::from_str_radix(host, 16) {
        Ok(v4) if host.len() == 8 => Some(format!("{}:{port}", Ipv4Addr::from(v4.to_ne_bytes()))),
        _ => Some(format!("[{host}]:{port}")),
    }
}

fn state(hex: &str) -> &str {
    match hex {
        "01" => "ESTABLISHED",
        "02" => "SYN_SENT",
        "04" => "FIN_WAIT1",
        "05" => "FIN_WAIT2",
        "08" => "CLOSE_WAIT",
        "09" => "LAST_ACK",
        "0A" => "LISTEN",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "   3: 0100007F:1F90 0100007F:0051 08 00000000:00000000 00:00000000 00000000  1000  0 4711 1";

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_kernel_table_becomes_readable() {
        assert_eq!(
            describe_line(LINE, "4711").as_deref(),
            Some("tcp 127.0.0.1:8080 -> 127.0.0.1:81 CLOSE_WAIT")
        );
    }

    #[test]
    fn another_inode_is_another_socket() {
        assert_eq!(describe_line(LINE, "471"), None);
        assert_eq!(describe_line("", "471"), None);
    }

    #[test]
    fn a_target_that_is_no_socket_stays_as_it_is() {
        assert_eq!(describe("/dev/null"), "/dev/null");
        assert_eq!(describe("anon_inode:[eventpoll]"), "anon_inode:[eventpoll]");
    }
}
