//! The storage port of the engine: the book of [`crate::store`], sealed and laid into IndexedDB.
//!
//! One writer takes all that waits into one transaction with strict durability, and then what came meanwhile into the next. What
//! people are told is kept ([`TalkState::Waiting`], [`SendState::Waiting`]) is told when its transaction is on the disk. Frames
//! wait at most [`CHUNK`] for theirs. What can't be written stays in memory and is tried again.

mod database;
mod key;

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::Weak;

use bytes::Bytes;
use holler_core::engine::{Input, Notice, Restored, SendState, Store as Change, TalkState};
use holler_core::model::Event;
use holler_core::sorted::Map;
use holler_core::units::{BurstId, Cursor, FrameMs, Incarnation, RoomId, UserId};
use js_sys::{Function, Promise};
use serde::Serialize;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::Shell;
use super::clock::{self, Timer};
use crate::message::{Storage, ToPage};
use crate::store::{Book, Table, Write, chunks_of, frames, of_other_histories, old_pages, outdated, parse, unbroken};
use database::Deed;
pub(super) use database::{Connection, Failure};
pub(super) use key::Sealer;

/// How long frames, and what the server has too, wait to be written together: what a crash of the browser may take of a burst.
const CHUNK: Duration = Duration::from_millis(500);
/// How long after a write that failed the next is tried.
const AGAIN: Duration = Duration::from_secs(5);
/// Bytes that wait in memory for room on the disk: an hour and a half of speech. Beyond it what comes is kept by the engine only.
const UNWRITTEN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Events of the past that a room shows at first.
const HISTORY: usize = 100;

/// What was kept, for a start.
pub(super) struct Kept {
    /// For the engine.
    pub(super) unfinished: Vec<Restored>,
    /// Where it was in each room.
    pub(super) cursors: Vec<(RoomId, Cursor)>,
    /// What the page is to show before the server answers.
    pub(super) shown: Vec<ToPage>,
}

/// What is kept for who is signed in.
pub(super) struct Store {
    shell: Weak<Shell>,
    pub(super) database: Connection,
    sealer: Sealer,
    book: RefCell<Option<Book>>,
    /// Events that are not in the book yet.
    writing: Cell<bool>,
    /// Writes the frames that wait.
    chunk: Timer,
    state: RefCell<Storage>,
    /// To be told when what was handed in before is on the disk.
    told: RefCell<Vec<Notice>>,
    flushing: RefCell<Vec<Function>>,
    /// Things that waited when the book was shut.
    waited: Cell<usize>,
}

impl Store {
    pub(super) fn new(shell: &Weak<Shell>) -> Self {
        let this = shell.clone();
        let chunk = Timer::new(move || {
            if let Some(shell) = this.upgrade() {
                shell.store.chunk.set(None);
                shell.store.close();
                shell.store.write();
            }
        });
        Self {
            shell: shell.clone(),
            database: Connection::default(),
            sealer: Sealer::default(),
            book: RefCell::default(),
            writing: Cell::default(),
            chunk,
            state: RefCell::new(Storage::Kept),
            told: RefCell::default(),
            flushing: RefCell::default(),
            waited: Cell::default(),
        }
    }

    fn tell(&self, message: &ToPage) {
        if let Some(shell) = self.shell.upgrade() {
            shell.tell(message);
        }
    }

    /// How the store is, told once for as long as it stays so. Whether it was another way before.
    fn is(&self, state: Storage) -> bool {
        let news = self.state.replace(state.clone()) != state;
        if news {
            self.tell(&ToPage::Storage(state));
        }
        news
    }

    /// Something could not be kept, or read: the engine hears of it once for as long as it lasts.
    fn failed(&self, failure: &Failure) -> String {
        let (state, detail) = match failure {
            Failure::Full => (Storage::Full, "this browser has no room left for this page".to_owned()),
            Failure::Newer => (Storage::Newer, "another tab runs a newer version of this page".to_owned()),
            Failure::Missing(detail) => (Storage::Missing { detail: detail.clone() }, detail.clone()),
        };
        if self.is(state)
            && let Some(shell) = self.shell.upgrade()
        {
            shell.input(Input::StoreFailed { detail: detail.clone() });
        }
        detail
    }

    /// Opens the book of a person. What is damaged is set aside, and said.
    ///
    /// `None`: meanwhile this tab leads no more, or anew.
    pub(super) async fn open(&self, user: UserId) -> Option<Kept> {
        let turn = Some(self.turn()?);
        // One that could not be written when this tab led before.
        self.flush().await;
        let mut book = Book::new(user);
        let (mut unfinished, mut cursors, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        match self.load(&mut book).await {
            Ok(known) => {
                self.is(Storage::Kept);
                unfinished = book.unfinished(clock::wall());
                (cursors, shown) = known;
            }
            Err(failure) => {
                self.failed(&failure);
            }
        }
        if self.turn() != turn {
            return None;
        }
        let before = self.book.take().filter(|before| before.user() == user);
        if let Some(mut before) = before {
            book.put_back(before.take_writes());
        }
        *self.book.borrow_mut() = Some(book);
        self.write();
        Some(Kept { unfinished, cursors, shown })
    }

    fn turn(&self) -> Option<u32> {
        self.shell.upgrade()?.tabs.turn()
    }

    async fn load(&self, book: &mut Book) -> Result<(Vec<(RoomId, Cursor)>, Vec<ToPage>), Failure> {
        let mut damaged = Vec::new();
        for prefix in book.to_load() {
            for (name, record) in self.database.records(Table::Queue, &prefix).await? {
                let opened = self.sealer.open(&self.database, &name, &record).await;
                let taken = opened.map_err(|failure| format!("{failure:?}")).and_then(|value| book.load(&name, &value));
                if taken.is_err() {
                    damaged.push((name, record));
                }
            }
        }
        for burst in book.unended() {
            let frames = self.own_frames(burst, &mut damaged).await?;
            book.cut_off(burst, frames);
        }
        let user = book.user();
        let mut writes: Map<_, Deed> = Map::new();
        let done = self.database.names(Table::Queue, &format!("d/{user}/")).await?;
        book.behind(&done);
        for (place, write) in outdated(&done, clock::wall()) {
            writes.insert(place, if write == Write::Clear { Deed::Clear } else { Deed::Delete });
        }
        let pages = self.database.names(Table::Known, &format!("e/{user}/")).await?;
        for name in old_pages(&pages, clock::wall()) {
            writes.insert((Table::Known, name), Deed::Delete);
        }
        let count = damaged.len();
        for (name, record) in damaged {
            writes.insert((Table::Queue, format!("x/{name}")), Deed::Put(record));
            writes.insert((Table::Queue, name), Deed::Delete);
        }
        if !writes.is_empty() {
            self.database.write(&writes).await?;
        }
        if count > 0 {
            self.tell(&ToPage::Damaged(count));
        }
        let known = self.known(user).await?;
        if let Some(directory) = known.1.iter().find(|message| !matches!(message, ToPage::History { .. })) {
            book.knows(directory);
        }
        Ok(known)
    }

    /// What the server has too: cursors, rooms and people, the latest events.
    async fn known(&self, user: UserId) -> Result<(Vec<(RoomId, Cursor)>, Vec<ToPage>), Failure> {
        let (mut cursors, mut shown) = (Vec::new(), Vec::new());
        for (name, record) in self.database.records(Table::Known, &format!("y/{user}")).await? {
            // One that is damaged comes from the server again.
            let Ok(value) = self.sealer.open(&self.database, &name, &record).await else { continue };
            shown.extend(parse::<ToPage>(&value));
        }
        for (name, record) in self.database.records(Table::Known, &format!("p/{user}/")).await? {
            let Ok(value) = self.sealer.open(&self.database, &name, &record).await else { continue };
            let room = name.rsplit('/').next().and_then(|room| room.parse::<RoomId>().ok());
            if let (Some(room), Ok(cursor)) = (room, parse(&value)) {
                cursors.push((room, cursor));
                shown.push(ToPage::History { room, events: self.history(user, room).await? });
            }
        }
        Ok((cursors, shown))
    }

    /// The latest events of every room.
    pub(super) async fn pasts(&self) -> Vec<ToPage> {
        let user = self.book.borrow().as_ref().map(Book::user);
        let Some(user) = user else { return Vec::new() };
        self.flush().await;
        let mut shown = self.known(user).await.map(|(_, shown)| shown).unwrap_or_default();
        shown.retain(|message| matches!(message, ToPage::History { .. }));
        shown
    }

    /// The latest events of a room, in order.
    pub(super) async fn history(&self, user: UserId, room: RoomId) -> Result<Vec<Event>, Failure> {
        let mut pages = self.database.names(Table::Known, &format!("e/{user}/{room}/")).await?;
        let mut events: Map<u64, Event> = Map::new();
        while let Some(name) = pages.pop()
            && events.len() < HISTORY
        {
            for (name, record) in self.database.records(Table::Known, &name).await? {
                let Ok(value) = self.sealer.open(&self.database, &name, &record).await else { continue };
                let page: Vec<Event> = parse(&value).unwrap_or_default();
                events.extend(page.into_iter().map(|event| (event.seq.0, event)));
            }
        }
        Ok(unbroken(events, HISTORY))
    }

    async fn own_frames(&self, burst: BurstId, damaged: &mut Vec<(String, JsValue)>) -> Result<Vec<Bytes>, Failure> {
        let mut rows = Vec::new();
        for (name, record) in self.database.records(Table::Queue, &chunks_of(burst)).await? {
            match self.sealer.open(&self.database, &name, &record).await {
                Ok(value) => rows.push((name, value)),
                Err(_) => damaged.push((name, record)),
            }
        }
        Ok(frames(&rows))
    }

    /// Whether another tab finds here all that waits, or nothing does.
    pub(super) async fn is_kept(&self) -> bool {
        if self.book.borrow().is_none() {
            return true;
        }
        self.flush().await;
        let book = self.book.borrow();
        let is_written = |book: &Book| *self.state.borrow() == Storage::Kept && !book.has_writes();
        book.as_ref().is_none_or(|book| is_written(book) || book.queue(clock::wall()).is_empty())
    }

    /// Nobody's book is open any more, but for one that could not be written: that is tried on. With `forget`, what the server has
    /// too is gone, and what was acked.
    pub(super) async fn shut(&self, forget: bool) {
        let kept = self.is_kept().await;
        if let Some(book) = self.book.borrow().as_ref() {
            self.waited.set(book.queue(clock::wall()).len());
        }
        let Some(book) = self.book.borrow_mut().take_if(|_| kept || forget) else { return };
        self.chunk.set(None);
        if forget {
            let user = book.user();
            let known = ["e/", "p/"].map(|kind| ((Table::Known, format!("{kind}{user}/")), Deed::Clear));
            let done = ((Table::Queue, format!("d/{user}/")), Deed::Clear);
            let people = ((Table::Known, format!("y/{user}")), Deed::Delete);
            // Where it fails, it lies there sealed until the next sign-out.
            let _ = self.database.write(&known.into_iter().chain([done, people]).collect()).await;
        }
    }

    /// How many things waited for the person whose book was open last.
    pub(super) fn waited(&self) -> usize {
        self.waited.get()
    }

    /// The engine wants something kept.
    pub(super) fn change(&self, change: Change) {
        let mut book = self.book.borrow_mut();
        let Some(book) = book.as_mut() else { return };
        if !book.apply(clock::wall(), change) {
            self.is(Storage::Full);
        }
        let (now, later) = (book.has_writes(), book.has_open());
        if now {
            self.write();
        } else if later {
            self.later();
        }
    }

    fn later(&self) {
        if !self.chunk.is_set() {
            self.chunk.set(Some(CHUNK));
        }
    }

    fn close(&self) {
        self.book.borrow_mut().as_mut().map(Book::close_all);
    }

    /// Events of the log, to be shown at the next start.
    pub(super) fn events(&self, events: &[Event]) {
        if let Some(book) = self.book.borrow_mut().as_mut() {
            book.events(events);
        }
        self.later();
    }

    /// A room's log is another one: what was kept of it says nothing any more.
    pub(super) fn forget_events(&self, room: RoomId) {
        if let Some(book) = self.book.borrow_mut().as_mut() {
            book.forget_events(room);
        }
        self.write();
    }

    /// Rooms and people, to be shown at the next start.
    pub(super) fn keep_directory(&self, directory: &impl Serialize) {
        if let Some(book) = self.book.borrow_mut().as_mut() {
            book.keep_directory(directory);
        }
        self.write();
    }

    /// A notice goes to the page; one that says that something waits here, when that is on the disk.
    pub(super) fn tell_when_kept(&self, notice: Notice) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other notice is about something that waits")]
        let about = |notice: &Notice| match notice {
            Notice::Talk { burst, .. } => Some(*burst.bytes()),
            Notice::Send { client_id, .. } => Some(*client_id.bytes()),
            _ => None,
        };
        if let Some(id) = about(&notice) {
            // What is told now is newer than what was to be told.
            self.told.borrow_mut().retain(|waiting| about(waiting) != Some(id));
        }
        let waits = matches!(
            &notice,
            Notice::Talk { state: TalkState::Waiting | TalkState::Kept, .. }
                | Notice::Send { state: SendState::Waiting, .. }
        );
        if waits && (self.writing.get() || self.book.borrow().as_ref().is_some_and(Book::has_writes)) {
            self.told.borrow_mut().push(notice);
        } else {
            self.tell(&ToPage::Notice(notice));
        }
    }

    /// Writes what is to be written, where nobody does.
    fn write(&self) {
        if self.writing.replace(true) {
            return;
        }
        let shell = self.shell.clone();
        wasm_bindgen_futures::spawn_local(async move {
            if let Some(shell) = shell.upgrade() {
                shell.store.run().await;
            }
        });
    }

    async fn run(&self) {
        let mut again = false;
        loop {
            let writes = self.book.borrow_mut().as_mut().map(Book::take_writes).unwrap_or_default();
            let told = self.told.take();
            if writes.is_empty() {
                self.tell_queue();
                told.into_iter().for_each(|notice| self.tell(&ToPage::Notice(notice)));
                break;
            }
            let mut done = self.put(&writes).await;
            let book = |deed: fn(&mut Book)| self.book.borrow_mut().as_mut().map(deed);
            if done.is_ok() {
                book(Book::has_room);
            } else if done == Err(Failure::Full) && self.database.clear(Table::Known).await.is_ok() {
                book(Book::spare_known);
                // What the server has too gives way to what is nowhere else.
                let queue = writes.iter().filter(|((table, _), _)| *table == Table::Queue);
                done = self.put(&queue.map(|(place, write)| (place.clone(), write.clone())).collect()).await;
            }
            if let Err(failure) = done {
                again = true;
                self.failed(&failure);
                let unwritten = self.book.borrow_mut().as_mut().map_or(0, |book| {
                    let unwritten = book.put_back(writes);
                    book.spare_known();
                    unwritten
                });
                if unwritten > UNWRITTEN_BYTES_MAX {
                    self.book.borrow_mut().as_mut().map(Book::take_writes);
                }
                told.into_iter().for_each(|notice| self.tell(&ToPage::Notice(notice)));
                break;
            }
            self.is(Storage::Kept);
            self.tell_queue();
            told.into_iter().for_each(|notice| self.tell(&ToPage::Notice(notice)));
        }
        self.writing.set(false);
        self.chunk.set(if again {
            Some(AGAIN)
        } else {
            // Also what came while this wrote, and waits to be written together.
            let open = self.book.borrow().as_ref().is_some_and(Book::has_open);
            open.then_some(CHUNK)
        });
        for flushed in self.flushing.take() {
            // A promise takes any value.
            let _ = flushed.call0(&JsValue::UNDEFINED);
        }
    }

    async fn put(&self, writes: &Map<(Table, String), Write>) -> Result<(), Failure> {
        let values = writes.iter().filter_map(|((_, name), write)| match write {
            Write::Put(value) => Some((name.as_str(), &value[..])),
            Write::Delete | Write::Clear => None,
        });
        let mut sealed = self.sealer.seal(&self.database, values).await?.into_iter();
        let mut deeds = Map::new();
        for (place, write) in writes {
            let deed = match write {
                Write::Put(_) => Deed::Put(sealed.next().ok_or("less was sealed than was given")?),
                Write::Delete => Deed::Delete,
                Write::Clear => Deed::Clear,
            };
            deeds.insert(place.clone(), deed);
        }
        self.database.write(&deeds).await
    }

    /// Waits until all that was handed in is on the disk, or was tried.
    pub(super) async fn flush(&self) {
        self.close();
        self.write();
        let done = Promise::new(&mut |resolve, _| self.flushing.borrow_mut().push(resolve));
        // It is never rejected.
        let _ = JsFuture::from(done).await;
    }

    /// The frames of one's own burst.
    pub(super) async fn frames(&self, burst: BurstId) -> Result<Vec<Bytes>, String> {
        self.flush().await;
        let mut damaged = Vec::new();
        self.own_frames(burst, &mut damaged).await.map_err(|failure| self.failed(&failure))
    }

    /// What was acked in another history of a room's log than this one, in its order.
    pub(super) async fn acked_elsewhere(&self, room: RoomId, incarnation: Incarnation) -> Vec<Restored> {
        let Some(prefix) = self.book.borrow().as_ref().map(|book| book.done_in(room)) else { return Vec::new() };
        let Ok(names) = self.database.names(Table::Queue, &prefix).await else { return Vec::new() };
        let mut found = Vec::new();
        for name in of_other_histories(&names, incarnation) {
            let Ok(records) = self.database.records(Table::Queue, &name).await else { continue };
            for (name, record) in records {
                let Ok(value) = self.sealer.open(&self.database, &name, &record).await else { continue };
                if let Some(book) = self.book.borrow_mut().as_mut()
                    && let Ok(Some(item)) = book.take_up(&name, &value, clock::wall())
                {
                    found.push(item);
                }
            }
        }
        found.sort_by_key(|(ord, _)| *ord);
        found.into_iter().map(|(_, item)| item).collect()
    }

    /// Tells the page what waits, where that changed.
    fn tell_queue(&self) {
        let mut book = self.book.borrow_mut();
        if let Some(book) = book.as_mut()
            && book.take_changed()
        {
            self.tell(&ToPage::Queue(book.queue(clock::wall())));
        }
    }

    /// The length of the frames of one's own burst that waits.
    pub(super) fn frame_ms(&self, burst: BurstId) -> Option<FrameMs> {
        self.book.borrow().as_ref()?.frame_ms(burst)
    }

    /// A burst that is held back is to be delivered after all.
    pub(super) fn release(&self, burst: BurstId) -> Option<Restored> {
        let restored = self.book.borrow_mut().as_mut()?.release(clock::wall(), burst);
        self.write();
        restored
    }

    /// Forgets a burst that is not delivered.
    pub(super) fn forget(&self, burst: BurstId) {
        if let Some(book) = self.book.borrow_mut().as_mut() {
            book.drop_burst(burst);
        }
        self.write();
    }
}
