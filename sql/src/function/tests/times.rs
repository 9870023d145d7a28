//! Dates and times.

use super::check;

/// A time as the planner of a session makes it of `TIMESTAMP '...'`.
macro_rules! at {
    ($before:literal, $time:literal, $after:literal) => {
        concat!($before, "TO_TIMESTAMP('", $time, "')", $after)
    };
}

#[test]
fn times_are_written_by_pattern() {
    check(&[
        (
            at!("DATE_FORMAT(", "2024-03-05 14:07:09.123", ", 'yyyy-MM-dd HH:mm:ss.SSS')"),
            "2024-03-05 14:07:09.123",
            "STRING",
        ),
        (at!("DATE_FORMAT(", "2024-03-05 14:07:09.123", ", 'yyyyMMdd')"), "20240305", "STRING"),
        (
            at!("DATE_FORMAT(", "2024-03-05 14:07:09.123", ", 'EEE, d MMM yy h:mm a')"),
            "Tue, 5 Mar 24 2:07 PM",
            "STRING",
        ),
        (
            at!("DATE_FORMAT(", "2024-03-05 14:07:09.123", ", 'EEEE MMMM M/d/y H')"),
            "Tuesday March 3/5/2024 14",
            "STRING",
        ),
        (at!("DATE_FORMAT(", "2024-03-05 14:07:09.123", ", '''at'' D w')"), "at 65 10", "STRING"),
        (
            at!("DATE_FORMAT(", "2024-03-05 14:07:09.123", ", 'SS S SSSSSS')"),
            "12 1 123000",
            "STRING",
        ),
        (
            at!("DATE_FORMAT(", "1969-12-31 23:59:59.5", ", 'yyyy HH:mm:ss.S')"),
            "1969 23:59:59.5",
            "STRING",
        ),
        ("DATE_FORMAT('2024-03-05 14:07:09', 'HH:mm')", "14:07", "STRING"),
        (
            "DATE_FORMAT(TO_TIMESTAMP_LTZ(0, 3), 'yyyy-MM-dd HH:mm:ss')",
            "1970-01-01 00:00:00",
            "STRING",
        ),
        ("FROM_UNIXTIME(44)", "1970-01-01 00:00:44", "STRING"),
        ("FROM_UNIXTIME(44, 'HH:mm:ss')", "00:00:44", "STRING"),
        ("FROM_UNIXTIME(-1)", "1969-12-31 23:59:59", "STRING"),
        (
            "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')",
            "1969-12-31 16:00:00",
            "STRING",
        ),
        (
            "CONVERT_TZ('2024-03-31 02:30:00', 'Europe/Paris', 'UTC')",
            "2024-03-31 01:30:00",
            "STRING",
        ),
        ("CONVERT_TZ('x', 'UTC', 'America/Los_Angeles')", "NULL", "STRING"),
    ]);
}

#[test]
fn times_are_read_by_pattern() {
    check(&[
        ("TO_TIMESTAMP('2024-03-05 14:07:09')", "2024-03-05 14:07:09", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('2024-03-05 14:07:09.123456')", "2024-03-05 14:07:09.123", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('2024-03-05T14:07:09')", "NULL", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('2024-03-05')", "2024-03-05 00:00:00", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('nonsense')", "NULL", "TIMESTAMP(3)"),
        (
            "TO_TIMESTAMP('05/03/2024 14.07', 'dd/MM/yyyy HH.mm')",
            "2024-03-05 14:07:00",
            "TIMESTAMP(3)",
        ),
        ("TO_TIMESTAMP('2024-02-30 00:00:00')", "2024-02-29 00:00:00", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('2024-3-5 1:2:3')", "2024-03-05 01:02:03", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('20240305', 'yyyyMMdd')", "2024-03-05 00:00:00", "TIMESTAMP(3)"),
        ("TO_TIMESTAMP('', 'yyyyMMdd')", "NULL", "TIMESTAMP(3)"),
        (
            "TO_TIMESTAMP('5 Mar 2024 02:07 PM', 'd MMM yyyy hh:mm a')",
            "2024-03-05 14:07:00",
            "TIMESTAMP(3)",
        ),
        (
            "TO_TIMESTAMP('2024-03-05T14:07:09+01:00', 'yyyy-MM-dd''T''HH:mm:ssX')",
            "2024-03-05 13:07:09",
            "TIMESTAMP(3)",
        ),
        ("TO_TIMESTAMP_LTZ(1000, 0)", "1970-01-01 00:16:40Z", "TIMESTAMP_LTZ(3)"),
        ("TO_TIMESTAMP_LTZ(1001, 3)", "1970-01-01 00:00:01.001Z", "TIMESTAMP_LTZ(3)"),
        ("TO_TIMESTAMP_LTZ(1001)", "1970-01-01 00:00:01.001Z", "TIMESTAMP_LTZ(3)"),
        ("TO_TIMESTAMP_LTZ('2024-03-05 14:07:09')", "2024-03-05 14:07:09Z", "TIMESTAMP_LTZ(3)"),
        (
            "TO_TIMESTAMP_LTZ('2024-03-05 14:07:09', 'yyyy-MM-dd HH:mm:ss', 'Asia/Shanghai')",
            "2024-03-05 06:07:09Z",
            "TIMESTAMP_LTZ(3)",
        ),
        ("TO_DATE('2024-03-05')", "2024-03-05", "DATE"),
        ("TO_DATE('05.03.2024', 'dd.MM.yyyy')", "2024-03-05", "DATE"),
        ("TO_DATE('x')", "NULL", "DATE"),
        ("TO_DATE('2024-02-30')", "NULL", "DATE"),
        ("UNIX_TIMESTAMP('1970-01-01 00:00:10')", "10", "BIGINT"),
        ("UNIX_TIMESTAMP('10.01.1970', 'dd.MM.yyyy')", "777600", "BIGINT"),
    ]);
}

#[test]
fn parts_of_times() {
    check(&[
        (at!("EXTRACT(YEAR FROM ", "2024-03-05 14:07:09.123", ")"), "2024", "BIGINT"),
        ("EXTRACT(WEEK FROM DATE '2024-12-30')", "1", "BIGINT"),
        ("EXTRACT(DOW FROM DATE '2024-03-03')", "1", "BIGINT"),
        ("EXTRACT(ISODOW FROM DATE '2024-03-03')", "7", "BIGINT"),
        ("EXTRACT(DOY FROM DATE '2024-03-03')", "63", "BIGINT"),
        ("EXTRACT(QUARTER FROM DATE '2024-03-03')", "1", "BIGINT"),
        (at!("EXTRACT(SECOND FROM ", "2024-03-05 14:07:09.123", ")"), "9", "BIGINT"),
        (at!("EXTRACT(MILLISECOND FROM ", "2024-03-05 14:07:09.123", ")"), "123", "BIGINT"),
        (at!("EXTRACT(MICROSECOND FROM ", "2024-03-05 14:07:09.123", ")"), "123000", "BIGINT"),
        (at!("EXTRACT(EPOCH FROM ", "2024-03-05 14:07:09.123", ")"), "1709647629", "BIGINT"),
        ("EXTRACT(CENTURY FROM DATE '2001-01-01')", "21", "BIGINT"),
        ("EXTRACT(DECADE FROM DATE '2001-01-01')", "200", "BIGINT"),
        ("EXTRACT(MILLENNIUM FROM DATE '2001-01-01')", "3", "BIGINT"),
        ("EXTRACT(ISOYEAR FROM DATE '2024-12-30')", "2025", "BIGINT"),
        ("DAYOFWEEK(DATE '2024-03-04')", "2", "BIGINT"),
        ("DAYOFYEAR(DATE '2024-03-03')", "63", "BIGINT"),
        ("DAYOFMONTH(DATE '2024-03-03')", "3", "BIGINT"),
        ("WEEK(DATE '2024-12-30')", "1", "BIGINT"),
        ("QUARTER(DATE '2024-12-30')", "4", "BIGINT"),
        ("YEAR(DATE '2024-12-30')", "2024", "BIGINT"),
        ("MONTH(DATE '2024-12-30')", "12", "BIGINT"),
        (at!("HOUR(", "2024-03-05 14:07:09.123", ")"), "14", "BIGINT"),
        (at!("MINUTE(", "2024-03-05 14:07:09.123", ")"), "7", "BIGINT"),
        (at!("SECOND(", "1969-12-31 23:59:59.9", ")"), "59", "BIGINT"),
    ]);
}

#[test]
fn times_are_rounded_to_units() {
    check(&[
        (
            at!("FLOOR(", "2024-03-05 14:07:09.123", " TO HOUR)"),
            "2024-03-05 14:00:00",
            "TIMESTAMP(3)",
        ),
        (
            at!("CEIL(", "2024-03-05 14:07:09.123", " TO HOUR)"),
            "2024-03-05 15:00:00",
            "TIMESTAMP(3)",
        ),
        (at!("CEIL(", "2024-03-05 14:00:00", " TO HOUR)"), "2024-03-05 14:00:00", "TIMESTAMP(3)"),
        (
            at!("FLOOR(", "2024-03-05 14:07:09.123", " TO WEEK)"),
            "2024-03-03 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            at!("CEIL(", "2024-03-05 14:07:09.123", " TO WEEK)"),
            "2024-03-10 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            at!("FLOOR(", "2024-03-05 14:07:09.123", " TO QUARTER)"),
            "2024-01-01 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            at!("FLOOR(", "2024-03-05 14:07:09.123", " TO YEAR)"),
            "2024-01-01 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            at!("FLOOR(", "2024-03-05 14:07:09.123", " TO DECADE)"),
            "2020-01-01 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            at!("CEIL(", "2024-03-05 14:07:09.123", " TO MONTH)"),
            "2024-04-01 00:00:00",
            "TIMESTAMP(3)",
        ),
        (at!("CEIL(", "2024-03-01 00:00:00", " TO MONTH)"), "2024-03-01 00:00:00", "TIMESTAMP(3)"),
        ("FLOOR(DATE '2024-03-05' TO MONTH)", "2024-03-01", "DATE"),
        ("CEIL(DATE '2024-03-01' TO MONTH)", "2024-03-01", "DATE"),
        (at!("FLOOR(", "1969-12-31 23:59:59", " TO HOUR)"), "1969-12-31 23:00:00", "TIMESTAMP(3)"),
        ("FLOOR(TO_TIMESTAMP_LTZ(86400001, 3) TO DAY)", "1970-01-02 00:00:00Z", "TIMESTAMP_LTZ(3)"),
    ]);
}

#[test]
fn differences_and_sums_of_times() {
    macro_rules! diff {
        ($unit:literal, $from:literal, $to:literal) => {
            concat!(
                "TIMESTAMPDIFF(",
                $unit,
                ", TO_TIMESTAMP('",
                $from,
                "'), TO_TIMESTAMP('",
                $to,
                "'))"
            )
        };
    }
    check(&[
        (diff!("DAY", "2024-01-01 10:00:00", "2024-01-03 09:00:00"), "1", "INT"),
        (diff!("HOUR", "2024-01-03 09:00:00", "2024-01-01 10:00:01"), "-46", "INT"),
        (diff!("MONTH", "2024-01-31 00:00:00", "2024-02-29 00:00:00"), "1", "INT"),
        (diff!("MONTH", "2024-03-31 10:00:00", "2024-01-31 11:00:00"), "-2", "INT"),
        (diff!("SECOND", "2024-01-01 00:00:00.900", "2024-01-01 00:00:02.100"), "1", "INT"),
        ("TIMESTAMPDIFF(YEAR, DATE '2020-02-29', DATE '2021-02-28')", "1", "INT"),
        ("TIMESTAMPDIFF(QUARTER, DATE '2020-01-01', DATE '2021-02-28')", "4", "INT"),
        ("TIMESTAMPDIFF(WEEK, DATE '2020-01-01', DATE '2020-01-20')", "2", "INT"),
        ("TIMESTAMPDIFF(DAY, DATE '2024-01-01', TO_TIMESTAMP('2024-01-03 09:00:00'))", "2", "INT"),
        ("TIMESTAMPDIFF(DAY, DATE '2024-01-01', CAST(NULL AS DATE))", "NULL", "INT"),
        (
            "TIMESTAMPADD(MONTH, 1, TO_TIMESTAMP('2024-01-31 00:00:00.5'))",
            "2024-02-29 00:00:00.500",
            "TIMESTAMP(3)",
        ),
        ("TIMESTAMPADD(WEEK, 1, DATE '2024-01-31')", "2024-02-07", "DATE"),
        ("TIMESTAMPADD(HOUR, 1, DATE '2024-01-31')", "2024-01-31 01:00:00", "TIMESTAMP(3)"),
        (
            "TIMESTAMPADD(QUARTER, -1, TO_TIMESTAMP('2024-05-31 00:00:00'))",
            "2024-02-29 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            "TO_TIMESTAMP('2024-01-31 00:00:00') + INTERVAL '1' MONTH",
            "2024-02-29 00:00:00",
            "TIMESTAMP(3)",
        ),
        (
            "TO_TIMESTAMP('2024-01-31 00:00:00') - INTERVAL '1 10' DAY TO HOUR",
            "2024-01-29 14:00:00",
            "TIMESTAMP(3)",
        ),
    ]);
}
