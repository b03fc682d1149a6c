//! Handlers of clicks, of one type for all: what Dioxus writes anew for each closure is written once.

use dioxus::prelude::MouseEvent;

/// What a click does.
pub(crate) fn act(run: impl FnMut(MouseEvent) + 'static) -> Box<dyn FnMut(MouseEvent)> {
    Box::new(run)
}
