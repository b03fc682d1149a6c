//! What the server measures, for `/metrics` on the private listener in the Prometheus text format.

use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Access time: request received to decision, and key-down to grant as clients report it. The goal is the round trip and 3 ms.
const ACCESS_BUCKETS_S: &[f64] =
    &[0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];
/// Mouth to ear: the goal is 80 ms natively and 135 ms in the slowest browser.
const MOUTH_TO_EAR_BUCKETS_S: &[f64] =
    &[0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.135, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, 5.0];
/// Late entry: the goal is 150 ms.
const LATE_ENTRY_BUCKETS_S: &[f64] = &[0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0];
/// Waiting for a synced commit.
const COMMIT_BUCKETS_S: &[f64] = &[0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 5.0];

/// REST requests.
const REQUEST_BUCKETS_S: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// The figures of this process. They are counted together where it runs several servers, as tests do.
static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Starts measuring for this process where nobody has, and gives what renders the figures.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Prefix("holler_floor_".into()), ACCESS_BUCKETS_S)?
        .set_buckets_for_metric(Matcher::Full("holler_mouth_to_ear_seconds".into()), MOUTH_TO_EAR_BUCKETS_S)?
        .set_buckets_for_metric(Matcher::Full("holler_late_entry_seconds".into()), LATE_ENTRY_BUCKETS_S)?
        .set_buckets_for_metric(Matcher::Full("holler_commit_seconds".into()), COMMIT_BUCKETS_S)?
        .set_buckets_for_metric(Matcher::Full("holler_request_seconds".into()), REQUEST_BUCKETS_S)?
        .install_recorder()?;
    describe();
    Ok(installed.insert(handle).clone())
}

fn describe() {
    use metrics::Unit::{Count, Seconds};
    use metrics::{describe_counter, describe_gauge, describe_histogram};

    describe_gauge!("holler_sockets_open", Count, "Sockets that are open, signed in or not");
    describe_counter!("holler_sockets_closed_total", Count, "Sockets that the server closed, by close code");
    describe_counter!("holler_socket_refused_total", Count, "Socket messages that were refused, by problem");
    describe_counter!("holler_outbox_dropped_total", Count, "What was given up or left in the log for slow readers");
    describe_counter!("holler_floor_outcomes_total", Count, "Floor requests, by how they ended and by priority");
    describe_histogram!("holler_floor_wait_seconds", Seconds, "Floor request received to its outcome, by outcome");
    describe_histogram!("holler_floor_access_seconds", Seconds, "Key-down to grant, as talkers report it");
    describe_histogram!(
        "holler_mouth_to_ear_seconds",
        Seconds,
        "A burst's first frame: captured to played, as listeners estimate it"
    );
    describe_histogram!(
        "holler_late_entry_seconds",
        Seconds,
        "Subscription sent to first sample played, as late listeners report it"
    );
    describe_counter!("holler_requests_total", Count, "REST requests, by route and status");
    describe_histogram!("holler_request_seconds", Seconds, "REST requests: head received to response");
    describe_histogram!(
        "holler_commit_seconds",
        Seconds,
        "A group of writes: taken to committed and synced, and everybody told"
    );
    describe_counter!("holler_trace_messages_total", Count, "Messages to the collector of traces, by outcome");
    describe_counter!("holler_sign_ins_total", Count, "Sign-ins, by outcome");
    describe_counter!(
        "holler_refresh_reused_total",
        Count,
        "Refresh tokens that were used again: the sign-in was ended"
    );
    describe_gauge!(
        "holler_disk_free_bytes",
        metrics::Unit::Bytes,
        "Free space on the data folder's disk, when last asked"
    );
    describe_counter!("holler_accept_errors_total", Count, "Connections that could not be accepted");
    describe_counter!("holler_tls_failures_total", Count, "TLS handshakes that failed");
    describe_gauge!(
        "holler_store_read_only",
        Count,
        "1 while events and frames are refused: no room, or a failing disk"
    );
    describe_counter!(
        "holler_store_checkpoints_total",
        Count,
        "Moves of the write-ahead log into the database, by whom"
    );
    describe_gauge!("holler_push_waiting", Count, "Notifications that wait to be sent");
    describe_gauge!("holler_push_oldest_seconds", Seconds, "Age of the notification that waits for longest");
    describe_gauge!("holler_push_dead", Count, "Notifications that were given up within the last week");
    describe_counter!("holler_push_queued_total", Count, "Notifications that were put into the queue");
    describe_counter!("holler_push_sent_total", Count, "Notifications that a push service took, by kind");
    describe_counter!("holler_push_failed_total", Count, "Tries that failed, by kind and cause");
    describe_counter!("holler_push_dropped_total", Count, "Notifications that nobody needed any more, by cause");
    describe_counter!("holler_voice_frames_total", Count, "Voice frames received, by what became of them");
    describe_counter!("holler_voice_frames_sent_total", Count, "Voice frames sent to listeners, by route");
    describe_gauge!("holler_voice_paths_open", Count, "Voice paths that clients were given, used or not");
    describe_counter!(
        "holler_voice_path_moves_total",
        Count,
        "Voice paths that moved to a new address of their client"
    );
    describe_counter!(
        "holler_voice_path_stalled_total",
        Count,
        "Times that a listener said that datagrams had stopped"
    );
    describe_counter!(
        "holler_voice_datagrams_total",
        Count,
        "Datagrams received on the UDP port, by what became of them"
    );
    describe_counter!("holler_webtransport_total", Count, "Connections of browsers for voice, by what became of them");
}

/// What a client measured of a burst.
pub fn report(access_us: Option<u32>, mouth_to_ear_us: Option<u32>, late_entry_us: Option<u32>) {
    let seconds = |us: u32| f64::from(us) / 1e6;
    if let Some(us) = access_us {
        metrics::histogram!("holler_floor_access_seconds").record(seconds(us));
    }
    if let Some(us) = mouth_to_ear_us {
        metrics::histogram!("holler_mouth_to_ear_seconds").record(seconds(us));
    }
    if let Some(us) = late_entry_us {
        metrics::histogram!("holler_late_entry_seconds").record(seconds(us));
    }
}

#[cfg(test)]
mod tests {
    /// What is described here is what operators read about.
    #[test]
    fn the_operators_page_has_every_figure() {
        let (page, code) = (include_str!("../../docs/OPERATIONS.md"), include_str!("metrics.rs"));
        let described: Vec<&str> = code
            .split("describe_")
            .skip(1)
            .filter_map(|call| call.split('"').nth(1))
            .filter(|n| n.starts_with("holler_"))
            .collect();
        assert!(described.len() > 15, "{described:?}");
        for name in described {
            assert!(page.contains(&format!("| `{name}` |")), "docs/OPERATIONS.md has no line for {name}");
        }
    }
}
