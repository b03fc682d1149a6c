//! Points in time as people read them.

use holler_core::units::UnixMs;

/// `2026-11-22 17:03:12Z`
pub(crate) fn utc(at: UnixMs) -> String {
    let seconds = at.0 / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years begin in March here, so that the leap
/// day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(utc(UnixMs(0)), "1970-01-01 00:00:00Z");
        assert_eq!(utc(UnixMs(951_782_399_999)), "2000-02-28 23:59:59Z");
        assert_eq!(utc(UnixMs(951_782_400_000)), "2000-02-29 00:00:00Z");
        assert_eq!(utc(UnixMs(1_795_366_992_123)), "2026-11-22 17:03:12Z");
        assert_eq!(utc(UnixMs(4_107_542_400_000)), "2100-03-01 00:00:00Z");
    }
}
