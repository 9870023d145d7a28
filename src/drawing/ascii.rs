//! A job graph drawn with plain characters, top to bottom.

use riverrun_dataflow::JobGraph;

use super::layers::{Layers, Link, Place, layers};
use super::{edge_label, vertex_lines};

const GAP: usize = 4;

/// A box or a passing edge with its place on the page.
struct Item {
    place: Place,
    lines: Vec<String>,
    x: usize,
    width: usize,
}

struct Canvas(Vec<Vec<char>>);

impl Canvas {
    fn put(&mut self, x: usize, y: usize, c: char) {
        while self.0.len() <= y {
            self.0.push(Vec::new());
        }
        let row = &mut self.0[y];
        while row.len() <= x {
            row.push(' ');
        }
        let crossing = matches!((row[x], c), ('-', '|') | ('|', '-') | ('+', '|' | '-'));
        row[x] = if crossing { '+' } else { c };
    }

    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (i, c) in text.chars().enumerate() {
            self.put(x + i, y, c);
        }
    }
}

pub(super) fn draw(graph: &JobGraph) -> String {
    let Layers { rows, links } = layers(graph);
    let mut rows = place(graph, &rows, &links);
    let page =
        rows.iter().filter_map(|row| row.last().map(|last| last.x + last.width)).max().unwrap_or(0);
    for row in &mut rows {
        let width = row.last().map_or(0, |last| last.x + last.width);
        for item in row.iter_mut() {
            item.x += (page - width) / 2;
        }
    }
    let mut canvas = Canvas(Vec::new());
    let mut y = 0;
    for (index, row) in rows.iter().enumerate() {
        let height = row.iter().map(|item| item.lines.len() + 2).max().unwrap_or(0);
        for item in row {
            draw_item(&mut canvas, item, y, height);
        }
        y += height;
        if let (Some(links), Some(below)) = (links.get(index), rows.get(index + 1)) {
            y = draw_links(&mut canvas, graph, links, row, below, y);
        }
    }
    let mut out = String::new();
    for row in canvas.0 {
        out.push_str(row.into_iter().collect::<String>().trim_end());
        out.push('\n');
    }
    out
}

/// Packs every row from the left; boxes are wide enough for the labels of what arrives at them.
fn place(graph: &JobGraph, rows: &[Vec<Place>], links: &[Vec<Link>]) -> Vec<Vec<Item>> {
    let mut placed = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let mut x = 0;
        let mut items = Vec::new();
        for (at, place) in row.iter().enumerate() {
            let lines = match place {
                Place::Vertex(vertex) => vertex_lines(&graph.vertices[*vertex]),
                Place::Passing(_) => Vec::new(),
            };
            let text = lines.iter().map(|line| line.chars().count() + 4).max().unwrap_or(2);
            let arriving: Vec<&Link> = match index.checked_sub(1) {
                Some(above) => {
                    links[above].iter().filter(|link| link.to == at && link.arrives).collect()
                }
                None => Vec::new(),
            };
            let widest = arriving
                .iter()
                .map(|link| edge_label(&graph.edges[link.edge]).chars().count() + 4)
                .max();
            // One label may hang over the box's edge; several must stand side by side.
            let labels = if arriving.len() > 1 { widest.unwrap_or(0) * arriving.len() } else { 0 };
            // Even, so that boxes below each other have the same middle.
            let width = text.max(labels).next_multiple_of(2);
            items.push(Item { place: *place, lines, x, width });
            let hangs_over = widest.map_or(0, |label| label.saturating_sub(width / 2) + 1);
            x += width + GAP.max(hangs_over).next_multiple_of(2);
        }
        placed.push(items);
    }
    placed
}

fn draw_item(canvas: &mut Canvas, item: &Item, y: usize, height: usize) {
    if let Place::Passing(_) = item.place {
        for row in y..y + height {
            canvas.put(item.x, row, '|');
        }
        return;
    }
    let border = format!("+{}+", "-".repeat(item.width - 2));
    canvas.text(item.x, y, &border);
    for (i, line) in item.lines.iter().enumerate() {
        canvas.text(item.x, y + 1 + i, &format!("| {line:<width$} |", width = item.width - 4));
    }
    let bottom = y + 1 + item.lines.len();
    canvas.text(item.x, bottom, &border);
    // A lower box in a row of higher ones: its edges leave from the row's end.
    for row in bottom + 1..y + height {
        canvas.put(item.x + item.width / 2, row, '|');
    }
}

/// Where the `nth` of `count` edges meets an item.
fn port(item: &Item, nth: usize, count: usize) -> usize {
    item.x + item.width * (2 * nth + 1) / (2 * count)
}

/// Draws the edges between two rows below line `y` and returns the line behind them.
fn draw_links(
    canvas: &mut Canvas,
    graph: &JobGraph,
    links: &[Link],
    above: &[Item],
    below: &[Item],
    y: usize,
) -> usize {
    let mut track = y + 1;
    let mut ends = Vec::new();
    for (i, link) in links.iter().enumerate() {
        let of = |same: &dyn Fn(&Link) -> bool| links.iter().filter(|l| same(l)).count();
        let nth = links[..i].iter().filter(|l| l.to == link.to).count();
        let to = port(&below[link.to], nth, of(&|l| l.to == link.to));
        // All edges that leave a box leave from its middle: the row may hang a line below it.
        let from = port(&above[link.from], 0, 1);
        let bend = (from != to).then_some(track);
        track += usize::from(bend.is_some());
        ends.push((link, from, to, bend));
    }
    let label_row = track;
    for (link, from, to, bend) in ends {
        let turn = bend.unwrap_or(label_row);
        for row in y..turn {
            canvas.put(from, row, '|');
        }
        if let Some(bend) = bend {
            for x in from.min(to)..=from.max(to) {
                canvas.put(x, bend, '-');
            }
            canvas.put(from, bend, '+');
            canvas.put(to, bend, '+');
            for row in bend + 1..label_row {
                canvas.put(to, row, '|');
            }
        }
        canvas.put(to, label_row, '|');
        if link.arrives {
            canvas.text(to + 2, label_row, &edge_label(&graph.edges[link.edge]));
            canvas.put(to, label_row + 1, 'v');
        } else {
            canvas.put(to, label_row + 1, '|');
        }
    }
    label_row + 2
}

#[cfg(test)]
mod tests {
    use riverrun_dataflow::{EdgeKind, JobEdge, JobVertex, OperatorId, OperatorKind, OperatorNode};

    use super::*;

    fn graph(edges: &[(u64, u64, EdgeKind)]) -> JobGraph {
        let last = edges.iter().map(|(from, to, _)| *from.max(to)).max().unwrap();
        let vertices = (1..=last)
            .map(|id| JobVertex {
                id: OperatorId(id),
                name: format!("op{id}"),
                parallelism: id as u32,
                operators: vec![OperatorNode {
                    id: OperatorId(id),
                    name: format!("op{id}"),
                    description: String::new(),
                    kind: OperatorKind::Transform,
                }],
            })
            .collect();
        let edges = edges
            .iter()
            .enumerate()
            .map(|(index, (from, to, kind))| JobEdge {
                index,
                from: OperatorId(*from),
                from_operator: OperatorId(*from),
                side_output: None,
                to: OperatorId(*to),
                input: 0,
                kind: *kind,
                description: String::new(),
            })
            .collect();
        JobGraph { name: "job".into(), key_groups: 128, vertices, edges }
    }

    #[test]
    fn a_line_of_two() {
        let expected = "\
+----------------+
| op1            |
| parallelism 1  |
+----------------+
         |
         | HASH
         v
+----------------+
| op2            |
| parallelism 2  |
+----------------+
";
        assert_eq!(draw(&graph(&[(1, 2, EdgeKind::Hash)])), expected);
    }

    #[test]
    fn every_vertex_and_edge_of_a_diamond_with_a_bypass_is_drawn() {
        let kinds = [EdgeKind::Hash, EdgeKind::Rebalance, EdgeKind::Broadcast];
        let edges = [
            (1, 2, kinds[0]),
            (1, 3, kinds[1]),
            (2, 4, kinds[2]),
            (3, 4, kinds[0]),
            (1, 4, kinds[1]),
        ];
        let drawn = draw(&graph(&edges));
        for id in 1..=4 {
            assert_eq!(drawn.matches(&format!("| op{id} ")).count(), 1, "{drawn}");
        }
        assert_eq!(drawn.matches("HASH").count(), 2, "{drawn}");
        assert_eq!(drawn.matches("REBALANCE").count(), 2, "{drawn}");
        assert_eq!(drawn.matches("BROADCAST").count(), 1, "{drawn}");
        assert_eq!(
            drawn.lines().map(|line| line.matches(" v").count()).sum::<usize>(),
            5,
            "{drawn}"
        );
    }
}
