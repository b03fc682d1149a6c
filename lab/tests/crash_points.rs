//! Power lost at every sync of the server's and the client's store: nothing acked is lost, nothing is half there.
//!
//! A test binary of its own, as the layer that writes down what SQLite does lies under every connection of the process.

use holler_lab::crash_points;

#[test]
fn power_lost_at_any_sync_loses_nothing_that_was_acked() {
    for report in [crash_points::server(4, false).unwrap(), crash_points::client(4, false).unwrap()] {
        assert_eq!(report.faults, Vec::<String>::new());
        assert!(report.syncs >= 4 && report.states > 4 * report.syncs, "{report:?}");
    }
    // The same with a disk that keeps nothing of what it said it had synced: then it must be seen.
    for report in [crash_points::server(2, true).unwrap(), crash_points::client(2, true).unwrap()] {
        assert!(!report.faults.is_empty(), "{report:?}");
    }
}
