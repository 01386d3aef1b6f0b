//! How processes find each other, and the messages that they exchange.

use super::VARIABLES;
use nepal::error::{Error, Result};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for the others at the start, and for what another computes: one that is dead but for its connection
/// is noticed then.
const PATIENCE: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(900)];
/// Time between two looks for the others.
const NAP: Duration = Duration::from_millis(50);
/// What a connection begins with.
const GREETING: &str = concat!("nepal ranks 1 ", env!("CARGO_PKG_VERSION"));
/// Longest message.
const LONGEST: u64 = 1 << 36;

/// Number of the exchange, time of the sender, length, content.
pub(super) fn send(
    stream: &mut TcpStream,
    number: u64,
    clock: f64,
    bytes: &[u8],
) -> std::io::Result<()> {
    let length = bytes.len() as u64;
    let head = [
        number.to_le_bytes(),
        clock.to_le_bytes(),
        length.to_le_bytes(),
    ];
    stream.write_all(&[head.as_flattened(), bytes].concat())
}

pub(super) fn receive(stream: &mut TcpStream, number: u64) -> std::io::Result<(f64, Vec<u8>)> {
    let mut head = [[0; 8]; 3];
    stream.read_exact(head.as_flattened_mut())?;
    let [found, clock, length] = head;
    let length = u64::from_le_bytes(length);
    if u64::from_le_bytes(found) != number || length > LONGEST {
        return Err(std::io::Error::other(
            "it is not at the same point of the training",
        ));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok((f64::from_le_bytes(clock), bytes))
}

/// The first process: tells where it is and waits for the others.
pub(super) fn wait_for(size: usize, file: &Path) -> Result<Vec<TcpStream>> {
    let failed =
        |e: std::io::Error| Error::Failed(format!("cannot listen for the other processes: {e}"));
    let listener = TcpListener::bind(("0.0.0.0", 0)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let token = token()?;
    let addresses: Vec<String> = addresses().iter().map(IpAddr::to_string).collect();
    publish(
        file,
        &format!("{token}\n{port}\n{}\n", addresses.join("\n")),
    )?;
    let mut found: Vec<Option<TcpStream>> = (1..size).map(|_| None).collect();
    let begin = Instant::now();
    while found.iter().any(Option::is_none) {
        match listener.accept() {
            // Whoever else comes along is let go.
            Ok((stream, _)) => {
                if let Ok((rank, stream)) = greeted(stream, &token, size)
                    && let Some(place @ None) = found.get_mut(rank - 1)
                {
                    *place = Some(stream);
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(NAP),
            Err(e) => return Err(failed(e)),
        }
        if begin.elapsed() > PATIENCE[0] {
            let missing: Vec<String> = (1..size)
                .filter(|rank| found[rank - 1].is_none())
                .map(|rank| rank.to_string())
                .collect();
            let _ = std::fs::remove_file(file);
            return Err(Error::Failed(format!(
                "of {size} processes that shall train together number {} did not come within {} s; they are to see {} \
                 and to reach this machine at port {port}. One process alone is started without {}",
                missing.join(", "),
                PATIENCE[0].as_secs(),
                file.display(),
                VARIABLES.map(|names| names[1]).join(", ")
            )));
        }
    }
    let _ = std::fs::remove_file(file);
    Ok(found.into_iter().flatten().collect())
}

/// A process that knows the token, by its number.
fn greeted(mut stream: TcpStream, token: &str, size: usize) -> std::io::Result<(usize, TcpStream)> {
    let wrong = || std::io::Error::other("it is somebody else");
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    // As long as a greeting is, so that a stranger does not fill the memory.
    BufReader::new((&mut stream).take(512)).read_line(&mut line)?;
    let words = line.trim_end().strip_prefix(GREETING).ok_or_else(wrong)?;
    let mut words = words.split_whitespace();
    let told = words.next() == Some(token);
    let [rank, count] = [words.next(), words.next()].map(|w| w.and_then(|w| w.parse().ok()));
    match (told, rank, count) {
        (true, Some(rank), Some(count)) if count == size && (1..size).contains(&rank) => {
            stream.write_all(b"welcome\n")?;
            ready(&stream)?;
            Ok((rank, stream))
        }
        _ => Err(wrong()),
    }
}

fn ready(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE[1]))?;
    stream.set_write_timeout(Some(PATIENCE[1]))
}

/// Another process: looks for the first. A file that an earlier run left leads nowhere, and is read again.
pub(super) fn find(rank: usize, size: usize, file: &Path) -> Result<TcpStream> {
    let begin = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            let mut lines = text.lines();
            let token = lines.next().unwrap_or_default();
            let port = lines.next().and_then(|line| line.parse::<u16>().ok());
            for address in lines.filter_map(|line| line.parse::<IpAddr>().ok()) {
                let Some(port) = port else { break };
                if let Ok(stream) = greet((address, port).into(), token, rank, size) {
                    return Ok(stream);
                }
            }
        }
        if begin.elapsed() > PATIENCE[0] {
            return Err(Error::Failed(format!(
                "process {rank} of {size} that shall train together does not find the first within {} s: that writes its \
                 address into {}, which all have to see",
                PATIENCE[0].as_secs(),
                file.display()
            )));
        }
        std::thread::sleep(NAP);
    }
}

fn greet(address: SocketAddr, token: &str, rank: usize, size: usize) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{GREETING} {token} {rank} {size}\n").as_bytes())?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    match &answer {
        b"welcome\n" => ready(&stream).map(|()| stream),
        _ => Err(std::io::Error::other("it is somebody else")),
    }
}

/// Where this machine may be reached: that of its way to others, and itself.
fn addresses() -> Vec<IpAddr> {
    let way = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        // Sends nothing; the address is one for documentation.
        socket.connect(("192.0.2.1", 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    way()
        .into_iter()
        .chain([IpAddr::from([127, 0, 0, 1])])
        .collect()
}

fn token() -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0u8; 16];
    let mut file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.read_exact(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Writes a file in one step that nobody else can read.
fn publish(file: &Path, text: &str) -> Result<()> {
    let part = file.with_extension("ranks.part");
    let _ = std::fs::remove_file(&part);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options
        .open(&part)
        .map_err(|e| Error::io("create", &part, e))?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(|e| Error::io("write", &part, e))?;
    std::fs::rename(&part, file).map_err(|e| Error::io("rename to", file, e))
}
