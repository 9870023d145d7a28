//! One partition checked: findings, each with what a repair would do about it.

use std::ops::Range;

use super::folder::{Folder, Look, Point};
use super::survey::{Damage, Mend, SegmentFiles, Stretch, Survey};
use super::{Finding, FindingKind, Verification, gap};
use crate::aborted::decode_segment;
use crate::compaction::{CLEANED_SUFFIX, COMPACTION_FILE, check_file};
use crate::environment::Files;
use crate::error::{Error, Result};
use crate::partition::{RECOVERY_POINT_FILE, SNAPSHOT_FILE, TEMPORARY_SUFFIX, TXNINDEX_SUFFIX};
use crate::producer_state::ProducerStates;
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, base_offset_of, file_name};

/// Something that is not as it was written, and what to do about it.
pub(super) struct Issue {
    pub finding: Finding,
    pub action: Action,
}

/// What a repair does.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Nothing: a program cannot.
    Impossible,
    /// Opening the partition deals with it.
    Open,
    /// Makes the index of this segment anew.
    Index(i64),
    /// Mends the segment.
    Mend(i64, Damage),
    /// Creates the segment.
    Create(i64),
    /// Removes a file that opening the partition makes anew.
    Remove(String),
}

/// Checks a partition, and counts what it sees in `verification`.
pub(super) fn check(
    files: &dyn Files,
    folder: &Folder,
    verification: &mut Verification,
    progress: &mut dyn FnMut(&Verification),
) -> Result<Vec<Issue>> {
    let Look { point, names, segments, left_over } = folder.look(files)?;
    let mut check = Check { folder, names: &names, issues: Vec::new() };
    check.recovery_point(&point, &segments);
    check.leftovers(&left_over, &segments);
    for segment in &segments {
        let name = file_name(segment.base, LOG_SUFFIX);
        if segment.log_missing && names.contains(&name) {
            // Retention has removed it since the folder was listed.
            continue;
        }
        check.segment(segment, verification, progress);
        verification.segments += 1;
    }
    check.derived(files, &point, &segments)?;
    verification.partitions += 1;
    Ok(check.issues)
}

struct Check<'a> {
    folder: &'a Folder,
    names: &'a [String],
    issues: Vec<Issue>,
}

/// Opening the store deals with it.
const AT_OPEN: &str = "the next open deals with it";

impl Check<'_> {
    fn finding(&self, kind: FindingKind, file: impl Into<String>, what: String) -> Finding {
        Finding {
            topic: self.folder.topic.clone(),
            partition: self.folder.partition,
            file: file.into(),
            kind,
            position: 0,
            offset: None,
            lost: 0..0,
            damage: true,
            what,
            remedy: String::new(),
        }
    }

    fn add(&mut self, action: Action, finding: Finding) {
        self.issues.push(Issue { finding, action });
    }

    fn command(&self) -> String {
        format!("`riverrun log repair {}-{}`", self.folder.topic, self.folder.partition)
    }

    /// Something that loses nothing.
    fn harmless(&mut self, action: Action, mut finding: Finding) {
        finding.remedy = match finding.damage {
            true => format!("{} makes it anew, nothing is lost", self.command()),
            false => AT_OPEN.to_owned(),
        };
        self.add(action, finding);
    }

    fn recovery_point(&mut self, point: &Point, segments: &[SegmentFiles]) {
        let kind = FindingKind::RecoveryPoint;
        let has_records = segments.iter().any(|s| s.base > 0 || s.log_length > 0);
        if point.newest.is_none() && (point.present || has_records) {
            let what = match point.present {
                true => "neither of its slots is as it was written".to_owned(),
                false => "the file is missing or empty".to_owned(),
            };
            let finding = self.finding(kind, RECOVERY_POINT_FILE, what);
            self.harmless(Action::Open, finding);
        } else if point.damaged_slots > 0 {
            let what = "one of its slots is not as it was written; the other one counts".to_owned();
            let mut finding = self.finding(kind, RECOVERY_POINT_FILE, what);
            // A torn write looks like this, too.
            finding.damage = false;
            self.harmless(Action::Open, finding);
        }
        let first = segments.first().map(|segment| segment.base);
        if let (Some(newest), Some(first)) = (point.newest, first)
            && newest.log_start < first
        {
            let lost = newest.log_start..first;
            let what =
                format!("the segments with offsets {} to {} are missing", lost.start, first - 1);
            let mut finding =
                self.finding(FindingKind::Records, file_name(lost.start, LOG_SUFFIX), what);
            finding.offset = Some(lost.start);
            finding.lost = lost;
            finding.remedy = format!(
                "restore them from a backup; {} takes offset {first} as the log's start",
                self.command()
            );
            self.add(Action::Open, finding);
        }
    }

    fn leftovers(&mut self, left_over: &[i64], segments: &[SegmentFiles]) {
        let mut files: Vec<(String, &str)> = left_over
            .iter()
            .map(|base| (file_name(*base, LOG_SUFFIX), "it was about to be removed"))
            .collect();
        for name in self.names {
            let known = |base| {
                left_over.contains(&base) || segments.iter().any(|segment| segment.base == base)
            };
            if name.ends_with(CLEANED_SUFFIX) {
                files.push((name.clone(), "compaction was interrupted"));
            } else if name.ends_with(TEMPORARY_SUFFIX) {
                files.push((name.clone(), "writing it was interrupted"));
            } else if base_offset_of(name, INDEX_SUFFIX).is_some_and(|base| !known(base)) {
                files.push((name.clone(), "there is no segment that belongs to it"));
            }
        }
        for (name, what) in files {
            let mut finding = self.finding(FindingKind::Leftover, name, what.to_owned());
            finding.damage = false;
            self.harmless(Action::Open, finding);
        }
    }

    fn segment(
        &mut self,
        segment: &SegmentFiles,
        verification: &mut Verification,
        progress: &mut dyn FnMut(&Verification),
    ) {
        let base = segment.base;
        if segment.log_missing {
            let what = "the segment is missing".to_owned();
            let mut finding = self.finding(FindingKind::Records, file_name(base, LOG_SUFFIX), what);
            finding.offset = Some(base);
            finding.remedy =
                format!("restore it from a backup; or {} goes on without it", self.command());
            self.add(Action::Create(base), finding);
        }
        let start = verification.bytes;
        let surveyed = segment.survey(|stretch| {
            match stretch {
                Stretch::Batch(found) => {
                    verification.batches += 1;
                    verification.records += u64::from(found.entry.records);
                    verification.bytes = start + found.entry.end();
                }
                Stretch::Damage(damage) => {
                    let end = (damage.position + damage.length).min(segment.log_length);
                    verification.bytes = verification.bytes.max(start + end);
                    self.damage(base, damage);
                }
                Stretch::Tail { position, offset, what } => {
                    self.tail(segment, position, offset, what)
                }
            }
            progress(verification);
            Ok::<(), std::convert::Infallible>(())
        });
        verification.bytes = start + segment.log_length;
        progress(verification);
        let Ok(survey) = surveyed;
        self.index(segment, survey);
    }

    fn damage(&mut self, base: i64, damage: Damage) {
        let what = damage.what.clone();
        let mut finding = self.finding(FindingKind::Records, file_name(base, LOG_SUFFIX), what);
        finding.position = damage.position;
        finding.offset = Some(damage.offsets.start);
        let Range { start, end } = damage.offsets;
        let fillable = gap::fits(damage.length, &damage.offsets);
        let command = self.command();
        (finding.remedy, finding.lost) = match &damage.mend {
            Mend::Restore(_) => (format!("{command} puts it right, nothing is lost"), 0..0),
            Mend::Cut => (format!("{command} cuts them off, nothing is lost"), 0..0),
            Mend::Fill if fillable => (
                format!(
                    "restore the folder from a backup; or {command} gives up {} and lets readers go on \
                     behind",
                    offsets(&damage.offsets)
                ),
                start..end,
            ),
            Mend::Fill | Mend::None => ("restore the folder from a backup".to_owned(), start..end),
        };
        let action = match damage.mend {
            Mend::None => Action::Impossible,
            Mend::Fill if !fillable => Action::Impossible,
            _ => Action::Mend(base, damage),
        };
        self.add(action, finding);
    }

    fn tail(&mut self, segment: &SegmentFiles, position: u64, offset: i64, what: String) {
        let bytes = segment.log_length - position;
        let what = format!("{bytes} bytes behind the last whole batch, never acknowledged: {what}");
        let name = file_name(segment.base, LOG_SUFFIX);
        let mut finding = self.finding(FindingKind::Tail, name, what);
        finding.position = position;
        finding.offset = Some(offset);
        finding.damage = false;
        finding.remedy = "the next open cuts them off".to_owned();
        self.add(Action::Open, finding);
    }

    fn index(&mut self, segment: &SegmentFiles, survey: Survey) {
        if segment.log_missing {
            return;
        }
        let name = file_name(segment.base, INDEX_SUFFIX);
        for fault in survey.index_faults {
            let mut finding = self.finding(FindingKind::Index, name.clone(), fault.what);
            finding.position = fault.position;
            finding.offset = Some(fault.offset);
            finding.damage = !fault.expected;
            self.harmless(Action::Index(segment.base), finding);
        }
        if survey.index_faults_untold > 0 {
            let what = format!("{} more entries are wrong", survey.index_faults_untold);
            let mut finding = self.finding(FindingKind::Index, name, what);
            finding.damage = survey.index_damaged;
            self.harmless(Action::Index(segment.base), finding);
        }
    }

    /// The files that are made from the batches.
    fn derived(
        &mut self,
        files: &dyn Files,
        point: &Point,
        segments: &[SegmentFiles],
    ) -> Result<()> {
        let transactional = point.newest.is_some_and(|point| point.snapshot.is_some());
        let snapshot = self.names.iter().filter(|name| *name == SNAPSHOT_FILE);
        let aborted =
            self.names.iter().filter(|name| base_offset_of(name, TXNINDEX_SUFFIX).is_some());
        let compaction = self.names.iter().filter(|name| *name == COMPACTION_FILE);
        for name in snapshot.chain(aborted).chain(compaction) {
            let kind = match name.as_str() {
                SNAPSHOT_FILE => FindingKind::Snapshot,
                COMPACTION_FILE => FindingKind::Compaction,
                _ => FindingKind::AbortedIndex,
            };
            let wrong = match self.folder.read_whole(files, name) {
                Ok(None) => None,
                Ok(Some(bytes)) if kind == FindingKind::Snapshot => {
                    ProducerStates::decode_snapshot(name, &bytes).err()
                }
                Ok(Some(bytes)) if kind == FindingKind::Compaction => check_file(&bytes).err(),
                Ok(Some(bytes)) => match decode_segment(name, &bytes) {
                    Ok(file) if Some(file.base) != base_offset_of(name, TXNINDEX_SUFFIX) => {
                        let what = format!("it is that of the segment at offset {}", file.base);
                        Some(Error::DamagedFile { file: name.clone(), what })
                    }
                    decoded => decoded.err(),
                },
                Err(error) => Some(error),
            };
            if let Some(error) = wrong {
                let what = match error {
                    Error::DamagedFile { what, .. } => what,
                    other => other.to_string(),
                };
                let finding = self.finding(kind, name.clone(), what);
                self.harmless(Action::Remove(name.clone()), finding);
            }
        }
        let expected = segments
            .iter()
            .filter(|segment| segment.sealed() && !segment.log_missing)
            .map(|segment| (FindingKind::AbortedIndex, file_name(segment.base, TXNINDEX_SUFFIX)))
            .chain([(FindingKind::Snapshot, SNAPSHOT_FILE.to_owned())]);
        for (kind, name) in expected.filter(|(_, name)| transactional && !self.names.contains(name))
        {
            let finding = self.finding(kind, name, "the file is missing".to_owned());
            self.harmless(Action::Open, finding);
        }
        Ok(())
    }
}

/// Offsets, for people.
pub(super) fn offsets(range: &Range<i64>) -> String {
    match range.end - range.start {
        ..=0 => "nothing".to_owned(),
        1 => format!("offset {}", range.start),
        _ => format!("offsets {} to {}", range.start, range.end - 1),
    }
}
