//! Which objects in the checkpoint storage are still needed.

use std::collections::BTreeSet;

use riverrun_dataflow::{CompletedCheckpoint, StateHandle, SubtaskSnapshot};

/// The paths of all objects that a record needs.
pub(crate) fn referenced(record: &CompletedCheckpoint) -> BTreeSet<String> {
    record
        .operators
        .values()
        .flat_map(|operator| operator.keyed.iter().flatten())
        .filter_map(|handle| path(&handle.state))
        .collect()
}

/// The paths of the objects that one subtask wrote for a checkpoint.
pub(crate) fn written(snapshot: &SubtaskSnapshot) -> Vec<String> {
    let keyed = snapshot.operators.values().filter_map(|operator| operator.keyed.as_ref());
    keyed.filter_map(|handle| path(&handle.state)).collect()
}

fn path(handle: &StateHandle) -> Option<String> {
    match handle {
        StateHandle::Object { path, .. } => Some(path.clone()),
        StateHandle::Inline(_) => None,
    }
}

/// Of the objects that are there, those of `job` that no run needs: written by a generation up to
/// `generation` (they have all ended), and not part of the newest record. Paths of another form belong to somebody else, a
/// job named `job/more` for example.
pub(crate) fn leftovers(
    job: &str,
    generation: u64,
    newest: Option<&CompletedCheckpoint>,
    present: Vec<String>,
) -> Vec<String> {
    let needed = newest.map(referenced).unwrap_or_default();
    let ours = |path: &str| {
        let parts: Option<Vec<&str>> = path
            .strip_prefix(job)
            .and_then(|rest| rest.strip_prefix('/'))
            .map(|rest| rest.split('/').collect());
        match parts.as_deref() {
            Some([of_generation, checkpoint, _]) => {
                checkpoint.parse::<u64>().is_ok()
                    && of_generation.parse::<u64>().is_ok_and(|of| of <= generation)
            }
            _ => false,
        }
    };
    present.into_iter().filter(|path| ours(path) && !needed.contains(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_ours_is_left_over() {
        let present = [
            "job/1/7/aa-0",
            "job/3/7/aa-0",
            "job/4/1/aa-0",
            "job/more/1/7/aa-0",
            "job/1/note",
            "jobs/1/7/aa-0",
            "job/1/x/aa-0",
        ];
        let left = leftovers("job", 3, None, present.map(str::to_owned).to_vec());
        assert_eq!(left, ["job/1/7/aa-0", "job/3/7/aa-0"]);
    }
}
