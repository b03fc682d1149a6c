use std::collections::BTreeMap;

use bytes::Bytes;
use holler_core::engine::{Restored, ServerTime, Spoken, Store as Change};
use holler_core::model::{BurstHeader, Codec, Event, EventBody, Priority};
use holler_core::units::{
    Bitrate, BurstId, ClientId, Cursor, DeviceId, Epoch, FrameMs, FrameNo, Incarnation, RoomId, Seq, UnixMs, UserId,
};

use super::*;

const HOUR_MS: u64 = 3_600_000;
const NOW: UnixMs = UnixMs(1_800_000_000_000);

fn user() -> UserId {
    UserId::from_bytes([1; 16])
}

fn room() -> RoomId {
    RoomId::from_bytes([2; 16])
}

fn burst(n: u8) -> BurstId {
    BurstId::from_bytes([n; 16])
}

fn text(n: u8) -> ClientId {
    ClientId::from_bytes([n; 16])
}

fn history(n: u8) -> Incarnation {
    Incarnation::from_bytes([n; 16])
}

fn header(n: u8) -> BurstHeader {
    let (codec, frame_ms, bitrate, key_epoch) = (Codec::Opus, FrameMs::Ms20, Bitrate(24_000), Epoch(0));
    BurstHeader { burst: burst(n), codec, frame_ms, bitrate, key_epoch }
}

fn frame(n: u16) -> Bytes {
    Bytes::from(vec![u8::try_from(n % 251).unwrap(); 20 + usize::from(n) % 60])
}

/// A database that keeps whole transactions.
#[derive(Clone, Default)]
struct Disk(BTreeMap<Place, Vec<u8>>);

impl Disk {
    fn commit(&mut self, writes: Map<Place, Write>) {
        // As in a browser: first what is cleared.
        for ((table, name), _) in writes.iter().filter(|(_, write)| **write == Write::Clear) {
            self.0.retain(|(of, row), _| of != table || !row.starts_with(name.as_str()));
        }
        for (place, write) in writes {
            match write {
                Write::Put(value) => drop(self.0.insert(place, value)),
                Write::Delete => drop(self.0.remove(&place)),
                Write::Clear => {}
            }
        }
    }

    fn rows(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let of = self.0.iter().filter(|((table, name), _)| *table == Table::Queue && name.starts_with(prefix));
        of.map(|((_, name), value)| (name.clone(), value.clone())).collect()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.rows(prefix).into_iter().map(|(name, _)| name).collect()
    }

    /// What a start finds.
    fn start(&self) -> Book {
        let mut book = Book::new(user());
        for prefix in book.to_load() {
            for (name, value) in self.rows(&prefix) {
                book.load(&name, &value).unwrap();
            }
        }
        book.behind(&self.names("d/"));
        for id in book.unended() {
            book.cut_off(id, frames(&self.rows(&chunks_of(id))));
        }
        book
    }
}

fn apply(book: &mut Book, change: Change) {
    assert!(book.apply(NOW, change));
}

fn begin(book: &mut Book, n: u8, server_time: Option<ServerTime>) {
    apply(book, Change::BurstBegun { room: room(), header: header(n), priority: Priority::Normal, server_time });
}

fn speak(book: &mut Book, n: u8, numbers: core::ops::RangeInclusive<u16>) {
    for number in numbers {
        apply(book, Change::Frame { burst: burst(n), number: FrameNo(number), payload: frame(number) });
    }
}

fn end(book: &mut Book, n: u8, last: u16) {
    let mut recording = Recording::new();
    for n in 1..=last {
        recording.push(frame(n)).unwrap();
    }
    apply(book, Change::BurstEnded { burst: burst(n), end: recording.end() });
}

fn write(book: &mut Book, n: u8) {
    let body = EventBody::MessagePosted { text: format!("text {n}"), reply_to: None };
    apply(book, Change::Send { room: room(), client_id: text(n), body });
}

fn bursts(restored: &[Restored]) -> Vec<(BurstId, FrameNo, bool)> {
    let of = |restored: &Restored| match restored {
        Restored::Burst { header, last, placed, .. } => Some((header.burst, *last, *placed)),
        Restored::Send { .. } | Restored::Receipts { .. } => None,
    };
    restored.iter().filter_map(of).collect()
}

#[test]
fn a_burst_that_was_cut_off_is_there_up_to_the_last_chunk() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    begin(&mut book, 7, None);
    disk.commit(book.take_writes());
    for half_second in 0..3 {
        speak(&mut book, 7, half_second * 25 + 1..=half_second * 25 + 25);
        assert!(!book.has_writes(), "frames wait for their half second");
        book.close_all();
        disk.commit(book.take_writes());
    }
    // Spoken, and lost with the browser.
    speak(&mut book, 7, 76..=90);
    apply(&mut book, Change::BurstPlaced { burst: burst(7) });
    disk.commit(book.take_writes());
    let book = disk.start();
    assert_eq!(bursts(&book.unfinished(NOW)), [(burst(7), FrameNo(75), true)]);
    let frames = frames(&disk.rows(&chunks_of(burst(7))));
    assert_eq!(frames, (1..=75).map(frame).collect::<Vec<_>>());
    assert!(matches!(book.queue(NOW)[0].item, QueuedItem::Burst { length_ms: Some(1_500), cut: true, .. }));
}

#[test]
fn a_press_without_a_frame_leaves_nothing() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    begin(&mut book, 7, None);
    disk.commit(book.take_writes());
    let mut book = disk.start();
    assert_eq!(book.unfinished(NOW), []);
    disk.commit(book.take_writes());
    assert!(disk.0.is_empty(), "{:?}", disk.0.keys());
}

#[test]
fn a_hole_ends_what_can_be_used_of_a_burst() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    begin(&mut book, 7, None);
    for half_second in 0..3 {
        speak(&mut book, 7, half_second * 25 + 1..=half_second * 25 + 25);
        book.close_all();
    }
    disk.commit(book.take_writes());
    disk.0.remove(&(Table::Queue, format!("{}00026", chunks_of(burst(7)))));
    assert_eq!(bursts(&disk.start().unfinished(NOW)), [(burst(7), FrameNo(25), false)]);
}

#[test]
fn texts_and_bursts_keep_their_order_over_starts_and_behind_what_was_acked() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    write(&mut book, 9);
    begin(&mut book, 5, None);
    speak(&mut book, 5, 1..=3);
    end(&mut book, 5, 3);
    write(&mut book, 1);
    write(&mut book, 2);
    let place = Some(Cursor { incarnation: history(1), seq: Seq(4) });
    apply(&mut book, Change::SendDone { client_id: text(2), place });
    disk.commit(book.take_writes());
    let mut book = disk.start();
    write(&mut book, 0);
    let ids: Vec<_> = book
        .unfinished(NOW)
        .iter()
        .map(|item| match item {
            Restored::Send { client_id, .. } => client_id.bytes()[0],
            Restored::Burst { header, .. } => header.burst.bytes()[0],
            Restored::Receipts { .. } => panic!("{item:?}"),
        })
        .collect();
    assert_eq!(ids, [9, 5, 1, 0]);
    // What is acked again after a restored backup gets its old place.
    disk.commit(book.take_writes());
    let names = of_other_histories(&disk.names(&book.done_in(room())), history(2));
    let (ord, restored) = book.take_up(&names[0], &disk.rows(&names[0])[0].1, NOW).unwrap().unwrap();
    assert!(ord == 4 && matches!(restored, Restored::Send { client_id, .. } if client_id == text(2)));
    assert_eq!(book.queue(NOW).len(), 4, "what was acked does not wait");
    let place = Some(Cursor { incarnation: history(2), seq: Seq(1) });
    apply(&mut book, Change::SendDone { client_id: text(2), place });
    disk.commit(book.take_writes());
    let names = disk.names("d/");
    assert!(names.len() == 1 && names[0].contains(&history(2).to_string()), "{names:?}");
    assert_eq!(of_other_histories(&names, history(2)), Vec::<String>::new());
}

#[test]
fn what_was_delivered_is_kept_for_a_week_and_offered_to_another_history() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    begin(&mut book, 5, None);
    speak(&mut book, 5, 1..=30);
    end(&mut book, 5, 30);
    apply(&mut book, Change::BurstDelivered { burst: burst(5), incarnation: history(1) });
    disk.commit(book.take_writes());
    let mut book = disk.start();
    assert_eq!((book.unfinished(NOW), book.queue(NOW)), (vec![], vec![]));
    let names = disk.names("d/");
    let (_, restored) = book.take_up(&names[0], &disk.rows(&names[0])[0].1, NOW).unwrap().unwrap();
    assert!(matches!(restored, Restored::Burst { delivered: true, placed: false, last: FrameNo(30), .. }));
    assert_eq!(outdated(&names, UnixMs(NOW.0 + 167 * HOUR_MS)), []);
    let gone = outdated(&names, UnixMs(NOW.0 + 169 * HOUR_MS));
    disk.commit(gone.into_iter().collect());
    assert!(disk.0.is_empty(), "{:?}", disk.0.keys());
}

#[test]
fn the_oldest_of_what_was_acked_give_way() {
    let name = |n: u64| {
        done::name(
            user(),
            room(),
            history(1),
            UnixMs(NOW.0 + n * 1_000),
            n,
            &format!("t{}", text(1)),
            40 * 1_024 * 1_024,
        )
    };
    let names: Vec<_> = (0..4).map(name).collect();
    let gone: Vec<_> = outdated(&names, NOW).into_iter().map(|((_, name), _)| name).collect();
    assert_eq!(gone, [name(2), name(1), name(0)], "64 MiB hold one of 40");
    let small: Vec<_> =
        (0..2_010).map(|n| done::name(user(), room(), history(1), NOW, n, &format!("t{}", text(1)), 0)).collect();
    assert_eq!(outdated(&small, NOW).len(), 10);
}

#[test]
fn when_a_burst_was_spoken_is_told_by_the_servers_clock_or_with_how_far_it_may_be_off() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    let known = ServerTime { at: UnixMs(5_000), uncertainty_ms: 40 };
    begin(&mut book, 1, Some(known));
    begin(&mut book, 2, None);
    for n in [1, 2] {
        speak(&mut book, n, 1..=2);
        end(&mut book, n, 2);
    }
    disk.commit(book.take_writes());
    let spoken = |now: u64| {
        let found = disk.start().unfinished(UnixMs(now));
        found
            .into_iter()
            .filter_map(|item| if let Restored::Burst { spoken, .. } = item { Some(spoken) } else { None })
            .collect::<Vec<_>>()
    };
    let two_days = Duration::from_secs(48 * 3_600);
    let off = Duration::from_secs(3_600) + two_days / 10;
    assert_eq!(spoken(NOW.0 + 48 * HOUR_MS), [Spoken::Server(known), Spoken::About(two_days, off)]);
    // The clock was set back to before it was spoken.
    assert_eq!(spoken(NOW.0 - HOUR_MS)[1], Spoken::About(Duration::ZERO, Duration::from_secs(3_600)));
    assert_eq!(disk.start().queue(UnixMs(7))[1].since, UnixMs(7), "nothing waits since a time to come");
}

#[test]
fn held_bursts_wait_for_a_word_and_dropped_ones_are_gone() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    for n in [1, 2] {
        begin(&mut book, n, None);
        speak(&mut book, n, 1..=30);
        end(&mut book, n, 30);
        apply(&mut book, Change::BurstHeld { burst: burst(n) });
    }
    write(&mut book, 3);
    disk.commit(book.take_writes());
    let mut book = disk.start();
    assert_eq!((bursts(&book.unfinished(NOW)), book.queue(NOW).len()), (vec![], 3));
    assert!(matches!(book.release(NOW, burst(2)), Some(Restored::Burst { header, .. }) if header.burst == burst(2)));
    book.drop_burst(burst(1));
    apply(&mut book, Change::SendDone { client_id: text(3), place: None });
    disk.commit(book.take_writes());
    let book = disk.start();
    assert_eq!(bursts(&book.unfinished(NOW)), [(burst(2), FrameNo(30), false)]);
    assert_eq!(book.queue(NOW).len(), 1);
    assert_eq!(disk.rows("c/").len(), disk.rows(&chunks_of(burst(2))).len());
}

#[test]
fn what_could_not_be_written_goes_with_the_next_but_nothing_that_was_dropped_comes_back() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    begin(&mut book, 1, None);
    begin(&mut book, 2, None);
    for n in [1, 2] {
        speak(&mut book, n, 1..=25);
    }
    book.close_all();
    let failed = book.take_writes();
    speak(&mut book, 1, 26..=40);
    end(&mut book, 1, 40);
    apply(&mut book, Change::BurstEnded { burst: burst(2), end: None });
    assert!(book.put_back(failed) > 40 * 20);
    disk.commit(book.take_writes());
    let book = disk.start();
    assert_eq!(bursts(&book.unfinished(NOW)), [(burst(1), FrameNo(40), false)]);
    assert!(disk.rows(&chunks_of(burst(2))).is_empty());
}

#[test]
fn rooms_and_people_are_written_again_once_there_is_room() {
    let mut book = Book::new(user());
    let place = (Table::Known, format!("y/{}", user()));
    book.knows(&"found on the disk");
    book.has_room();
    assert!(!book.has_writes(), "they are there");
    for directory in ["found on the disk", "told since"] {
        if directory == "told since" {
            book.keep_directory(&directory);
        }
        book.spare_known();
        assert!(!book.has_writes(), "nothing that the server has too");
        book.has_room();
        let written: Vec<_> = book.take_writes().into_iter().collect();
        assert_eq!(written, [(place.clone(), Write::Put(serde_json::to_vec(directory).unwrap()))]);
        book.has_room();
        assert!(!book.has_writes(), "once");
    }
}

#[test]
fn receipts_are_kept_until_the_server_has_them() {
    let (mut book, mut disk) = (Book::new(user()), Disk::default());
    let cursor = |seq| Cursor { incarnation: history(1), seq: Seq(seq) };
    for n in [3, 1, 2, 1] {
        apply(&mut book, Change::Heard { room: room(), burst: burst(n) });
    }
    apply(&mut book, Change::Read { room: room(), cursor: cursor(9) });
    apply(&mut book, Change::ReceiptsStored { room: room(), read: Some(cursor(8)), heard: vec![burst(3), burst(2)] });
    disk.commit(book.take_writes());
    let mut book = disk.start();
    let expected = Restored::Receipts { room: room(), read: Some(cursor(9)), heard: vec![burst(1)] };
    assert_eq!(book.unfinished(NOW), [expected]);
    apply(&mut book, Change::ReceiptsStored { room: room(), read: Some(cursor(9)), heard: vec![burst(1)] });
    disk.commit(book.take_writes());
    assert!(disk.0.is_empty());
}

#[test]
fn what_waits_is_bounded() {
    let mut book = Book::new(user());
    begin(&mut book, 1, None);
    speak(&mut book, 1, 1..=50);
    book.bursts.get_mut(&burst(1)).unwrap().bytes = WAITING_BYTES_MAX + 1;
    let payload = frame(51);
    assert!(!book.apply(NOW, Change::Frame { burst: burst(1), number: FrameNo(51), payload }));
}

#[test]
fn another_persons_rows_are_not_touched_and_rows_that_say_nothing_are_told() {
    let mut book = Book::new(user());
    assert!(book.to_load().iter().all(|prefix| prefix.contains(&user().to_string())));
    assert!(book.load(&format!("b/{}/{}", user(), burst(1)), b"{}").is_err());
    assert!(book.load(&format!("q/{}/{}", user(), burst(1)), b"{}").is_err());
    assert!(book.load("b", b"{}").is_err());
}

fn event(seq: u64, at: u64) -> Event {
    Event {
        room: room(),
        seq: Seq(seq),
        received_at: UnixMs(at),
        user: user(),
        device: DeviceId::from_bytes([3; 16]),
        client_id: text(1),
        body: EventBody::MessagePosted { text: format!("event {seq}"), reply_to: None },
    }
}

#[test]
fn where_one_is_in_a_room_is_kept_with_the_events_before_it_and_never_without() {
    let mut book = Book::new(user());
    book.events(&[event(7, NOW.0)]);
    apply(&mut book, Change::Cursor { room: room(), cursor: Cursor { incarnation: history(1), seq: Seq(7) } });
    assert!(book.has_open() && !book.has_writes(), "both wait for their half second");
    write(&mut book, 1);
    let meanwhile = book.take_writes();
    assert!(!meanwhile.is_empty() && meanwhile.keys().all(|(table, _)| *table == Table::Queue));
    book.close_all();
    let names: Vec<String> = book.take_writes().keys().map(|(_, name)| name[..2].to_owned()).collect();
    assert_eq!(names, ["e/", "p/"]);
    assert!(!book.has_open());
    book.events(&[event(8, NOW.0)]);
    book.forget_events(room());
    book.close_all();
    assert!(book.take_writes().values().all(|write| *write == Write::Clear), "of another log");
}

#[test]
fn what_is_shown_of_a_rooms_past_has_no_hole() {
    let kept = |seqs: &[u64], most| {
        let events = unbroken(seqs.iter().map(|seq| (*seq, event(*seq, NOW.0))).collect(), most);
        events.iter().map(|event| event.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(kept(&[1, 2, 4, 5, 7, 8, 9], 10), [7, 8, 9], "the rest comes from the server");
    assert_eq!(kept(&[1, 2, 3], 2), [2, 3]);
    assert_eq!(kept(&[3], 2), [3]);
    assert!(kept(&[], 2).is_empty());
}

#[test]
fn events_are_kept_in_pages_for_a_week() {
    let pages = event_pages(user(), &[event(3, NOW.0 - 200 * HOUR_MS), event(4, NOW.0)]);
    let [((Table::Known, name), Write::Put(value))] = &pages[..] else { panic!("{pages:?}") };
    let kept: Vec<Event> = serde_json::from_slice(value).unwrap();
    assert_eq!(kept.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [3, 4]);
    let mut names = vec![event_pages(user(), &[event(1, NOW.0 - 169 * HOUR_MS)])[0].0.1.clone(), name.clone()];
    assert_eq!(old_pages(&names, NOW), [names[0].clone()], "a page counts by its last event");
    let more = |seq| event_pages(user(), &[event(seq, NOW.0)])[0].0.1.clone();
    names.extend((5..505).map(more));
    assert_eq!(old_pages(&names, NOW).len(), 2);
}
