//! `EXPLAIN`.

use datafusion::logical_expr::LogicalPlan;
use riverrun_dataflow::JobGraph;

use super::{Outcome, RuntimeMode, Session};
use crate::batch;
use crate::parser::{Insert, Statement};
use crate::plan::pruned;
use crate::stream::StateNote;
use crate::{Error, Result};

impl Session {
    pub(super) fn explain(&self, statement: &Statement) -> Result<Outcome> {
        let text = match statement {
            Statement::Query(query) => {
                let plan = self.logical_plan(query)?;
                let mut text = logical(&plan);
                match self.settings.mode() {
                    RuntimeMode::Streaming => {
                        let (graph, state) = self.query_graph(&plan)?;
                        text.push_str(&read(&pruned(&plan)));
                        text.push_str(&job(&graph, &state));
                    }
                    RuntimeMode::Batch => text.push_str(&read(&batch::pruned_scans(&plan)?)),
                }
                text
            }
            Statement::Insert(insert) => self.explain_inserts(std::slice::from_ref(insert))?,
            Statement::StatementSet(inserts) => self.explain_inserts(inserts)?,
            _ => {
                return Err(Error::invalid(
                    "EXPLAIN takes a query, INSERT INTO or a statement set",
                ));
            }
        };
        let text = super::readable::readable(&text);
        let rows = text.lines().map(|line| vec![Some(line.to_owned())]).collect();
        super::show::text_rows(super::show::text_schema("plan"), rows)
    }

    fn query_graph(&self, plan: &LogicalPlan) -> Result<(JobGraph, Vec<StateNote>)> {
        let env = self.job_environment("query");
        let mut planner = self.stream_planner(&env);
        let planned = planner.plan(plan)?;
        let state = std::mem::take(&mut planner.state);
        planned.stream.add_sink(
            riverrun_dataflow::OperatorSpec::new("collect", riverrun_dataflow::OperatorKind::Sink)
                .single(),
            |_| {
                // A plan that is only looked at is never run.
                Err(riverrun_dataflow::Error::Cancelled)
            },
        );
        Ok((env.graph()?, state))
    }

    fn explain_inserts(&self, inserts: &[Insert]) -> Result<String> {
        let plans = self.insert_plans(inserts)?;
        let mut text: String = plans.iter().map(|(_, plan)| logical(plan)).collect();
        let scans: Vec<String> = plans.iter().flat_map(|(_, plan)| pruned(plan)).collect();
        text.push_str(&read(&scans));
        let env = self.job_environment("insert");
        let (state, _) = self.plan_inserts(&env, &plans)?;
        text.push_str(&job(&env.graph()?, &state));
        Ok(text)
    }
}

fn logical(plan: &LogicalPlan) -> String {
    format!("== Logical plan ==\n{}\n\n", plan.display_indent())
}

/// What is not read of tables.
fn read(scans: &[String]) -> String {
    if scans.is_empty() {
        return String::new();
    }
    let scans: String = scans.iter().map(|scan| format!("{scan}\n")).collect();
    format!("== Records that are read ==\n{scans}\n")
}

fn job(graph: &JobGraph, state: &[StateNote]) -> String {
    let mut text = "== Job graph ==\n".to_owned();
    for (number, vertex) in (1..).zip(&graph.vertices) {
        text.push_str(&format!("{number}: {} (parallelism {})\n", vertex.name, vertex.parallelism));
        for operator in &vertex.operators {
            let line = match operator.description.as_str() {
                "" => format!("     {}\n", operator.name),
                description => format!("     {}: {description}\n", operator.name),
            };
            text.push_str(&line);
        }
        for edge in graph.outputs(vertex.id) {
            let to = graph.vertices.iter().position(|vertex| vertex.id == edge.to).unwrap_or(0);
            let by = match edge.description.as_str() {
                "" => String::new(),
                description => format!(" by {description}"),
            };
            text.push_str(&format!("     {}{by} -> {}\n", edge.kind, to + 1));
        }
    }
    text.push_str("\n== State ==\n");
    if state.is_empty() {
        text.push_str("none\n");
    }
    for note in state {
        let until = match &note.until {
            Some(until) => until.clone(),
            None => {
                "UNBOUNDED: it grows as long as the job runs; see 'table.exec.state.ttl'".to_owned()
            }
        };
        text.push_str(&format!("{}: keeps {}; {until}\n", note.operator, note.keeps));
    }
    text
}
