use std::sync::Mutex;

use arrow_array::{Int64Array, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::build_join_schema;

use super::super::JoinInput;
use super::super::subtasks::{Contents, Subtasks, changes};
use super::*;

/// A table whose rows can be changed, and how often it was read.
#[derive(Default)]
struct Names(Mutex<State>);

#[derive(Default)]
struct State {
    rows: Vec<(i64, &'static str)>,
    version: u64,
    loads: usize,
}

fn schema(names: [&str; 2]) -> SchemaRef {
    let fields = [(names[0], DataType::Int64), (names[1], DataType::Utf8)];
    Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()))
}

fn batch(names: [&str; 2], rows: &[(i64, &str)]) -> RecordBatch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let texts = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    RecordBatch::try_new(schema(names), vec![Arc::new(keys), Arc::new(texts)]).unwrap()
}

impl LookupTable for Names {
    fn load(&self) -> Result<Vec<RecordBatch>> {
        let mut table = self.0.lock().unwrap();
        table.loads += 1;
        Ok(vec![batch(["id", "name"], &table.rows)])
    }
    fn version(&self) -> Result<Option<u64>> {
        Ok(Some(self.0.lock().unwrap().version))
    }
}

impl Names {
    fn set(&self, rows: Vec<(i64, &'static str)>) {
        let mut table = self.0.lock().unwrap();
        table.rows = rows;
        table.version += 1;
    }
}

fn join(table: &Arc<Names>, join_type: JoinType, left_retracts: bool) -> Subtasks<LookupJoin> {
    let schemas = [schema(["k", "s"]), schema(["id", "name"])];
    let sides = schemas.clone().map(|schema| DFSchema::try_from(schema).unwrap());
    let input =
        |side: usize| JoinInput { schema: schemas[side].clone(), columns: 2, keys: vec![0] };
    let spec = LookupJoinSpec {
        join: JoinSpec {
            join_type,
            inputs: [input(0), input(1)],
            nulls_equal: false,
            filter: None,
            output: build_join_schema(&sides[0], &sides[1], &join_type).unwrap().inner().clone(),
            retracts: left_retracts,
            time_to_live: None,
        },
        table: table.clone(),
        refresh: Duration::from_secs(10),
        left_retracts,
    };
    Subtasks::new(1, vec![vec![0, 1]], move || LookupJoin::new(spec.clone()).unwrap())
}

fn left(rows: &[(i64, &str)]) -> RecordBatch {
    batch(["k", "s"], rows)
}

fn contents(rows: &[&str]) -> Contents {
    rows.iter().map(|row| ((*row).to_owned(), 1)).collect()
}

#[test]
fn rows_meet_the_table_as_it_is_when_they_come() {
    let table = Arc::new(Names::default());
    table.set(vec![(1, "one"), (1, "uno"), (2, "two")]);
    let mut join = join(&table, JoinType::Left, false);
    join.send(0, Changes::inserts(left(&[(1, "a"), (3, "b")])));
    assert_eq!(join.contents, contents(&["1|a|1|one", "1|a|1|uno", "3|b|NULL|NULL"]));
    table.set(vec![(3, "three")]);
    join.time(9_999);
    join.send(0, Changes::inserts(left(&[(3, "c")])));
    assert_eq!(join.contents.get("3|c|NULL|NULL"), Some(&1), "not looked at yet");
    join.time(10_000);
    join.send(0, Changes::inserts(left(&[(3, "d")])));
    assert_eq!(join.contents.get("3|d|3|three"), Some(&1));
    join.time(20_000);
    join.send(0, Changes::inserts(left(&[(3, "e")])));
    assert_eq!(table.0.lock().unwrap().loads, 2, "what has not changed is not read again");
}

#[test]
fn what_is_taken_back_is_what_came_out() {
    let table = Arc::new(Names::default());
    table.set(vec![(1, "one"), (2, "two")]);
    for join_type in [JoinType::Inner, JoinType::Left] {
        let mut join = join(&table, join_type, true);
        let rows = [(1, "a"), (2, "b"), (3, "c")];
        join.send(0, changes(left(&rows), vec![1, 2, 1]));
        table.set(vec![(1, "ein"), (3, "drei")]);
        join.time(10_000);
        join.rescale(2);
        join.send(0, changes(left(&[(2, "b"), (4, "d")]), vec![-1, -1]));
        join.send(0, changes(left(&rows), vec![-1, -1, -1]));
        join.send(0, changes(left(&[(4, "d")]), vec![1]));
        assert_eq!(join.contents, Contents::new(), "{join_type}");
        join.rescale(1);
        assert!(join.only().met.is_empty());
        join.send(0, changes(left(&[(1, "a")]), vec![1]));
        assert_eq!(join.contents, contents(&["1|a|1|ein"]));
        table.set(vec![(1, "one"), (2, "two")]);
    }
}
