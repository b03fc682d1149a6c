//! A layer between SQLite and the system's files that writes down every write, truncation, sync and deletion.
//!
//! SQLite's own interface for this is a table of C functions ("VFS"), so this module can't do without `unsafe`. Each function
//! hands on to the system's own, and writes down what changed a file. Shared memory (`-shm`) does not pass through here and needs
//! not: SQLite makes it anew after a crash.

#![expect(
    unsafe_code,
    reason = "SQLite calls its file layer through C function pointers; there is no safe way to be one"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Result, ensure};
use rusqlite::ffi;

/// Something that changed a file, or a mark between such things.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Write {
        file: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        size: u64,
    },
    Sync {
        file: String,
    },
    Delete {
        file: String,
    },
    /// What the scenario knows at this place.
    Mark(u64),
}

struct Recorder {
    on: bool,
    ops: Vec<Op>,
}

static RECORDER: Mutex<Recorder> = Mutex::new(Recorder { on: false, ops: Vec::new() });
static REAL: OnceLock<Real> = OnceLock::new();

struct Real(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite's VFS objects live for ever and are made to be used by any thread.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

fn recorder() -> MutexGuard<'static, Recorder> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record(op: impl FnOnce() -> Op) {
    let mut recorder = recorder();
    if recorder.on {
        let op = op();
        recorder.ops.push(op);
    }
}

/// Writes a mark down.
pub(super) fn mark(number: u64) {
    record(|| Op::Mark(number));
}

/// Begins to write down; everything that was before is forgotten.
pub(super) fn begin() {
    *recorder() = Recorder { on: true, ops: Vec::new() };
}

/// Ends, and gives what was written down.
pub(super) fn end() -> Vec<Op> {
    let mut recorder = recorder();
    recorder.on = false;
    std::mem::take(&mut recorder.ops)
}

/// An open file: ours, and behind it in the same memory the system's.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    name: *mut c_char,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Puts the layer under every connection that this process opens from now on.
pub(super) fn install() -> Result<()> {
    if REAL.get().is_some() {
        return Ok(());
    }
    // SAFETY: a null name asks for the default VFS, which SQLite keeps for ever.
    let real = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    ensure!(!real.is_null(), "SQLite has no file layer");
    // SAFETY: it is not null, and nobody changes it.
    let mut ours = unsafe { *real };
    ours.szOsFile += c_int::try_from(size_of::<File>())?;
    ours.zName = CString::new("holler-recorder")?.into_raw();
    ours.pNext = std::ptr::null_mut();
    ours.xOpen = Some(open);
    ours.xDelete = Some(delete);
    ensure!(REAL.set(Real(real)).is_ok(), "installed by two threads at once");
    // SAFETY: the object is never freed, as SQLite demands.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 1) };
    ensure!(code == ffi::SQLITE_OK, "SQLite took no other file layer: {code}");
    Ok(())
}

fn system() -> *mut ffi::sqlite3_vfs {
    REAL.get().map_or(std::ptr::null_mut(), |real| real.0)
}

/// SAFETY: `file` must be one that [`open`] was given.
unsafe fn behind(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite gives `szOsFile` bytes for a file: ours first, then the system's.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// SAFETY: as [`behind`].
unsafe fn name(file: *mut ffi::sqlite3_file) -> String {
    // SAFETY: `open` put a string there that lives until `close`, or null.
    unsafe {
        let name = (*file.cast::<File>()).name;
        if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: `file` has room for both, the other arguments are handed on as they came.
    unsafe {
        let real = behind(file);
        let Some(open) = (*system()).xOpen else { return ffi::SQLITE_CANTOPEN };
        let code = open(system(), path, real, flags, out);
        let opened = !(*real).pMethods.is_null();
        (*file).pMethods = if opened { &raw const METHODS } else { std::ptr::null() };
        let name = if path.is_null() { CString::default() } else { CStr::from_ptr(path).to_owned() };
        (*file.cast::<File>()).name = if opened { name.into_raw() } else { std::ptr::null_mut() };
        code
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    // SAFETY: the arguments are handed on as they came; SQLite gives a path.
    unsafe {
        let Some(delete) = (*system()).xDelete else { return ffi::SQLITE_IOERR };
        let code = delete(system(), path, sync);
        if code == ffi::SQLITE_OK {
            let file = CStr::from_ptr(path).to_string_lossy().into_owned();
            record(|| Op::Delete { file });
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the name was made by `open` and is taken back once.
    unsafe {
        let own = file.cast::<File>();
        if !(*own).name.is_null() {
            drop(CString::from_raw((*own).name));
            (*own).name = std::ptr::null_mut();
        }
        let real = behind(file);
        (*(*real).pMethods).xClose.map_or(ffi::SQLITE_OK, |close| close(real))
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives `bytes` readable bytes.
    unsafe {
        let real = behind(file);
        let code = (*(*real).pMethods).xWrite.map_or(ffi::SQLITE_IOERR, |write| write(real, data, bytes, at));
        if code == ffi::SQLITE_OK
            && let (Ok(length), Ok(at)) = (usize::try_from(bytes), u64::try_from(at))
        {
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec();
            record(|| Op::Write { file: name(file), at, bytes });
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: handed on as it came.
    unsafe {
        let real = behind(file);
        let code = (*(*real).pMethods).xTruncate.map_or(ffi::SQLITE_IOERR, |truncate| truncate(real, size));
        if code == ffi::SQLITE_OK {
            record(|| Op::Truncate { file: name(file), size: u64::try_from(size).unwrap_or_default() });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: handed on as it came.
    unsafe {
        let real = behind(file);
        let code = (*(*real).pMethods).xSync.map_or(ffi::SQLITE_IOERR, |sync| sync(real, flags));
        if code == ffi::SQLITE_OK {
            record(|| Op::Sync { file: name(file) });
        }
        code
    }
}

/// Functions that are only handed on: their name, the system's name, further arguments, and what to give where there is none.
macro_rules! handed_on {
    ($($name:ident => $real:ident ($($arg:ident: $type:ty),*) -> $none:expr;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> c_int {
            // SAFETY: handed on as it came, to the file behind ours.
            unsafe {
                let real = behind(file);
                (*(*real).pMethods).$real.map_or($none, |function| function(real $(, $arg)*))
            }
        }
    )*};
}

handed_on! {
    read => xRead(data: *mut c_void, bytes: c_int, at: ffi::sqlite3_int64) -> ffi::SQLITE_IOERR;
    file_size => xFileSize(size: *mut ffi::sqlite3_int64) -> ffi::SQLITE_IOERR;
    lock => xLock(level: c_int) -> ffi::SQLITE_IOERR;
    unlock => xUnlock(level: c_int) -> ffi::SQLITE_IOERR;
    check_reserved_lock => xCheckReservedLock(out: *mut c_int) -> ffi::SQLITE_IOERR;
    file_control => xFileControl(op: c_int, argument: *mut c_void) -> ffi::SQLITE_NOTFOUND;
    sector_size => xSectorSize() -> 512;
    device_characteristics => xDeviceCharacteristics() -> 0;
    shm_map => xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> ffi::SQLITE_IOERR;
    shm_lock => xShmLock(offset: c_int, count: c_int, flags: c_int) -> ffi::SQLITE_IOERR;
    shm_unmap => xShmUnmap(delete: c_int) -> ffi::SQLITE_OK;
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: handed on as it came, to the file behind ours.
    unsafe {
        let real = behind(file);
        if let Some(barrier) = (*(*real).pMethods).xShmBarrier {
            barrier(real);
        }
    }
}
