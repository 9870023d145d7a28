//! Rows of a batch, put together by key.

use hashbrown::HashMap;

/// The rows of a batch by key: state is looked up once for each key of a batch.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Rows, those of one key behind each other in the order in which they came.
    rows: Vec<u32>,
    /// Where in `rows` each key's end.
    ends: Vec<u32>,
}

impl Groups {
    /// Puts together rows with the same key. Keys keep the order in which they first came.
    pub fn of<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let mut numbers: HashMap<&[u8], u32, foldhash::fast::FixedState> = HashMap::default();
        let mut ends: Vec<u32> = Vec::new();
        let mut group_of: Vec<u32> = Vec::with_capacity(keys.len());
        for key in keys {
            // A batch has far fewer rows than a u32 can count.
            let group = *numbers.entry(key).or_insert(ends.len() as u32);
            if group as usize == ends.len() {
                ends.push(0);
            }
            ends[group as usize] += 1;
            group_of.push(group);
        }
        // Counts become starts, and starts become ends while rows are put in their places.
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        let mut rows = vec![0; group_of.len()];
        for (row, group) in (0..).zip(group_of) {
            let place = &mut ends[group as usize];
            rows[*place as usize] = row;
            *place += 1;
        }
        Self { rows, ends }
    }

    /// The rows of each key; none is empty.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.rows[*start as usize..*end as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_together_in_their_order() {
        let keys: [&[u8]; 5] = [b"b", b"a", b"b", b"", b"a"];
        let groups = Groups::of(keys.into_iter());
        assert_eq!(groups.iter().collect::<Vec<_>>(), [&[0, 2][..], &[1, 4], &[3]]);
        assert_eq!(Groups::of(std::iter::empty()).iter().count(), 0);
    }
}
