// What joins the parts: filters, and what is chosen or pointed at.

/** Boxes beyond which a drawing says less of a pair than the neighbours of its destination. */
const DENSE = 60;

/** Scale above which the letters of a drawing can be read. */
const READABLE = 0.7;

const byId = (id) => document.getElementById(id);
const status = byId("status");
let chosen = null;
let filtered = false;

const events = { choose, node: showNode, hover: hoverPair, box: showBox, boxes: chooseBetween };
const matrix = new Matrix(byId("matrix"), events);
const drawing = new Drawing(byId("overview"), byId("focus"), events);

/** A pair: its rules, and its marks in matrix and graph. */
function choose(source, destination) {
	chosen = [source, destination];
	byId("trace-title").textContent = `${nodeText(source)} → ${nodeText(destination)}`;
	showTrace(byId("trace"), source, destination);
	byId("reverse").hidden = !(pair(destination, source) || changeOf(destination, source));
	matrix.set(chosen);
	const [row, column] = [matrix.rows.indexOf(source), matrix.columns.indexOf(destination)];
	if (row >= 0 && column >= 0) {
		matrix.reveal(row, column);
	}
	if (data.boxes.length > DENSE && byId("focus").hidden) {
		showBox([destination]);
	}
	drawing.lightPair(source, destination);
	drawing.reveal(destination);
	const change = changeOf(source, destination);
	say(`${nodeText(source)} to ${nodeText(destination)}: ${pairText(pair(source, destination))}${change ? `, ${change.class}` : ""}`);
}

function unchoose() {
	chosen = null;
	byId("trace-title").textContent = "Rules";
	byId("trace").replaceChildren(element("p", "hint", "Choose a cell of the matrix or an edge of the graph."));
	byId("reverse").hidden = true;
	matrix.set(null);
	drawing.lightPair();
}

function hoverPair(source, destination) {
	if (source === undefined || destination === undefined) {
		drawing.lightPair(...(chosen ?? []));
		matrix.lit = null;
		matrix.mark();
	} else {
		drawing.lightPair(source, destination);
		matrix.set(chosen, [source, destination]);
	}
}

function showNode(n) {
	showBox([n]);
}

function showBox(members) {
	drawing.showNodes(members);
	byId("overview-button").setAttribute("aria-pressed", "false");
	const name = members.length === 1 ? nodeText(members[0]) : `${members.length} of ${nodes[members[0]].namespace}`;
	byId("drawing-title").textContent = name;
	say(`Graph of ${name}`);
}

function showOverview() {
	drawing.showOverview();
	byId("overview-button").setAttribute("aria-pressed", "true");
	byId("drawing-title").textContent = "Graph";
}

/** An edge of the drawing may stand for many pairs: the first of them that differs, else that passes. */
function chooseBetween(from, to) {
	const pairs = from.flatMap((source) => to.map((destination) => [source, destination]));
	const passing = pairs.filter(([source, destination]) => pair(source, destination)?.passing.length > 0);
	const first = pairs.find(([source, destination]) => changeOf(source, destination)) ?? passing[0];
	if (first) {
		choose(...first);
		if (from.length > 1 && to.length > 1) {
			byId("namespace").value = nodes[to[0]].namespace ?? "";
			filter();
		}
	}
}

/** Whether a node is one that the filters ask for; null when they ask for none. */
function matcher() {
	const words = byId("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
	const namespace = byId("namespace").value;
	const [key, value] = byId("label").value.trim().split("=");
	if (words.length === 0 && !namespace && !key) {
		return null;
	}
	return (n) => {
		const text = `${nodes[n].names} ${nodes[n].title}`.toLowerCase();
		const label = nodes[n].labels[key];
		return words.every((word) => text.includes(word))
			&& (!namespace || nodes[n].namespace === namespace)
			&& (!key || (label !== undefined && (value === undefined || label.startsWith(value))));
	};
}

/** Shows the pairs that the filters ask for, and the nodes that have some. */
function filter() {
	const wanted = matcher();
	const port = parsePort(byId("port").value);
	byId("port").setAttribute("aria-invalid", port === undefined);
	const onlyChanged = byId("changed")?.checked === true;
	const matches = wanted && nodes.map((_, n) => wanted(n));
	const isShown = (source, destination) => (!matches || matches[source] || matches[destination])
		&& (!onlyChanged || changeOf(source, destination) !== undefined)
		&& (!port || letsPort(pair(source, destination), port));
	filtered = matches !== null || onlyChanged || Boolean(port);
	const rows = new Set();
	const columns = new Set();
	for (let source = 0; source < count; source++) {
		for (let destination = 0; destination < count; destination++) {
			if (filtered && !isShown(source, destination)) {
				continue;
			}
			const found = pair(source, destination);
			// Without filters a node that nothing may reach is in sight too.
			if (filtered ? found?.passing.length > 0 || changeOf(source, destination) : found) {
				rows.add(source);
				columns.add(destination);
			}
		}
		if (matches?.[source]) {
			rows.add(source);
			columns.add(source);
		}
	}
	const sorted = (set) => [...set].sort((a, b) => a - b);
	matrix.show(sorted(rows), sorted(columns), isShown);
	drawing.filter(filtered, rows, columns, isShown);
	say(`${rows.size} sources, ${columns.size} destinations${filtered ? ` of ${count}` : ""}`);
}

function say(text) {
	status.textContent = text;
}

for (const namespace of [...new Set(nodes.map((node) => node.namespace))].filter((name) => name !== null)) {
	byId("namespace").append(new Option(namespace, namespace));
}
for (const label of new Set(nodes.flatMap((node) => Object.entries(node.labels).map((entry) => entry.join("="))))) {
	byId("labels").append(new Option(label));
}

let typing;
byId("filters").addEventListener("input", () => {
	clearTimeout(typing);
	typing = setTimeout(filter, 80);
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(filter));
byId("overview-button").addEventListener("click", showOverview);
function fit(fits) {
	byId("overview").classList.toggle("fit", fits);
	byId("fit").setAttribute("aria-pressed", fits);
}
byId("fit").addEventListener("click", () => fit(!byId("overview").classList.contains("fit")));
byId("reverse").addEventListener("click", () => choose(chosen[1], chosen[0]));
document.addEventListener("keydown", (event) => {
	const isTyping = event.target.matches("input, select");
	if (event.key === "/" && !isTyping) {
		event.preventDefault();
		byId("search").focus();
		byId("search").select();
	} else if (event.key === "Escape") {
		if (isTyping && filtered) {
			byId("filters").reset();
		} else if (isTyping) {
			event.target.blur();
		} else if (chosen) {
			unchoose();
		} else {
			showOverview();
		}
	}
});

filter();

if (drawing.scale() < 1 && drawing.scale() >= READABLE) {
	fit(true);
} else {
	drawing.toStart();
}
