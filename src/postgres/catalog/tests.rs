//! The queries that clients really send.

use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::*;
use crate::sql::values::write_text;

fn snapshot() -> Snapshot {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", time, true),
        Field::new("price", DataType::Decimal128(10, 2), true),
    ]));
    let relation = |name: &str, kind| Relation {
        name: name.to_owned(),
        kind,
        schema: schema.clone(),
        definition: format!("SELECT * FROM {name}_source"),
    };
    Snapshot {
        user: "anna".to_owned(),
        relations: vec![relation("orders", 'r'), relation("big_orders", 'v')],
        settings: vec![("search_path".to_owned(), "public".to_owned())],
    }
}

/// The answer's rows, values separated by `|`.
fn ask(statement: &str) -> Vec<String> {
    assert!(is_about_catalog(statement), "{statement}");
    let answer = futures_executor::block_on(query(statement, &snapshot()));
    let (_, batches) = answer.unwrap_or_else(|error| panic!("{statement}\n{error}"));
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let mut line = Vec::new();
            for column in batch.columns() {
                let mut text = String::new();
                write_text(&mut text, column.as_ref(), row);
                line.push(text);
            }
            rows.push(line.join("|"));
        }
    }
    rows
}

const PSQL_D: &str = r#"SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r','p','v','m','S','f','')
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;"#;

#[test]
fn psql_lists_relations() {
    assert_eq!(
        ask(PSQL_D.trim_end_matches(';')),
        ["public|big_orders|view|riverrun", "public|orders|table|riverrun"]
    );
}

#[test]
fn psql_describes_a_table() {
    let found = ask(r#"SELECT c.oid,
  n.nspname,
  c.relname
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 2, 3"#);
    assert_eq!(found.len(), 1);
    let oid = found[0].split('|').next().unwrap();
    let flags = ask(&format!(
        r#"SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, '', c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
FROM pg_catalog.pg_class c
 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
WHERE c.oid = '{oid}'"#
    ));
    assert_eq!(flags, ["0|r|false|false|false|false|false|false|false||0||p|n|"]);
    let columns = ask(&format!(
        r#"SELECT a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
   FROM pg_catalog.pg_attrdef d
   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
  a.attnotnull,
  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
  a.attidentity,
  a.attgenerated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = '{oid}' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"#
    ));
    assert_eq!(
        columns,
        [
            "id|bigint||true|||",
            "at|timestamp without time zone||false|||",
            "price|numeric(10,2)||false|||"
        ]
    );
}

#[test]
fn what_drivers_ask_is_answered() {
    assert_eq!(ask("SELECT version()").len(), 1);
    assert_eq!(ask("select pg_catalog.version()").len(), 1);
    assert_eq!(ask("SELECT current_schema()"), ["public"]);
    assert_eq!(ask("SELECT current_database(), current_user"), ["riverrun|anna"]);
    assert_eq!(ask("SELECT current_setting('search_path')"), ["public"]);
    assert_eq!(
        ask(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        ),
        ["big_orders|VIEW", "orders|BASE TABLE"]
    );
    assert_eq!(
        ask(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'orders' ORDER BY ordinal_position"
        ),
        ["id|bigint|NO", "at|timestamp without time zone|YES", "price|numeric|YES"]
    );
    assert_eq!(
        ask("SELECT 'orders'::regclass::oid = c.oid FROM pg_class c WHERE relname = 'orders'"),
        ["true"]
    );
    assert_eq!(ask("SELECT datname FROM pg_catalog.pg_database"), ["riverrun"]);
}

#[test]
fn queries_about_data_are_not_taken() {
    for statement in [
        "SELECT * FROM orders",
        "INSERT INTO t SELECT version FROM orders",
        "SELECT version FROM orders",
        "CREATE TABLE pg_class (a INT)",
        "SELECT pg_price FROM orders",
    ] {
        assert!(!is_about_catalog(statement), "{statement}");
    }
}

/// The last question of psql's `\d orders`.
const PSQL_PUBLICATIONS: &str = r#"SELECT pubname
     , NULL
     , NULL
FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_namespace pn ON p.oid = pn.pnpubid
     JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.pnnspid
WHERE pc.oid ='759143467' and pg_catalog.pg_relation_is_publishable('759143467')
UNION
SELECT pubname
     , pg_get_expr(pr.prqual, c.oid)
     , (CASE WHEN pr.prattrs IS NOT NULL THEN
         (SELECT string_agg(attname, ', ')
           FROM pg_catalog.generate_series(0, pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s,
                pg_catalog.pg_attribute
          WHERE attrelid = pr.prrelid AND attnum = prattrs[s])
        ELSE NULL END) FROM pg_catalog.pg_publication p
     JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid
     JOIN pg_catalog.pg_class c ON c.oid = pr.prrelid
WHERE pr.prrelid = '759143467'
ORDER BY 1"#;

#[test]
fn psql_finds_no_publications() {
    assert_eq!(ask(PSQL_PUBLICATIONS), Vec::<String>::new());
    let (schema, _) =
        futures_executor::block_on(query(PSQL_PUBLICATIONS, &snapshot())).expect("as above");
    assert_eq!(schema.fields().len(), 3);
}
