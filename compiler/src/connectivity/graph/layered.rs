//! Places for boxes in layers, from left to right, and ways for the links between them.
//!
//! In: sizes and links. Out: a place for each shape and a way for each link; shapes never overlap and no way crosses one.
//! The method is that of Sugiyama: an order without most cycles, layers by longest path, orders within layers by
//! barycentres, places by least squares. The same input gives the same drawing.

use std::collections::BTreeSet;

/// Between shapes of a layer.
const GAP: f64 = 16.0;
/// Height of the slot that a link has in a layer that it passes.
const SLOT: f64 = 6.0;
/// Between layers, at least.
const CHANNEL: f64 = 56.0;
/// Room that a link more makes in a channel, and the most that all make.
const CHANNEL_PER_LINK: f64 = 1.5;
const CHANNEL_MAX: f64 = 130.0;
/// Passes over all layers that order them, and those that place them.
const ORDERINGS: usize = 16;
const PLACINGS: usize = 24;

/// Size of a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// A link between two shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Position of the source.
    pub from: usize,
    /// Position of the destination.
    pub to: usize,
    /// Where it leaves, below the top of the source.
    pub leaves: f64,
    /// Where it enters, below the top of the destination.
    pub enters: f64,
}

/// A point; y grows downwards.
pub type Point = (f64, f64);

/// Where everything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Left upper corner of each shape.
    pub places: Vec<Point>,
    /// Way of each link from its source to its destination; none of a link to itself.
    pub ways: Vec<Vec<Point>>,
    /// Width of all.
    pub width: f64,
    /// Height of all.
    pub height: f64,
}

/// Lays out. Shapes without links stand below the others.
pub fn lay_out(shapes: &[Shape], links: &[Link]) -> Drawing {
    let mut drawing = Drawing {
        places: vec![(0.0, 0.0); shapes.len()],
        ways: vec![Vec::new(); links.len()],
        width: 0.0,
        height: 0.0,
    };
    let linked: BTreeSet<usize> = links.iter().filter(|l| l.from != l.to).flat_map(|l| [l.from, l.to]).collect();
    if !linked.is_empty() {
        let mut ctx = Ctx::new(shapes, links, &linked);
        ctx.order();
        ctx.place();
        ctx.draw(shapes, links, &mut drawing);
    }
    place_unlinked(shapes, &linked, &mut drawing);
    drawing
}

/// A place in a layer: of a shape, or of a link that passes.
#[derive(Debug, Clone)]
struct Item {
    shape: Option<usize>,
    height: f64,
    y: f64,
    /// Items of the layer before and of the one behind: item, and what its y is more than ours when the link is level.
    before: Vec<(usize, f64)>,
    behind: Vec<(usize, f64)>,
}

struct Ctx {
    items: Vec<Item>,
    /// Items from top to bottom.
    layers: Vec<Vec<usize>>,
    /// The items of each link from left to right; none of a link to itself.
    chains: Vec<Vec<usize>>,
    /// Whether the link runs from right to left.
    backward: Vec<bool>,
}

impl Ctx {
    fn new(shapes: &[Shape], links: &[Link], linked: &BTreeSet<usize>) -> Self {
        let rank = ranks(shapes.len(), links, linked);
        let layer = layers(links, linked, &rank);
        let depth = layer.iter().max().map_or(0, |last| last + 1);
        let mut ctx = Self {
            items: Vec::new(),
            layers: vec![Vec::new(); depth],
            chains: Vec::new(),
            backward: links.iter().map(|link| rank[link.from] > rank[link.to]).collect(),
        };
        let mut item_of = vec![0; shapes.len()];
        for &shape in linked {
            item_of[shape] = ctx.item(layer[shape], Some(shape), shapes[shape].height);
        }
        for (link, &backward) in links.iter().zip(&ctx.backward.clone()) {
            if link.from == link.to {
                ctx.chains.push(Vec::new());
                continue;
            }
            let ((left, leaves), (right, enters)) = match backward {
                false => ((link.from, link.leaves), (link.to, link.enters)),
                true => ((link.to, link.enters), (link.from, link.leaves)),
            };
            let mut chain = vec![item_of[left]];
            chain.extend((layer[left] + 1..layer[right]).map(|at| ctx.item(at, None, SLOT)));
            chain.push(item_of[right]);
            let last = chain.len() - 2;
            for (n, pair) in chain.windows(2).enumerate() {
                let out = if n == 0 { leaves } else { SLOT / 2.0 };
                let into = if n == last { enters } else { SLOT / 2.0 };
                ctx.items[pair[0]].behind.push((pair[1], out - into));
                ctx.items[pair[1]].before.push((pair[0], into - out));
            }
            ctx.chains.push(chain);
        }
        ctx
    }

    fn item(&mut self, layer: usize, shape: Option<usize>, height: f64) -> usize {
        let item = self.items.len();
        self.items.push(Item { shape, height, y: 0.0, before: Vec::new(), behind: Vec::new() });
        self.layers[layer].push(item);
        item
    }

    /// Orders layers by the mean position of neighbours, forth and back, and keeps the order with the fewest crossings.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for pass in 0..ORDERINGS {
            let forth = pass % 2 == 0;
            let count = self.layers.len();
            for step in 1..count {
                let (at, neighbour) = if forth { (step, step - 1) } else { (count - 1 - step, count - step) };
                let place = self.positions(neighbour);
                let mut keyed: Vec<(f64, usize)> = Vec::new();
                for (own, &item) in self.layers[at].iter().enumerate() {
                    let links = if forth { &self.items[item].before } else { &self.items[item].behind };
                    let sum: f64 = links.iter().map(|(other, _)| place[*other] as f64).sum();
                    keyed.push((if links.is_empty() { own as f64 } else { sum / links.len() as f64 }, item));
                }
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[at] = keyed.into_iter().map(|(_, item)| item).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    /// Position of the items of a layer within it.
    fn positions(&self, layer: usize) -> Vec<usize> {
        let mut place = vec![0; self.items.len()];
        self.layers[layer].iter().enumerate().for_each(|(n, &item)| place[item] = n);
        place
    }

    fn crossings(&self) -> usize {
        let mut count = 0;
        for layer in 1..self.layers.len() {
            let place = self.positions(layer);
            let ends = |item: &usize| {
                let mut ends: Vec<usize> = self.items[*item].behind.iter().map(|(other, _)| place[*other]).collect();
                ends.sort_unstable();
                ends
            };
            let ends: Vec<usize> = self.layers[layer - 1].iter().flat_map(ends).collect();
            count +=
                ends.iter().enumerate().map(|(n, a)| ends[n + 1..].iter().filter(|b| *b < a).count()).sum::<usize>();
        }
        count
    }

    /// Moves the items of each layer near to what they are linked with, in their order and without overlaps.
    fn place(&mut self) {
        for layer in 0..self.layers.len() {
            self.settle(layer, |_| 0.0);
        }
        let count = self.layers.len();
        for pass in 0..PLACINGS {
            for step in 0..count {
                let layer = if pass % 2 == 0 { step } else { count - 1 - step };
                let wish = |item: &Item, items: &[Item]| {
                    let links = item.before.iter().chain(&item.behind);
                    let level: Vec<f64> = links.map(|(other, shift)| items[*other].y - shift).collect();
                    if level.is_empty() { item.y } else { level.iter().sum::<f64>() / level.len() as f64 }
                };
                let wishes: Vec<f64> =
                    self.layers[layer].iter().map(|&item| wish(&self.items[item], &self.items)).collect();
                self.settle(layer, |n| wishes[n]);
            }
        }
        let top = self.items.iter().map(|item| item.y).fold(f64::INFINITY, f64::min);
        self.items.iter_mut().for_each(|item| item.y -= top);
    }

    /// The places nearest to the wishes, by least squares: what would overlap moves as one block.
    fn settle(&mut self, layer: usize, wish: impl Fn(usize) -> f64) {
        let mut offset = 0.0;
        // Blocks of items: how many, and the sum of what they wish for their first.
        let mut blocks: Vec<(usize, f64)> = Vec::new();
        let mut offsets = Vec::new();
        for (n, &item) in self.layers[layer].iter().enumerate() {
            offsets.push(offset);
            let mut block = (1, wish(n) - offset);
            while let Some(&(count, sum)) = blocks.last()
                && sum / count as f64 >= block.1 / block.0 as f64
            {
                blocks.pop();
                block = (block.0 + count, block.1 + sum);
            }
            blocks.push(block);
            let is_slot = self.items[item].shape.is_none();
            offset += self.items[item].height + if is_slot { GAP / 2.0 } else { GAP };
        }
        let firsts = blocks.iter().flat_map(|&(count, sum)| std::iter::repeat_n(sum / count as f64, count));
        for ((&item, first), offset) in self.layers[layer].iter().zip(firsts).zip(offsets) {
            self.items[item].y = first + offset;
        }
    }

    fn draw(&self, shapes: &[Shape], links: &[Link], drawing: &mut Drawing) {
        let width = |item: &usize| self.items[*item].shape.map_or(0.0, |shape| shapes[shape].width);
        let mut columns: Vec<(f64, f64)> = Vec::new();
        let mut x = 0.0;
        for layer in &self.layers {
            let widest = layer.iter().map(width).fold(0.0, f64::max);
            columns.push((x, x + widest));
            let behind: usize = layer.iter().map(|&item| self.items[item].behind.len()).sum();
            x += widest + (CHANNEL + CHANNEL_PER_LINK * behind as f64).min(CHANNEL_MAX);
        }
        for (layer, &(left, _)) in self.layers.iter().zip(&columns) {
            for item in layer.iter().map(|&item| &self.items[item]) {
                if let Some(shape) = item.shape {
                    drawing.places[shape] = (left, item.y);
                }
                drawing.height = drawing.height.max(item.y + item.height);
            }
        }
        drawing.width = columns.last().map_or(0.0, |&(_, right)| right);
        let mut layer_of = vec![0; self.items.len()];
        for (n, layer) in self.layers.iter().enumerate() {
            layer.iter().for_each(|&item| layer_of[item] = n);
        }
        for (n, (link, chain)) in links.iter().zip(&self.chains).enumerate() {
            let ([first, .., last], backward) = (chain.as_slice(), self.backward[n]) else { continue };
            let (leaves, enters) = if backward { (link.enters, link.leaves) } else { (link.leaves, link.enters) };
            let mut way = vec![
                (columns[layer_of[*first]].0 + width(first), self.items[*first].y + leaves),
                (columns[layer_of[*first]].1, self.items[*first].y + leaves),
            ];
            for &passed in &chain[1..chain.len() - 1] {
                let (left, right) = columns[layer_of[passed]];
                let y = self.items[passed].y + SLOT / 2.0;
                way.extend([(left, y), (right, y)]);
            }
            way.push((columns[layer_of[*last]].0, self.items[*last].y + enters));
            if backward {
                way.reverse();
            }
            drawing.ways[n] = way;
        }
    }
}

/// An order of the shapes that few links run against (Eades, Lin and Smyth): sinks go to the end, sources to the front, and
/// where there is neither, what has most links out over in.
fn ranks(count: usize, links: &[Link], linked: &BTreeSet<usize>) -> Vec<usize> {
    let links: BTreeSet<(usize, usize)> = links.iter().filter(|l| l.from != l.to).map(|l| (l.from, l.to)).collect();
    let mut left = linked.clone();
    let (mut front, mut end) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        let degrees = |shape: usize| {
            let among = links.iter().filter(|(from, to)| left.contains(from) && left.contains(to));
            among.fold((0i64, 0i64), |(ins, outs), (from, to)| {
                (ins + i64::from(*to == shape), outs + i64::from(*from == shape))
            })
        };
        let all: Vec<(usize, (i64, i64))> = left.iter().map(|&shape| (shape, degrees(shape))).collect();
        let next = match all.iter().find(|(_, (_, outs))| *outs == 0) {
            Some(&(sink, _)) => {
                end.push(sink);
                Some(sink)
            }
            None => {
                let source = all.iter().find(|(_, (ins, _))| *ins == 0);
                let next = source.or_else(|| all.iter().rev().max_by_key(|(_, (ins, outs))| outs - ins));
                next.map(|&(shape, _)| {
                    front.push(shape);
                    shape
                })
            }
        };
        let Some(next) = next else { break };
        left.remove(&next);
    }
    let mut rank = vec![0; count];
    front.iter().chain(end.iter().rev()).enumerate().for_each(|(n, &shape)| rank[shape] = n);
    rank
}

/// Layers by longest path; a shape without links into it stands right before what it links to.
fn layers(links: &[Link], linked: &BTreeSet<usize>, rank: &[usize]) -> Vec<usize> {
    let forward = |link: &Link| match rank[link.from] < rank[link.to] {
        true => (link.from, link.to),
        false => (link.to, link.from),
    };
    let links: Vec<(usize, usize)> = links.iter().filter(|l| l.from != l.to).map(forward).collect();
    let mut order: Vec<usize> = linked.iter().copied().collect();
    order.sort_by_key(|&shape| rank[shape]);
    let mut layer = vec![0; rank.len()];
    for &shape in &order {
        for &(_, to) in links.iter().filter(|(from, _)| *from == shape) {
            layer[to] = layer[to].max(layer[shape] + 1);
        }
    }
    for &shape in &order {
        if links.iter().all(|(_, to)| *to != shape) {
            let next = links.iter().filter(|(from, _)| *from == shape).map(|(_, to)| layer[*to]).min();
            layer[shape] = next.map_or(0, |next| next - 1);
        }
    }
    layer
}

/// Rows below everything else.
fn place_unlinked(shapes: &[Shape], linked: &BTreeSet<usize>, drawing: &mut Drawing) {
    let limit = drawing.width.max(720.0);
    let mut top = if linked.is_empty() { 0.0 } else { drawing.height + 2.0 * GAP };
    let (mut x, mut row) = (0.0, 0.0_f64);
    for (n, shape) in shapes.iter().enumerate().filter(|(n, _)| !linked.contains(n)) {
        if x > 0.0 && x + shape.width > limit {
            (x, top, row) = (0.0, top + row + GAP, 0.0);
        }
        drawing.places[n] = (x, top);
        drawing.width = drawing.width.max(x + shape.width);
        drawing.height = drawing.height.max(top + shape.height);
        x += shape.width + GAP;
        row = row.max(shape.height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(count: usize) -> Vec<Shape> {
        (0..count).map(|n| Shape { width: 80.0 + 10.0 * (n % 3) as f64, height: 30.0 + 7.0 * (n % 4) as f64 }).collect()
    }

    /// Links by a fixed rule: cycles, long ways, links to itself and shapes without links are among them.
    fn links(count: usize, step: usize) -> Vec<Link> {
        let pairs = (0..count).flat_map(|n| [(n, (n * step + 1) % count), (n, (n + step) % count)]);
        let pairs = pairs.filter(|(from, to)| from % 5 != 4 && to % 5 != 4);
        pairs.map(|(from, to)| Link { from, to, leaves: 10.0, enters: 20.0 }).collect()
    }

    fn overlaps(a: (Point, Shape), b: (Point, Shape)) -> bool {
        let apart = |a0: f64, a1: f64, b0: f64, b1: f64| a1 <= b0 + 0.01 || b1 <= a0 + 0.01;
        let ((ax, ay), (bx, by)) = (a.0, b.0);
        !apart(ax, ax + a.1.width, bx, bx + b.1.width) && !apart(ay, ay + a.1.height, by, by + b.1.height)
    }

    #[test]
    fn shapes_never_overlap_and_level_ways_pass_beside_them() {
        for (count, step) in [(1, 1), (2, 1), (9, 2), (23, 3), (60, 7)] {
            let (shapes, links) = (shapes(count), links(count, step));
            let drawing = lay_out(&shapes, &links);
            let placed: Vec<(Point, Shape)> = drawing.places.iter().copied().zip(shapes.iter().copied()).collect();
            for (n, a) in placed.iter().enumerate() {
                assert!(a.0.0 + a.1.width <= drawing.width + 0.01 && a.0.1 + a.1.height <= drawing.height + 0.01);
                assert!(placed[n + 1..].iter().all(|b| !overlaps(*a, *b)), "{count} {step}: shape {n}");
            }
            for way in &drawing.ways {
                for leg in way.windows(2).filter(|leg| leg[0].1 == leg[1].1) {
                    let (left, right) = (leg[0].0.min(leg[1].0), leg[0].0.max(leg[1].0));
                    let line = ((left, leg[0].1), Shape { width: right - left, height: 0.0 });
                    assert!(placed.iter().all(|shape| !overlaps(line, *shape)), "{count} {step}: {way:?}");
                }
            }
        }
    }

    #[test]
    fn a_chain_runs_from_left_to_right_and_what_closes_it_runs_back() {
        let link = |from, to| Link { from, to, leaves: 10.0, enters: 20.0 };
        let drawing = lay_out(&shapes(4), &[link(0, 1), link(1, 2), link(2, 0)]);
        let x = |n: usize| drawing.places[n].0;
        assert!(x(0) < x(1) && x(1) < x(2), "{drawing:?}");
        let (first, last) = (drawing.ways[2][0], drawing.ways[2][drawing.ways[2].len() - 1]);
        assert!(first.0 > last.0, "{:?}", drawing.ways[2]);
        assert!(drawing.places[3].1 > drawing.places[0].1, "what has no links stands below");
    }
}
