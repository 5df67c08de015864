//! Asks name servers, on threads of its own: addresses of names, names of addresses.
//!
//! The hosts file comes first, then the servers in their order, over UDP; of a name the first IPv4 address, else the first IPv6
//! one. Packets are simple-dns's. An answer counts only if it comes from the server that was asked and names the question.
//! Limits: [`THREADS`], [`QUEUE`] waiting questions; more are not taken, and whoever asked has no answer in time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

/// Threads that ask.
pub(super) const THREADS: usize = 4;
/// Questions that wait for one.
pub(super) const QUEUE: usize = 1024;
/// Largest answer over UDP that is read.
const PACKET: usize = 4096;
/// Servers and lines of files that are looked at.
const LINES: usize = 10_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// The name of an address.
    Reverse,
    /// The address of a name.
    Resolve,
}

/// Whom to ask, and how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    /// Addresses and names of the machine's hosts file.
    pub(super) hosts: Vec<(IpAddr, Box<str>)>,
}

/// The machine's own servers, of `/etc/resolv.conf`.
pub(super) fn system_servers() -> Vec<SocketAddr> {
    let text = system_file("/etc/resolv.conf");
    let servers = text.lines().take(LINES).filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers: Vec<_> = servers.filter_map(|address| server(address.trim())).collect();
    if servers.is_empty() { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))] } else { servers }
}

/// The machine's hosts file.
pub(super) fn system_hosts() -> Vec<(IpAddr, Box<str>)> {
    hosts(&system_file("/etc/hosts"))
}

fn hosts(text: &str) -> Vec<(IpAddr, Box<str>)> {
    let mut hosts = Vec::new();
    for line in text.lines().take(LINES) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        if let Some(address) = words.next().and_then(|address| address.parse::<IpAddr>().ok()) {
            hosts.extend(words.map(|name| (address, name.to_ascii_lowercase().into())));
        }
    }
    hosts
}

/// Empty where it cannot be read: a machine without it has no such names.
#[allow(clippy::disallowed_methods)] // the machine's, not the box's: no fault is put under it
fn system_file(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// An address with or without a port.
pub(super) fn server(text: &str) -> Option<SocketAddr> {
    let bare = text.split('%').next().unwrap_or(text);
    let of_address = bare.parse::<IpAddr>().ok().map(|address| SocketAddr::from((address, 53)));
    of_address.or_else(|| text.parse().ok())
}

/// Asks; `Ok(None)` where there is none, an error where nobody says.
pub(super) fn resolve(ask: Ask, question: &str, servers: &Servers) -> Result<Option<String>, ()> {
    let known = servers.hosts.iter().filter(|_| !question.is_empty());
    match ask {
        Ask::Reverse => {
            let address: IpAddr = question.parse().map_err(|_| ())?;
            if let Some((_, name)) = known.clone().find(|(known, _)| *known == address) {
                return Ok(Some(name.to_string()));
            }
            query(&reverse_name(address), TYPE::PTR, servers)
        }
        Ask::Resolve => {
            if let Some((address, _)) = known.clone().find(|(_, name)| **name == *question) {
                return Ok(Some(address.to_string()));
            }
            match query(question, TYPE::A, servers)? {
                Some(address) => Ok(Some(address)),
                None => query(question, TYPE::AAAA, servers),
            }
        }
    }
}

/// `4.3.2.1.in-addr.arpa`
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let mut name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            name.push_str("ip6.arpa");
            name
        }
    }
}

fn query(name: &str, kind: TYPE, servers: &Servers) -> Result<Option<String>, ()> {
    for _ in 0..=servers.retries {
        for server in &servers.addresses {
            if let Ok(answer) = ask_one(name, kind, *server, servers.timeout) {
                return Ok(answer);
            }
        }
    }
    Err(())
}

/// One question to one server.
fn ask_one(name: &str, kind: TYPE, server: SocketAddr, timeout: Duration) -> Result<Option<String>, ()> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let own = if server.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    // A socket for each question has a port that nobody can guess beside the number.
    let number = NEXT.fetch_add(0x9e37, Ordering::Relaxed);
    let mut packet = Packet::new_query(number);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name).map_err(|_| ())?, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    let bytes = packet.build_bytes_vec().map_err(|_| ())?;
    let socket = UdpSocket::bind(own).map_err(|_| ())?;
    socket.connect(server).map_err(|_| ())?;
    socket.set_read_timeout(Some(timeout)).map_err(|_| ())?;
    socket.send(&bytes).map_err(|_| ())?;
    let mut room = [0; PACKET];
    // Somebody else's packets are few; each read waits no longer than the first.
    for _ in 0..4 {
        let len = socket.recv(&mut room).map_err(|_| ())?;
        if let Some(answer) = read(room.get(..len).unwrap_or(&[]), number, name, kind) {
            return answer;
        }
    }
    Err(())
}

/// Reads an answer; `None` where it is to another question.
fn read(bytes: &[u8], number: u16, name: &str, kind: TYPE) -> Option<Result<Option<String>, ()>> {
    let packet = Packet::parse(bytes).ok()?;
    let asked = packet.questions.first()?;
    let is_ours = packet.id() == number
        && packet.has_flags(PacketFlag::RESPONSE)
        && asked.qname.to_string().eq_ignore_ascii_case(name)
        && asked.qtype == QTYPE::TYPE(kind);
    if !is_ours {
        return None;
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Some(Ok(None)),
        _ => return Some(Err(())),
    }
    // Aliases stand before what they stand for, and all are of this question.
    Some(Ok(packet.answers.iter().find_map(|answer| match &answer.rdata {
        RData::A(address) if kind == TYPE::A => Some(Ipv4Addr::from(address.address).to_string()),
        RData::AAAA(address) if kind == TYPE::AAAA => Some(Ipv6Addr::from(address.address).to_string()),
        RData::PTR(name) if kind == TYPE::PTR => is_name(&name.0.to_string()).then(|| name.0.to_string()),
        _ => None,
    })))
}

/// What may stand in a log: no spaces, no controls, whatever a stranger's server says.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, PTR};

    use super::*;

    /// A server that knows a few things; to `slow.` it never answers. Gives its address.
    pub(in super::super) fn start() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut room = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut room) {
                let Ok(query) = Packet::parse(&room[..len]) else { continue };
                let question = query.questions[0].clone();
                let name = question.qname.to_string();
                if name.starts_with("slow.") || name.starts_with("9.") {
                    continue;
                }
                let mut reply = Packet::new_reply(query.id());
                reply.questions.push(question.clone());
                let rdata = match (name.as_str(), question.qtype) {
                    ("4.3.2.1.in-addr.arpa", _) => Some(RData::PTR(PTR(Name::new("host.example.com").unwrap()))),
                    ("5.3.2.1.in-addr.arpa", _) => Some(RData::PTR(PTR(Name::new_unchecked("evil\n.example")))),
                    ("host.example.com", QTYPE::TYPE(TYPE::A)) => Some(RData::A(A { address: 0x0102_0304 })),
                    ("six.example.com", QTYPE::TYPE(TYPE::AAAA)) => Some(RData::AAAA(simple_dns::rdata::AAAA { address: 1 })),
                    ("broken.example.com", _) => {
                        *reply.rcode_mut() = RCODE::ServerFailure;
                        None
                    }
                    ("six.example.com", _) => None,
                    _ => {
                        *reply.rcode_mut() = RCODE::NameError;
                        None
                    }
                };
                if let Some(rdata) = rdata {
                    reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, rdata));
                }
                let _ = socket.send_to(&reply.build_bytes_vec().unwrap(), from);
            }
        });
        address
    }

    #[test]
    fn questions_are_answered() {
        let hosts = hosts("127.0.0.1 localhost Loop # x\n#10.0.0.1 no\n::1 six6\nbad line\n");
        let servers = Servers { addresses: vec![start()], timeout: Duration::from_secs(4), retries: 0, hosts };
        let hasty = Servers { timeout: Duration::from_millis(20), ..servers.clone() };
        for (ask, question, expected) in [
            (Ask::Reverse, "1.2.3.4", Ok(Some("host.example.com"))),
            (Ask::Reverse, "1.2.3.5", Ok(None)),
            (Ask::Reverse, "1.2.3.6", Ok(None)),
            (Ask::Reverse, "1.2.3.9", Err(())),
            (Ask::Reverse, "127.0.0.1", Ok(Some("localhost"))),
            (Ask::Reverse, "::1", Ok(Some("six6"))),
            (Ask::Resolve, "host.example.com", Ok(Some("1.2.3.4"))),
            (Ask::Resolve, "six.example.com", Ok(Some("::1"))),
            (Ask::Resolve, "none.example.com", Ok(None)),
            (Ask::Resolve, "broken.example.com", Err(())),
            (Ask::Resolve, "loop", Ok(Some("127.0.0.1"))),
        ] {
            // Only where no answer comes is there no time for one.
            let servers = if question == "1.2.3.9" { &hasty } else { &servers };
            assert_eq!(resolve(ask, question, servers), expected.map(|text| text.map(str::to_owned)), "{question}");
        }
    }

    #[test]
    fn addresses_backwards() {
        assert_eq!(reverse_name("1.2.3.4".parse().unwrap()), "4.3.2.1.in-addr.arpa");
        let six = reverse_name("2001:db8::1".parse().unwrap());
        assert!(six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa") && six.len() == 72, "{six}");
        assert_eq!(server("10.0.0.1"), "10.0.0.1:53".parse().ok());
        assert_eq!(server("[::1]:5353"), "[::1]:5353".parse().ok());
        assert_eq!(server("nobody"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&bytes, 1, "a.b", TYPE::PTR);
        }
    }
}
