/// Which side of the connection this is. It decides which side masks (RFC 6455 section 5.1) and which side closes the
/// transport first (section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection; masks what it sends.
    Client,
    /// Accepted the connection; closes the transport first.
    Server,
}
