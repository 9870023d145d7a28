//! Which row of the drawing a vertex stands in, and the edges cut into pieces from row to row.
//!
//! The first half of the method of Sugiyama, Tagawa and Toda (1981): longest-path layering, and edges that
//! skip rows get a place in every row they cross. Within a row, places are ordered by where their inputs are.

use std::collections::HashMap;

use riverrun_dataflow::{JobGraph, VertexId};

/// A place in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A vertex, by its position in the graph.
    Vertex(usize),
    /// An edge on its way down, by its position in the graph.
    Passing(usize),
}

/// An edge between two neighbouring rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Position in the row above.
    pub from: usize,
    /// Position in the row below.
    pub to: usize,
    /// The edge that this is a piece of.
    pub edge: usize,
    /// True for the piece that arrives at the edge's target.
    pub arrives: bool,
}

/// The rows, top to bottom, and the links below each row (one list less than rows).
pub(super) struct Layers {
    pub rows: Vec<Vec<Place>>,
    pub links: Vec<Vec<Link>>,
}

pub(super) fn layers(graph: &JobGraph) -> Layers {
    let position: HashMap<VertexId, usize> =
        graph.vertices.iter().enumerate().map(|(i, vertex)| (vertex.id, i)).collect();
    // Every vertex stands after those that send to it, so one pass is enough.
    let mut row_of = vec![0usize; graph.vertices.len()];
    for (i, vertex) in graph.vertices.iter().enumerate() {
        row_of[i] =
            graph.inputs(vertex.id).map(|edge| row_of[position[&edge.from]] + 1).max().unwrap_or(0);
    }
    let height = row_of.iter().max().map_or(0, |row| row + 1);
    let mut rows: Vec<Vec<Place>> = vec![Vec::new(); height];
    for (i, row) in row_of.iter().enumerate() {
        rows[*row].push(Place::Vertex(i));
    }
    for (index, edge) in graph.edges.iter().enumerate() {
        let (from, to) = (row_of[position[&edge.from]], row_of[position[&edge.to]]);
        for row in &mut rows[(from + 1).min(to)..to] {
            row.push(Place::Passing(index));
        }
    }
    let mut links: Vec<Vec<Link>> = Vec::new();
    for row in 1..height {
        let (above, below) = rows.split_at_mut(row);
        let (above, below) = (&above[row - 1], &mut below[0]);
        let inputs = |place: &Place| -> Vec<(usize, usize)> {
            let source_of = |edge: usize| {
                let from = position[&graph.edges[edge].from];
                above.iter().position(|above| {
                    *above == Place::Passing(edge) || *above == Place::Vertex(from)
                })
            };
            match place {
                Place::Passing(edge) => {
                    source_of(*edge).map(|at| (at, *edge)).into_iter().collect()
                }
                Place::Vertex(vertex) => graph
                    .edges
                    .iter()
                    .enumerate()
                    .filter(|(_, edge)| position[&edge.to] == *vertex)
                    .filter_map(|(edge, _)| source_of(edge).map(|at| (at, edge)))
                    .collect(),
            }
        };
        below.sort_by_key(|place| {
            let inputs = inputs(place);
            let sum: usize = inputs.iter().map(|(at, _)| at * 1000).sum();
            sum / inputs.len().max(1)
        });
        let mut row_links = Vec::new();
        for (to, place) in below.iter().enumerate() {
            for (from, edge) in inputs(place) {
                row_links.push(Link { from, to, edge, arrives: matches!(place, Place::Vertex(_)) });
            }
        }
        links.push(row_links);
    }
    Layers { rows, links }
}
