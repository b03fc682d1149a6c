//! What follows from what is shown, and is kept until it changes: a memo of Dioxus, of one type for all.
//!
//! Dioxus writes a memo anew for each type and each closure, 4 KB of machine code that every new visitor loads. Here it is written once, for a
//! value that says only how it is compared; what a screen reads has its type again.

use core::any::Any;
use core::fmt::{Display, Formatter};
use core::marker::PhantomData;
use core::ops::Deref;
use std::rc::Rc;

use dioxus::prelude::ReadableExt as _;

/// A value of any type.
struct Value {
    value: Rc<dyn Any>,
    same: fn(&dyn Any, &dyn Any) -> bool,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        (self.same)(&*self.value, &*other.value)
    }
}

fn same<R: PartialEq + 'static>(one: &dyn Any, other: &dyn Any) -> bool {
    one.downcast_ref::<R>() == other.downcast_ref()
}

/// What [`use_memo`] gives.
pub(crate) struct Memo<R> {
    inner: dioxus::prelude::Memo<Value>,
    of: PhantomData<fn() -> R>,
}

impl<R> Clone for Memo<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Memo<R> {}

impl<R: 'static> Memo<R> {
    /// The value as it is; whoever reads it is drawn anew when it changes.
    pub(crate) fn read(&self) -> Read<R> {
        Read { value: Rc::clone(&self.inner.read().value), of: PhantomData }
    }

    /// The same for who is not drawn by it.
    pub(crate) fn peek(&self) -> Read<R> {
        Read { value: Rc::clone(&self.inner.peek().value), of: PhantomData }
    }
}

impl<R: Display + 'static> Display for Memo<R> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        self.read().fmt(f)
    }
}

/// A value that was read.
pub(crate) struct Read<R> {
    value: Rc<dyn Any>,
    of: PhantomData<R>,
}

impl<R: 'static> Deref for Read<R> {
    type Target = R;

    #[expect(clippy::expect_used, reason = "the type is that of the closure which made it")]
    fn deref(&self) -> &R {
        self.value.downcast_ref().expect("its own type")
    }
}

/// Keeps what `f` gives until something that it read changes.
pub(crate) fn use_memo<R: PartialEq + 'static>(mut f: impl FnMut() -> R + 'static) -> Memo<R> {
    let f: Box<dyn FnMut() -> Value> = Box::new(move || Value { value: Rc::new(f()), same: same::<R> });
    Memo { inner: dioxus::prelude::use_memo(f), of: PhantomData }
}
