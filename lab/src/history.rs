//! A checker for what clients saw of a room's log.
//!
//! It knows nothing of how the log is made. It is told, for each history (incarnation) of a room, which sends were acked, which
//! events each reader was given in which order, how far a read reached, and what the log holds in the end; and it says what
//! can't be:
//!
//! | fault | what was seen |
//! |---|---|
//! | [`Fault::Lost`] | an acked send is not in the log, or not at its place |
//! | [`Fault::Duplicate`] | a send is in the log twice, or a reader was given an event twice |
//! | [`Fault::Gap`] | a reader, or the log, has an event but not the one before it |
//! | [`Fault::Inversion`] | a reader was given an event after a later one |
//! | [`Fault::Disagreement`] | two readers, or a reader and the log, have different events at one place |
//! | [`Fault::StaleRead`] | a read that began after a client's own ack ended before it |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use holler_core::model::Event;

/// The name of a send: who sent it, and the sender's name for it.
pub type Key = ([u8; 16], [u8; 16]);

/// One event at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Its place, from 1.
    pub seq: u64,
    /// Which send it is.
    pub key: Key,
    /// A hash of all of it.
    pub content: u64,
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        let mut hasher = DefaultHasher::new();
        (event.received_at.0, event.user.bytes()).hash(&mut hasher);
        serde_json::to_string(&event.body).unwrap_or_default().hash(&mut hasher);
        Self { seq: event.seq.0, key: (*event.device.bytes(), *event.client_id.bytes()), content: hasher.finish() }
    }
}

/// What was observed, in the order in which it was.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// A send of `client` was acked.
    Acked {
        /// Who sent.
        client: u64,
        /// Which send.
        key: Key,
        /// The place that it was told.
        seq: u64,
    },
    /// A reader begins, with what follows `after`. One client may be several readers, one after the other.
    Begins {
        /// The reader.
        reader: u64,
        /// The last place that it does not ask for.
        after: u64,
    },
    /// A reader was given an event.
    Seen {
        /// The reader.
        reader: u64,
        /// The event.
        entry: Entry,
    },
    /// `client` began to read the log's end when it knew of acks up to `known`, and found it at `head`.
    Read {
        /// Who read.
        client: u64,
        /// The highest place among its own acks when the read began.
        known: u64,
        /// What it found.
        head: u64,
    },
}

/// Something that can't be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An acked send is not at its place.
    Lost {
        /// The place that was told.
        seq: u64,
        /// Where it is instead.
        found: Option<u64>,
    },
    /// There twice.
    Duplicate {
        /// The first place.
        first: u64,
        /// The second.
        second: u64,
        /// Who was given it, or `None`: the log.
        reader: Option<u64>,
    },
    /// An event is missing before one that is there.
    Gap {
        /// The last place before it.
        after: u64,
        /// The next one that is there.
        found: u64,
        /// Who was given it, or `None`: the log.
        reader: Option<u64>,
    },
    /// An earlier event came after a later one.
    Inversion {
        /// The later.
        after: u64,
        /// The earlier.
        found: u64,
        /// To whom.
        reader: u64,
    },
    /// One place, two events.
    Disagreement {
        /// The place.
        seq: u64,
        /// Who has another than was seen there first.
        reader: Option<u64>,
    },
    /// Older than an own write.
    StaleRead {
        /// Whose.
        client: u64,
        /// The own write.
        known: u64,
        /// Where the read ended.
        head: u64,
    },
}

impl Fault {
    /// The word for the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Duplicate { .. } => "duplicate",
            Self::Gap { .. } => "gap",
            Self::Inversion { .. } => "inversion",
            Self::Disagreement { .. } => "disagreement",
            Self::StaleRead { .. } => "stale read",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |reader: &Option<u64>| reader.map_or_else(|| "the log".to_owned(), |n| format!("reader {n}"));
        match self {
            Self::Lost { seq, found: None } => write!(f, "lost: the send acked at {seq} is not in the log"),
            Self::Lost { seq, found: Some(at) } => write!(f, "lost: the send acked at {seq} is at {at}"),
            Self::Duplicate { first, second, reader } => {
                write!(f, "duplicate: {} has one event at {first} and at {second}", who(reader))
            }
            Self::Gap { after, found, reader } => write!(f, "gap: {} has {found} straight after {after}", who(reader)),
            Self::Inversion { after, found, reader } => {
                write!(f, "inversion: reader {reader} was given {found} after {after}")
            }
            Self::Disagreement { seq, reader } => write!(f, "disagreement: {} has another event {seq}", who(reader)),
            Self::StaleRead { client, known, head } => {
                write!(f, "stale read: client {client} knew of its own {known} and read up to {head}")
            }
        }
    }
}

#[derive(Debug, Default)]
struct Reader {
    last: u64,
    seen: BTreeMap<Key, u64>,
}

/// Everything that can't be, in what was observed of one history and the log that it left: the events from `first` on.
pub fn check(records: &[Record], log: &[Entry], first: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut places: BTreeMap<u64, (Key, u64)> = BTreeMap::new();
    let mut keys: BTreeMap<Key, u64> = BTreeMap::new();
    let mut last = first.saturating_sub(1);
    for entry in log {
        if entry.seq != last + 1 {
            faults.push(Fault::Gap { after: last, found: entry.seq, reader: None });
        }
        last = entry.seq;
        places.insert(entry.seq, (entry.key, entry.content));
        if let Some(earlier) = keys.insert(entry.key, entry.seq) {
            faults.push(Fault::Duplicate { first: earlier, second: entry.seq, reader: None });
        }
    }
    let mut readers: BTreeMap<u64, Reader> = BTreeMap::new();
    let mut told: BTreeSet<(Key, u64)> = BTreeSet::new();
    for record in records {
        match *record {
            Record::Acked { key, seq, .. } => {
                let found = keys.get(&key).copied();
                let gone = found.is_none() && seq < first;
                if found != Some(seq) && !gone && told.insert((key, seq)) {
                    faults.push(Fault::Lost { seq, found });
                }
            }
            Record::Begins { reader, after } => {
                readers.insert(reader, Reader { last: after, seen: BTreeMap::new() });
            }
            Record::Seen { reader: number, entry } => {
                let reader = readers.entry(number).or_default();
                if let Some(earlier) = reader.seen.insert(entry.key, entry.seq) {
                    faults.push(Fault::Duplicate { first: earlier, second: entry.seq, reader: Some(number) });
                } else if entry.seq <= reader.last {
                    faults.push(Fault::Inversion { after: reader.last, found: entry.seq, reader: number });
                } else if entry.seq != reader.last + 1 {
                    faults.push(Fault::Gap { after: reader.last, found: entry.seq, reader: Some(number) });
                }
                reader.last = reader.last.max(entry.seq);
                let there = *places.entry(entry.seq).or_insert((entry.key, entry.content));
                if there != (entry.key, entry.content) {
                    faults.push(Fault::Disagreement { seq: entry.seq, reader: Some(number) });
                }
                // What somebody was given must be in the log: nothing is taken back.
                if entry.seq >= first && !keys.contains_key(&entry.key) && told.insert((entry.key, entry.seq)) {
                    faults.push(Fault::Lost { seq: entry.seq, found: None });
                }
            }
            Record::Read { client, known, head } => {
                if head < known {
                    faults.push(Fault::StaleRead { client, known, head });
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        let byte = u8::try_from(seq).unwrap();
        Entry { seq, key: ([byte % 3; 16], [byte; 16]), content: seq * 31 }
    }

    /// Three clients send nine events, and two readers see them all.
    fn good() -> (Vec<Record>, Vec<Entry>) {
        let log: Vec<Entry> = (1..=9).map(entry).collect();
        let mut records: Vec<Record> = Vec::new();
        for reader in [7, 8] {
            records.push(Record::Begins { reader, after: 0 });
        }
        for entry in &log {
            let client = u64::from(entry.key.0[0]);
            records.push(Record::Acked { client, key: entry.key, seq: entry.seq });
            records.push(Record::Read { client, known: entry.seq, head: entry.seq });
            records.extend([7, 8].map(|reader| Record::Seen { reader, entry: *entry }));
        }
        (records, log)
    }

    /// Plants a fault and gives the kinds that the checker finds.
    fn planted(plant: impl FnOnce(&mut Vec<Record>, &mut Vec<Entry>)) -> BTreeSet<&'static str> {
        let (mut records, mut log) = good();
        plant(&mut records, &mut log);
        check(&records, &log, 1).iter().map(Fault::kind).collect()
    }

    fn of_reader(records: &mut [Record], reader: u64, seq: u64) -> usize {
        let at =
            |record: &Record| matches!(record, Record::Seen { reader: r, entry } if *r == reader && entry.seq == seq);
        records.iter().position(at).unwrap()
    }

    #[test]
    fn a_good_history_has_no_fault() {
        let (records, log) = good();
        assert_eq!(check(&records, &log, 1), []);
        // Retention removes the beginning: what was acked there is no loss.
        assert_eq!(check(&records, &log[4..], 5), []);
    }

    #[test]
    fn an_acked_send_that_is_gone_or_elsewhere_is_found() {
        let gone = planted(|_, log| log.truncate(8));
        assert!(gone.contains("lost"), "{gone:?}");
        assert!(planted(|_, log| log.swap(3, 4)).contains("gap"));
        let moved = planted(|_, log| (log[3].key, log[4].key) = (log[4].key, log[3].key));
        assert!(moved.contains("lost"), "{moved:?}");
    }

    #[test]
    fn an_event_that_was_shown_and_taken_back_is_found() {
        let shown = planted(|records, log| {
            records.retain(|record| !matches!(record, Record::Acked { seq: 9, .. } | Record::Read { known: 9, .. }));
            log.pop();
        });
        assert_eq!(shown, ["lost"].into());
    }

    #[test]
    fn a_duplicate_is_found_in_the_log_and_at_a_reader() {
        let key = entry(4).key;
        assert!(planted(|_, log| log.push(Entry { seq: 10, key, content: 1 })).contains("duplicate"));
        let twice = planted(|records, _| {
            let at = of_reader(records, 7, 4);
            records.insert(at + 1, records[at]);
        });
        assert_eq!(twice, ["duplicate"].into());
    }

    #[test]
    fn a_gap_is_found_in_the_log_and_at_a_reader() {
        let found = planted(|records, log| {
            log.remove(4);
            records.retain(|record| !matches!(record, Record::Acked { seq: 5, .. }));
            records.retain(|record| !matches!(record, Record::Seen { entry, .. } if entry.seq == 5));
        });
        assert_eq!(found, ["gap"].into());
        let skipped = planted(|records, _| {
            let at = of_reader(records, 8, 5);
            records.remove(at);
        });
        assert_eq!(skipped, ["gap"].into());
    }

    #[test]
    fn an_inversion_is_found() {
        let found = planted(|records, _| {
            let (early, late) = (of_reader(records, 7, 5), of_reader(records, 7, 6));
            records.swap(early, late);
        });
        assert!(found.contains("inversion"), "{found:?}");
    }

    #[test]
    fn readers_that_disagree_are_found() {
        let found = planted(|records, _| {
            let at = of_reader(records, 8, 6);
            records[at] = Record::Seen { reader: 8, entry: Entry { content: 0, ..entry(6) } };
        });
        assert_eq!(found, ["disagreement"].into());
    }

    #[test]
    fn a_read_older_than_an_own_write_is_found() {
        let found = planted(|records, _| records.push(Record::Read { client: 2, known: 8, head: 7 }));
        assert_eq!(found, ["stale read"].into());
    }
}
