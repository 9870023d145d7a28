//! Figures in Prometheus' text format, named `riverrun_<part>_<what>_<unit>`.

use std::fmt::Write;

use riverrun_jobmanager::{JobStatus, OperatorStatus};
use riverrun_log_store::{Partition, Store};

use crate::embedded::Jobs;

/// All figures of this process.
pub(super) fn text(jobs: &Jobs) -> String {
    let mut page = Page::default();
    of_jobs(&mut page, &jobs.statuses());
    of_log(&mut page, jobs.cluster().store());
    page.text
}

fn of_jobs(page: &mut Page, jobs: &[JobStatus]) {
    page.family("riverrun_job_running_count", "gauge", "Whether the job runs");
    for job in jobs {
        page.sample(&[("job", &job.job)], if job.state.is_over() { 0.0 } else { 1.0 });
    }
    page.family("riverrun_job_restarts_total", "counter", "Restarts after failures, in this run");
    for job in jobs {
        page.sample(&[("job", &job.job)], job.restarts as f64);
    }
    page.family("riverrun_job_checkpoints_total", "counter", "Checkpoints committed in this run");
    for job in jobs {
        page.sample(&[("job", &job.job)], job.completed_checkpoints as f64);
    }
    let last = |job: &JobStatus| job.last_checkpoint;
    page.family(
        "riverrun_job_checkpoint_duration_seconds",
        "gauge",
        "How long the last checkpoint took",
    );
    for (job, checkpoint) in jobs.iter().filter_map(|job| Some((job, last(job)?))) {
        page.sample(&[("job", &job.job)], checkpoint.duration.as_secs_f64());
    }
    page.family(
        "riverrun_job_checkpoint_size_bytes",
        "gauge",
        "State that the last checkpoint added",
    );
    for (job, checkpoint) in jobs.iter().filter_map(|job| Some((job, last(job)?))) {
        page.sample(&[("job", &job.job)], checkpoint.bytes as f64);
    }
    type Figure = (&'static str, &'static str, fn(&OperatorStatus) -> u64);
    let counters: [Figure; 5] = [
        ("riverrun_operator_records_in_total", "Rows that came in", |o| o.records_in),
        ("riverrun_operator_records_out_total", "Rows that went out", |o| o.records_out),
        ("riverrun_operator_transferred_bytes_total", "Read or written outside", |o| o.bytes),
        ("riverrun_operator_late_records_total", "Rows behind the watermark", |o| o.late_records),
        ("riverrun_operator_rejected_records_total", "Rows that could not be decoded", |o| {
            o.rejected_records
        }),
    ];
    for (name, help, figure) in counters {
        page.family(name, "counter", help);
        for_operators(jobs, |labels, operator| page.sample(labels, figure(operator) as f64));
    }
    page.family("riverrun_operator_watermark_seconds", "gauge", "Event time reached, since 1970");
    for_operators(jobs, |labels, operator| {
        // At the end of all input it is beyond all time, which is no figure.
        if let Some(watermark) = operator.watermark.filter(|&watermark| watermark < i64::MAX) {
            page.sample(labels, watermark as f64 / 1000.0);
        }
    });
}

fn for_operators(jobs: &[JobStatus], mut each: impl FnMut(&[(&str, &str)], &OperatorStatus)) {
    for job in jobs {
        for operator in &job.operators {
            let id = operator.id.to_string();
            each(&[("job", &job.job), ("operator", &operator.name), ("id", &id)], operator);
        }
    }
}

fn of_log(page: &mut Page, store: &Store) {
    let mut partitions: Vec<Partition> = Vec::new();
    let mut refused = 0;
    for topic in store.topics() {
        for partition in 0..topic.config.partitions {
            match store.partition(&topic.name, partition) {
                Ok(partition) => partitions.push(partition),
                Err(_) => refused += 1,
            }
        }
    }
    type Figure = (&'static str, &'static str, &'static str, fn(&Partition) -> f64);
    let figures: [Figure; 5] = [
        ("riverrun_log_start_offset_records", "gauge", "Log start offset", |p| {
            p.offsets().log_start as f64
        }),
        ("riverrun_log_high_watermark_records", "gauge", "High watermark", |p| {
            p.offsets().high_watermark as f64
        }),
        ("riverrun_log_last_stable_offset_records", "gauge", "Last stable offset", |p| {
            p.offsets().last_stable as f64
        }),
        ("riverrun_log_size_bytes", "gauge", "Bytes of all segments", |p| p.size_bytes() as f64),
        ("riverrun_log_stopped_count", "gauge", "Whether the partition has stopped", |p| {
            if p.stopped().is_some() { 1.0 } else { 0.0 }
        }),
    ];
    for (name, kind, help, figure) in figures {
        page.family(name, kind, help);
        for partition in &partitions {
            let index = partition.index().to_string();
            let labels = [("topic", partition.topic()), ("partition", index.as_str())];
            page.sample(&labels, figure(partition));
        }
    }
    page.family("riverrun_log_refused_count", "gauge", "Partitions that could not be opened");
    page.sample(&[], f64::from(refused));
}

/// What is written so far. A family is a name with its samples.
#[derive(Default)]
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text += self.family;
        for (number, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_samples_follow_their_family() {
        let mut page = Page::default();
        page.family("riverrun_a_b_bytes", "gauge", "What it is");
        page.sample(&[("job", "a \"b\" \\ \n")], 1.5);
        page.sample(&[], 2.0);
        let expected = "# HELP riverrun_a_b_bytes What it is\n# TYPE riverrun_a_b_bytes gauge\n\
             riverrun_a_b_bytes{job=\"a \\\"b\\\" \\\\ \\n\"} 1.5\nriverrun_a_b_bytes 2\n";
        assert_eq!(page.text, expected);
    }
}
