//! Job graphs for people: as text, as Graphviz dot, as JSON.

mod ascii;
mod layers;

use std::fmt::Write;

use riverrun_dataflow::{JobEdge, JobGraph, JobVertex};

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum GraphFormat {
    /// A drawing of plain characters
    Ascii,
    /// Graphviz: pipe it into `dot -Tsvg`
    Dot,
    /// One JSON object
    Json,
}

/// The graph in this format, with a newline at its end.
pub fn draw(graph: &JobGraph, format: GraphFormat) -> String {
    match format {
        GraphFormat::Ascii => ascii::draw(graph),
        GraphFormat::Dot => dot(graph),
        GraphFormat::Json => {
            // A graph is plain data: strings, numbers and lists always encode.
            serde_json::to_string_pretty(graph).expect("a graph is plain data") + "\n"
        }
    }
}

/// What stands beside an edge: `HASH ip`, `FORWARD late`.
fn edge_label(edge: &JobEdge) -> String {
    let mut label = edge.kind.to_string();
    if !edge.description.is_empty() {
        let _ = write!(label, " ({})", edge.description);
    }
    if let Some(side) = &edge.side_output {
        let _ = write!(label, " side output {side}");
    }
    label
}

/// The lines that stand for a vertex: its operators, then its parallelism.
fn vertex_lines(vertex: &JobVertex) -> Vec<String> {
    let mut lines: Vec<String> = vertex
        .operators
        .iter()
        .enumerate()
        .map(|(i, operator)| {
            let arrow = if i == 0 { "" } else { "-> " };
            let colon = if operator.description.is_empty() { "" } else { ": " };
            format!("{arrow}{}{colon}{}", operator.name, operator.description)
        })
        .collect();
    lines.push(format!("parallelism {}", vertex.parallelism));
    lines
}

fn dot(graph: &JobGraph) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out =
        format!("digraph \"{}\" {{\n  rankdir=TB;\n  node [shape=box];\n", quoted(&graph.name));
    for vertex in &graph.vertices {
        let lines: Vec<String> = vertex_lines(vertex).iter().map(|line| quoted(line)).collect();
        let _ = writeln!(out, "  \"{}\" [label=\"{}\"];", vertex.id, lines.join("\\n"));
    }
    for edge in &graph.edges {
        let label = quoted(&edge_label(edge));
        let _ = writeln!(out, "  \"{}\" -> \"{}\" [label=\"{label}\"];", edge.from, edge.to);
    }
    out + "}\n"
}
