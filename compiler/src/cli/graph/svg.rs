//! The drawing as SVG. Letters have one width in it, so that texts can be measured here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use askama::Template;

use super::words::{self, names, title};
use super::{Overview, View};
use crate::connectivity::diff::Class;
use crate::connectivity::graph::boxes::{Edge, Grouping, part_common};
use crate::connectivity::graph::layered::{Drawing, Link, Point, Shape, lay_out};
use crate::driver::Failure;

/// Width of a letter by the size of the font, a little more than that of the common fixed fonts.
const LETTER: f64 = 0.61;
const NAME_SIZE: f64 = 12.0;
const ROW_SIZE: f64 = 10.5;
const NAME_HEIGHT: f64 = 16.0;
const ROW_HEIGHT: f64 = 15.0;
/// Height of the line with the namespace.
const SPACE_HEIGHT: f64 = 14.0;
const PADDING: f64 = 9.0;
/// Around the whole drawing.
const MARGIN: f64 = 16.0;
const NAMES_MAX: usize = 8;
const NAME_LETTERS_MAX: usize = 40;
const ROW_LETTERS_MAX: usize = 38;
const NOTE_LETTERS_MAX: usize = 120;

/// The drawing.
#[derive(Template)]
#[template(path = "graph/graph.svg")]
struct Svg<'a> {
    width: String,
    height: String,
    /// Style of a file that stands alone; the page has its own.
    style: Option<&'a str>,
    boxes: Vec<BoxView>,
    edges: Vec<EdgeView>,
    notes: Vec<TextView>,
    arrows: [&'static str; 6],
}

struct BoxView {
    id: usize,
    class: &'static str,
    tooltip: String,
    x: String,
    y: String,
    width: String,
    height: String,
    texts: Vec<TextView>,
    /// Where the rows begin.
    rule: Option<String>,
}

struct TextView {
    x: String,
    y: String,
    class: &'static str,
    text: String,
}

struct EdgeView {
    from: usize,
    to: usize,
    class: &'static str,
    path: String,
    tooltip: String,
}

/// A file that stands alone.
pub fn file(view: &View<'_>, overview: &Overview) -> Result<String, Failure> {
    render(view, overview, Some(include_str!("../../../../templates/graph/graph.css")))
}

/// The drawing as a part of a page.
pub fn part(view: &View<'_>, overview: &Overview) -> Result<String, Failure> {
    render(view, overview, None)
}

fn render(view: &View<'_>, overview: &Overview, style: Option<&str>) -> Result<String, Failure> {
    let (edges, common) = part_common(view.graph, &overview.boxes, overview.edges.clone());
    let plan = Plan::new(view, overview, edges);
    let drawing = lay_out(&plan.shapes(), &plan.links);
    let notes: Vec<String> = common
        .iter()
        .map(|common| {
            let outside = overview.boxes[common.outside].nodes.iter().map(|&node| names(&view.graph.nodes[node]));
            let outside = words::cut(&outside.collect::<Vec<_>>().join(", "), NOTE_LETTERS_MAX);
            let text = &common.said.text;
            if common.is_source {
                format!("{outside} → every workload: {text}")
            } else {
                format!("every workload → {outside}: {text}")
            }
        })
        .collect();
    let letters = notes.iter().map(|note| note.chars().count()).max().unwrap_or_default();
    let width = drawing.width.max(letters as f64 * ROW_SIZE * LETTER);
    let below = if notes.is_empty() { 0.0 } else { MARGIN + ROW_HEIGHT * notes.len() as f64 };
    let note = |(n, text): (usize, String)| TextView {
        x: number(MARGIN),
        y: number(drawing.height + 2.0 * MARGIN + ROW_HEIGHT * (n as f64 + 0.5)),
        class: "note",
        text,
    };
    let svg = Svg {
        width: number(width + 2.0 * MARGIN),
        height: number(drawing.height + below + 2.0 * MARGIN),
        style,
        boxes: plan.boxes.iter().zip(&drawing.places).map(|(planned, &place)| planned.view(place)).collect(),
        edges: plan.edges(&drawing),
        notes: notes.into_iter().enumerate().map(note).collect(),
        arrows: ["plain", "widened", "narrowed", "changed", "l7-changed", "workload-only"],
    };
    svg.render().map_err(Failure::machine)
}

/// A box before it has a place.
struct Planned {
    /// Position of its box in the overview. Boxes outside of the cluster are drawn once for each side of flows.
    id: usize,
    class: &'static str,
    space: String,
    names: Vec<String>,
    tooltip: String,
    /// What its incoming edges say, once each.
    rows: Vec<(String, &'static str)>,
}

impl Planned {
    fn head(&self) -> f64 {
        PADDING + SPACE_HEIGHT + NAME_HEIGHT * self.names.len() as f64 + 4.0
    }

    fn shape(&self) -> Shape {
        let letters = |texts: &mut dyn Iterator<Item = &String>, size: f64| {
            texts.map(|text| text.chars().count() as f64 * size * LETTER).fold(0.0, f64::max)
        };
        let names = letters(&mut self.names.iter(), NAME_SIZE);
        let small = letters(&mut self.rows.iter().map(|(text, _)| text).chain([&self.space]), ROW_SIZE);
        let rows = if self.rows.is_empty() { 0.0 } else { ROW_HEIGHT * self.rows.len() as f64 + 7.0 };
        Shape { width: (names.max(small) + 2.0 * PADDING).ceil(), height: self.head() + 2.0 + rows }
    }

    /// Middle of a row, below the top.
    fn row(&self, n: usize) -> f64 {
        self.head() + 4.0 + ROW_HEIGHT * (n as f64 + 0.5)
    }

    fn view(&self, place: Point) -> BoxView {
        let (x, y) = (place.0 + MARGIN, place.1 + MARGIN);
        let shape = self.shape();
        let text = |text: &str, below: f64, class| TextView {
            x: number(x + PADDING),
            y: number(y + below),
            class,
            text: text.into(),
        };
        let mut texts = vec![text(&self.space, PADDING + 8.0, "space")];
        for (n, name) in self.names.iter().enumerate() {
            texts.push(text(name, PADDING + SPACE_HEIGHT + NAME_HEIGHT * n as f64 + 11.0, "name"));
        }
        for (n, (row, class)) in self.rows.iter().enumerate() {
            texts.push(text(row, self.row(n) + 3.5, class));
        }
        BoxView {
            id: self.id,
            class: self.class,
            tooltip: self.tooltip.clone(),
            x: number(x),
            y: number(y),
            width: number(shape.width),
            height: number(shape.height),
            texts,
            rule: (!self.rows.is_empty())
                .then(|| format!("M{} {}h{}", number(x), number(y + self.head()), number(shape.width))),
        }
    }
}

struct Plan {
    boxes: Vec<Planned>,
    edges: Vec<Edge>,
    links: Vec<Link>,
}

impl Plan {
    fn new(view: &View<'_>, overview: &Overview, edges: Vec<Edge>) -> Self {
        // What is outside of the cluster is a box for each side that it is on: its flows are no way through it.
        let mut sides: BTreeSet<(usize, bool)> = BTreeSet::new();
        let is_inside = |n: usize| overview.boxes[n].nodes.iter().any(|&node| view.graph.nodes[node].is_workload());
        for n in (0..overview.boxes.len()).filter(|&n| is_inside(n)) {
            sides.insert((n, false));
        }
        let side = |n: usize, is_destination: bool| (n, is_destination && !is_inside(n));
        for edge in &edges {
            sides.extend([side(edge.from, false), side(edge.to, true)]);
        }
        let place: BTreeMap<(usize, bool), usize> = sides.iter().enumerate().map(|(at, &side)| (side, at)).collect();
        let mut boxes: Vec<Planned> =
            sides.iter().map(|&(n, is_destination)| planned(view, overview, n, is_destination)).collect();
        for edge in &edges {
            let rows = &mut boxes[place[&side(edge.to, true)]].rows;
            let row = row(edge);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        boxes.iter_mut().for_each(|planned| planned.rows.sort());
        let links = edges.iter().map(|edge| {
            let (from, to) = (place[&side(edge.from, false)], place[&side(edge.to, true)]);
            let entered = boxes[to].rows.iter().position(|own| *own == row(edge)).unwrap_or_default();
            let leaves = PADDING + SPACE_HEIGHT + NAME_HEIGHT * boxes[from].names.len() as f64 / 2.0;
            Link { from, to, leaves, enters: boxes[to].row(entered) }
        });
        Self { links: links.collect(), boxes, edges }
    }

    fn shapes(&self) -> Vec<Shape> {
        self.boxes.iter().map(Planned::shape).collect()
    }

    fn edges(&self, drawing: &Drawing) -> Vec<EdgeView> {
        let name = |planned: &Planned| format!("{} {}", planned.space, planned.names.join(", "));
        let edges = self.edges.iter().zip(&self.links).zip(&drawing.ways);
        let edges = edges.filter(|(_, way)| !way.is_empty()).map(|((edge, link), way)| EdgeView {
            from: edge.from,
            to: edge.to,
            class: words::change_of(edge).map_or("plain", Class::word),
            path: path(way),
            tooltip: format!(
                "{} → {}\n{}",
                name(&self.boxes[link.from]),
                name(&self.boxes[link.to]),
                words::lines(edge, 12).join("\n")
            ),
        });
        edges.collect()
    }
}

fn planned(view: &View<'_>, overview: &Overview, n: usize, is_destination: bool) -> Planned {
    let nodes: Vec<_> = overview.boxes[n].nodes.iter().filter_map(|&node| view.graph.nodes.get(node)).collect();
    let namespace = nodes.first().and_then(|node| node.namespace());
    let mut names: Vec<String> = nodes.iter().map(|node| words::cut(&title(node), NAME_LETTERS_MAX)).collect();
    if names.len() > NAMES_MAX {
        let more = names.len() + 1 - NAMES_MAX;
        names.truncate(NAMES_MAX - 1);
        names.push(format!("+{more} more"));
    }
    let is_gone = nodes.iter().all(|node| !node.is_present);
    let (class, space) = match (namespace, overview.grouping) {
        (None, _) if is_destination => ("outside", "to outside".to_string()),
        (None, _) => ("outside", "from outside".to_string()),
        (Some(_), _) if is_gone => ("workload gone", "no longer there".to_string()),
        (Some(namespace), Grouping::Workloads) => ("workload", namespace.to_string()),
        (Some(namespace), Grouping::Namespaces) => {
            let count = nodes.len();
            names = vec![words::cut(namespace, NAME_LETTERS_MAX)];
            ("workload", if count == 1 { "1 workload".into() } else { format!("{count} workloads") })
        }
    };
    let tooltip = nodes.iter().map(|node| self::names(node)).collect::<Vec<_>>().join("\n");
    Planned { id: n, class, space: words::cut(&space, NAME_LETTERS_MAX), names, tooltip, rows: Vec::new() }
}

/// The text and the class of the row at which an edge ends.
fn row(edge: &Edge) -> (String, &'static str) {
    let lines = words::lines(edge, 2);
    let among = if edge.from == edge.to { "⟲ " } else { "" };
    let text = words::cut(&format!("{among}{}", lines.join("  ")), ROW_LETTERS_MAX);
    (
        text,
        words::change_of(edge).map_or("row", |class| match class {
            Class::Widened => "row widened",
            Class::Narrowed => "row narrowed",
            Class::Changed => "row changed",
            Class::L7 => "row l7-changed",
            Class::WorkloadOnly => "row workload-only",
        }),
    )
}

/// Level within layers, bent between them.
fn path(way: &[Point]) -> String {
    let mut out = String::new();
    let mut last: Option<Point> = None;
    for &(x, y) in way {
        let (x, y) = (x + MARGIN, y + MARGIN);
        // Writing to a String cannot fail.
        let _ = match last {
            None => write!(out, "M{} {}", number(x), number(y)),
            Some((_, before)) if (before - y).abs() < 0.05 => write!(out, "H{}", number(x)),
            Some((from, before)) => {
                let middle = number((from + x) / 2.0);
                write!(out, "C{middle} {} {middle} {} {} {}", number(before), number(y), number(x), number(y))
            }
        };
        last = Some((x, y));
    }
    out
}

/// With one decimal at most.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}
