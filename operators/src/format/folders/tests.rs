use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{Array, StringArray};
use arrow_schema::{DataType, Field, TimeUnit};

use super::*;

fn fields() -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new("dt", DataType::Utf8, true)),
        Arc::new(Field::new("n", DataType::Int32, true)),
        Arc::new(Field::new("a t", DataType::Timestamp(TimeUnit::Millisecond, None), true)),
    ]
}

#[test]
fn values_are_read_off_the_path() {
    let mut values = FolderValues::new(fields()).unwrap();
    let row =
        values.of("/x/dt=other/dt=50%25 %C3%A9=a/n=-7/a t=2024-01-01 10%3A00%3A00/part").unwrap();
    assert_eq!(row.num_rows(), 1);
    assert_eq!(row.column(0).as_string::<i32>().value(0), "50% é=a");
    assert_eq!(row.column(1).as_primitive::<Int32Type>().value(0), -7);
    let at = row.column(2).as_primitive::<TimestampMillisecondType>().value(0);
    assert_eq!(at, 1_704_103_200_000);
    let row = values.of("/x/dt=/n=__DEFAULT_PARTITION__/a t=__DEFAULT_PARTITION__/part").unwrap();
    assert_eq!(row.column(0).as_string::<i32>().value(0), "");
    assert!(row.column(1).is_null(0) && row.column(2).is_null(0));
    for (path, reason) in [
        ("/x/dt=a/part", "it lies in no folder `n=..`"),
        ("/x/dt=a/n=many/a t=2024-01-01 10%3A00%3A00/part", "expected INT"),
        ("/x/dt=%FF/n=1/a t=2024-01-01 10%3A00%3A00/part", "is not UTF-8"),
    ] {
        let error = values.of(path).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(path), "{error}");
    }
}

#[test]
fn columns_of_folders_stand_where_they_are_asked_for() {
    let line = Arc::new(Field::new("line", DataType::Utf8, true));
    let file = TableDecoder::new(TableLayout {
        format: TableFormat::Raw(Default::default()),
        fields: vec![line.clone()],
        key: None,
        columns: vec![LayoutColumn { field: line, origin: Origin::Value(0) }],
        upsert: false,
    })
    .unwrap();
    let columns = vec![FolderColumn::Folder(1), FolderColumn::File(0), FolderColumn::Folder(0)];
    let values = FolderValues::new(fields()[..2].to_vec()).unwrap();
    let mut decoder = InFolders::new(file, values, columns);
    for (path, dt, n) in [("/x/dt=a/n=1/f", "a", 1), ("/x/dt=b/n=1/f", "b", 1)] {
        let lines = ["one", "two"].map(Line::from);
        let records = BatchRecords::of_lines(&lines, &[0, 4], path);
        decoder.decode(&records, &mut Rejects::new(OnError::Fail, path, None)).unwrap();
        assert_eq!(decoder.len(), 2);
        let batch = decoder.finish().batch;
        assert_eq!(batch.column(0).as_primitive::<Int32Type>().values().as_ref(), [n, n]);
        let texts = |at: usize| batch.column(at).as_string::<i32>().clone();
        assert_eq!(texts(1), StringArray::from(vec!["one", "two"]));
        assert_eq!(texts(2), StringArray::from(vec![dt, dt]));
    }
    assert_eq!(decoder.finish().batch.num_rows(), 0);
}
