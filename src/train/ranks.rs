//! Several processes that train one model, each with its share of the data.
//!
//! All run the same program on the same numbers; what is computed for shares of the data is exchanged, so that every
//! decision is the same everywhere. Sums are taken in an order that does not depend on the number of processes: with the
//! same processor everywhere the model is the same, bit for bit.
//!
//! Why not MPI: a program has to be built for one MPI and runs with no other, and needs it where nothing is shared out.
//! `mpirun` and `srun` only start processes and number them; these meet over TCP, at an address that the first writes
//! into a file of a folder that all see. What a step exchanges is a few gradients, which TCP carries as well.

use nepal::error::{Error, Result};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Variables that number the processes of a start and count them: by hand, Open MPI, PMI (MPICH, Intel MPI), Slurm.
const VARIABLES: [[&str; 2]; 4] = [
    ["NEPAL_RANK", "NEPAL_RANKS"],
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
    ["PMI_RANK", "PMI_SIZE"],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
];
/// Longest wait for the others at the start, and for what another computes: one that is dead but for its connection
/// is noticed then.
const PATIENCE: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(900)];
/// Time between two looks for the others.
const NAP: Duration = Duration::from_millis(50);
/// What a connection begins with.
const GREETING: &str = concat!("nepal ranks 1 ", env!("CARGO_PKG_VERSION"));
/// Longest message.
const LONGEST: u64 = 1 << 36;

/// The place of a process among those that train together.
pub struct Ranks {
    rank: usize,
    size: usize,
    wire: Mutex<Wire>,
}

#[derive(Default)]
struct Wire {
    /// To the first process, or from it to all others.
    streams: Vec<TcpStream>,
    start: Option<Instant>,
    /// Seconds on the first process's clock at the last exchange.
    clock: f64,
    exchanges: u64,
    failure: Option<String>,
}

impl Default for Ranks {
    fn default() -> Self {
        Self::alone()
    }
}

/// Number and count of this process, if whoever started it told.
///
/// **Errors**: [`Error::InvalidArgument`] for variables that are no such numbers.
pub fn of_environment() -> Result<Option<(usize, usize)>> {
    for names in VARIABLES {
        let [Ok(rank), Ok(size)] = names.map(std::env::var) else {
            continue;
        };
        return match (rank.parse(), size.parse()) {
            (Ok(rank), Ok(size)) if rank < size => Ok(Some((rank, size))),
            _ => Err(Error::invalid(format!(
                "{}={rank:?} and {}={size:?}: expected the number of this process from 0, and how many there are",
                names[0], names[1]
            ))),
        };
    }
    Ok(None)
}

impl Ranks {
    /// A single process.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            size: 1,
            wire: Mutex::default(),
        }
    }

    /// Meets the other processes: the first leaves its address in `file`, which only its user can read, until all are
    /// there.
    ///
    /// **Errors**: [`Error::Failed`] if they do not meet within five minutes, or another nepal is among them;
    /// [`Error::Io`] for the file.
    pub fn meet((rank, size): (usize, usize), file: &Path) -> Result<Self> {
        let streams = match (rank, size) {
            (_, 0 | 1) => return Ok(Self::alone()),
            (0, _) => wait_for(size, file)?,
            _ => vec![find(rank, size, file)?],
        };
        Ok(Self {
            rank,
            size,
            wire: Mutex::new(Wire {
                streams,
                start: Some(Instant::now()),
                ..Wire::default()
            }),
        })
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether this is the one that writes and tells.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds on the clock that all have in common, as of the last exchange; `None` for a single process.
    pub(super) fn clock(&self) -> Option<f64> {
        (self.size > 1).then(|| self.wire().clock)
    }

    /// This process's part of so many tasks.
    pub(super) fn own(&self, tasks: usize) -> Range<usize> {
        let at = |rank: usize| tasks * rank / self.size;
        at(self.rank)..at(self.rank + 1)
    }

    /// Tells whether the others are still there: what is computed without them is NaN.
    ///
    /// **Errors**: [`Error::Failed`] naming who is missing.
    pub(super) fn check(&self) -> Result<()> {
        match &self.wire().failure {
            Some(failure) => Err(Error::Failed(failure.clone())),
            None => Ok(()),
        }
    }

    /// The sum of the tasks' results, each of `width` numbers, in the order of the tasks.
    pub(super) fn total(&self, width: usize, parts: Vec<Vec<f64>>) -> Vec<f64> {
        let sum = |parts: &mut dyn Iterator<Item = &[f64]>| {
            let mut total = vec![0.0; width];
            for part in parts {
                total.iter_mut().zip(part).for_each(|(t, x)| *t += x);
            }
            total
        };
        if self.size == 1 {
            return sum(&mut parts.iter().map(Vec::as_slice));
        }
        let found = self.exchange(to_bytes(&parts.concat()), |all| {
            let all: Vec<Vec<f64>> = all.iter().map(|bytes| to_numbers(bytes)).collect();
            let parts = all.iter().flat_map(|own| own.chunks_exact(width.max(1)));
            to_bytes(&sum(&mut { parts }))
        });
        match found {
            Some(bytes) if bytes.len() == 8 * width => to_numbers(&bytes),
            _ => vec![f64::NAN; width],
        }
    }

    /// The numbers of all processes, one after the other.
    pub(super) fn join(&self, own: Vec<f64>) -> Vec<f64> {
        if self.size == 1 {
            return own;
        }
        match self.exchange(to_bytes(&own), |all| all.concat()) {
            Some(bytes) => to_numbers(&bytes),
            None => vec![f64::NAN; own.len()],
        }
    }

    /// Whether something is so on any process.
    pub(super) fn any(&self, own: bool) -> bool {
        match self.size {
            1 => own,
            _ => self.total(1, vec![vec![f64::from(u8::from(own))]])[0] != 0.0,
        }
    }

    /// What the first process has.
    ///
    /// **Errors**: as [`Ranks::check`].
    pub(super) fn of_first(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        if self.size == 1 {
            return Ok(own);
        }
        let own = if self.is_first() { own } else { Vec::new() };
        let found = self.exchange(own, |mut all| all.swap_remove(0));
        self.check()?;
        Ok(found.unwrap_or_default())
    }

    /// Refuses processes that do not agree on what they do.
    ///
    /// **Errors**: [`Error::InvalidArgument`]; as [`Ranks::check`].
    pub(super) fn agree(&self, key: &str) -> Result<()> {
        let first = self.of_first(key.as_bytes().to_vec())?;
        let other = self.any(first != key.as_bytes());
        self.check()?;
        match other {
            true => Err(Error::invalid(
                "the processes that train together have other settings or data; give all the same files and options",
            )),
            false => Ok(()),
        }
    }

    /// Sends what each has to the first, which answers all with one thing; `None` once somebody is missing.
    fn exchange(
        &self,
        own: Vec<u8>,
        answer: impl FnOnce(Vec<Vec<u8>>) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let wire = &mut *self.wire();
        if wire.failure.is_some() {
            return None;
        }
        wire.exchanges += 1;
        let number = wire.exchanges;
        let lost = |rank: usize, e: std::io::Error| {
            let who = match rank {
                0 => "the first".to_owned(),
                _ => format!("number {rank}"),
            };
            format!(
                "of {} processes that train together {who} (counted from 0) ended or is out of reach: {e}; all end. The \
                 checkpoint is kept: start them again to go on",
                self.size
            )
        };
        let done: std::result::Result<Vec<u8>, String> = if self.is_first() {
            let mut all = vec![own];
            let mut read = Ok(());
            for (k, stream) in wire.streams.iter_mut().enumerate() {
                match receive(stream, number) {
                    Ok((_, bytes)) => all.push(bytes),
                    Err(e) => {
                        read = Err(lost(k + 1, e));
                        break;
                    }
                }
            }
            read.and_then(|()| {
                let answer = answer(all);
                wire.clock = wire.start.map_or(0.0, |s| s.elapsed().as_secs_f64());
                for (k, stream) in wire.streams.iter_mut().enumerate() {
                    send(stream, number, wire.clock, &answer).map_err(|e| lost(k + 1, e))?;
                }
                Ok(answer)
            })
        } else {
            let stream = &mut wire.streams[0];
            let clock = &mut wire.clock;
            send(stream, number, 0.0, &own)
                .and_then(|()| receive(stream, number))
                .map(|(now, bytes)| {
                    *clock = now;
                    bytes
                })
                .map_err(|e| lost(0, e))
        };
        match done {
            Ok(answer) => Some(answer),
            Err(failure) => {
                // The others notice by it.
                wire.streams.clear();
                wire.failure = Some(failure);
                None
            }
        }
    }
}

fn to_bytes(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn to_numbers(bytes: &[u8]) -> Vec<f64> {
    let (numbers, _) = bytes.as_chunks::<8>();
    numbers.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

/// Number of the exchange, time of the sender, length, content.
fn send(stream: &mut TcpStream, number: u64, clock: f64, bytes: &[u8]) -> std::io::Result<()> {
    let length = bytes.len() as u64;
    let head = [
        number.to_le_bytes(),
        clock.to_le_bytes(),
        length.to_le_bytes(),
    ];
    stream.write_all(&[head.as_flattened(), bytes].concat())
}

fn receive(stream: &mut TcpStream, number: u64) -> std::io::Result<(f64, Vec<u8>)> {
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
fn wait_for(size: usize, file: &Path) -> Result<Vec<TcpStream>> {
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
fn find(rank: usize, size: usize, file: &Path) -> Result<TcpStream> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a number of processes, as threads.
    fn together<R: Send>(size: usize, work: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.ranks");
        // One of an earlier run is no trap.
        std::fs::write(&file, "00\n1\n127.0.0.1\n").unwrap();
        let (file, work) = (&file, &work);
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..size)
                .map(|k| scope.spawn(move || work(Ranks::meet((k, size), file).unwrap())))
                .collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn sums_are_the_same_for_any_number_of_processes() {
        let tasks: Vec<Vec<f64>> = (0..11)
            .map(|k| (0..5).map(|i| 1.0 / f64::from(1 + 7 * k + i)).collect())
            .collect();
        let alone = Ranks::alone().total(5, tasks.clone());
        for size in [1, 2, 3, 5, 16] {
            let all = together(size, |ranks| {
                let own = ranks.own(tasks.len());
                let total = ranks.total(5, tasks[own.clone()].to_vec());
                let joined = ranks.join(own.map(|k| k as f64).collect());
                ranks.agree("same").unwrap();
                let first = ranks.of_first(vec![ranks.rank() as u8]).unwrap();
                (
                    total,
                    joined,
                    first,
                    ranks.any(ranks.rank() + 1 == ranks.size()),
                    ranks.clock(),
                )
            });
            for (total, joined, first, any, clock) in &all {
                assert_eq!(*total, alone, "{size}");
                assert_eq!(joined.len(), tasks.len());
                assert!(joined.is_sorted() && *any && *first == [0]);
                assert_eq!(*clock, all[0].4);
            }
        }
    }

    #[test]
    fn one_that_ends_or_differs_ends_all() {
        let said = together(3, |ranks| {
            if ranks.rank() == 2 {
                return String::new();
            }
            let total = ranks.total(2, vec![vec![1.0; 2]]);
            assert!(total.iter().all(|x| x.is_nan()));
            ranks.check().unwrap_err().to_string()
        });
        assert!(
            said[0].contains("number 2 (counted from 0) ended"),
            "{}",
            said[0]
        );
        assert!(
            said[1].contains("the first (counted from 0) ended"),
            "{}",
            said[1]
        );
        let said = together(2, |ranks| {
            let key = format!("{}", ranks.rank());
            ranks.agree(&key).unwrap_err().to_string()
        });
        assert!(
            said.iter().all(|s| s.contains("other settings or data")),
            "{said:?}"
        );
    }
}
