// What stands in the page, and what can be asked of it.
//
// nodes        title, names, namespace (null outside of the cluster), kind, labels, present
// functions    segments of one end, flat: outcome, transport, first port, last port, ...
// outcomes     [passes, treatment, rules]
// egress       by source, over destinations, as runs (count, function, ...); -1 where that end has no policy of its own
// ingress      by destination, over sources, likewise
// rows         what differs from the older version; changes: source, destination, row, ...
// boxes        nodes of each box of the drawing

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = data.nodes;
const count = nodes.length;

function unrun(runs) {
	const out = new Int32Array(count);
	let at = 0;
	for (let n = 0; n < runs.length; n += 2) {
		out.fill(runs[n + 1], at, at + runs[n]);
		at += runs[n];
	}
	return out;
}

const hasNamespaces = new Set(nodes.map((node) => node.namespace ?? undefined)).size > 2;

const egress = data.egress.map(unrun);
const ingress = data.ingress.map(unrun);

const changes = new Map();
for (let n = 0; n < data.changes.length; n += 3) {
	changes.set(data.changes[n] * count + data.changes[n + 1], data.rows[data.changes[n + 2]]);
}

/** What differs between two nodes, or undefined. */
function changeOf(source, destination) {
	return changes.get(source * count + destination);
}

/** Port 0 is nobody's; ICMP has a type 0. */
function lowest(transport) {
	return data.transports[transport][0].startsWith("ICMP") ? 0 : 1;
}

function passes(outcome) {
	return outcome < 0 || data.outcomes[outcome][0] === 1;
}

function treatment(outcome) {
	return outcome < 0 ? "" : data.outcomes[outcome][1];
}

/** Pieces on which both ends are constant. The outcome of an end without a policy of its own is -1. */
function join(out, into) {
	const pieces = [];
	const a = data.functions[out];
	const b = data.functions[into];
	if (!a || !b) {
		const one = a || b;
		for (let n = 0; n < one.length; n += 4) {
			pieces.push({
				egress: a ? one[n] : -1, ingress: b ? one[n] : -1,
				transport: one[n + 1], first: one[n + 2], last: one[n + 3],
			});
		}
		return pieces;
	}
	let i = 0;
	let j = 0;
	while (i < a.length && j < b.length) {
		if (a[i + 1] !== b[j + 1]) {
			if (a[i + 1] < b[j + 1]) { i += 4; } else { j += 4; }
			continue;
		}
		const last = Math.min(a[i + 3], b[j + 3]);
		pieces.push({ egress: a[i], ingress: b[j], transport: a[i + 1], first: Math.max(a[i + 2], b[j + 2]), last });
		const [left, right] = [a[i + 3] === last, b[j + 3] === last];
		if (left) { i += 4; }
		if (right) { j += 4; }
	}
	return pieces;
}

const known = new Map();

/** What passes between two nodes: kind (all, some, none), treated, pieces; null where no flow is between them. */
function pair(source, destination) {
	const out = egress[source][destination];
	const into = ingress[destination][source];
	if (out < 0 && into < 0) {
		return null;
	}
	const key = (out + 1) * (data.functions.length + 1) + into + 1;
	let found = known.get(key);
	if (!found) {
		const pieces = join(out, into).filter((piece) => piece.last >= lowest(piece.transport));
		const passing = pieces.filter((piece) => passes(piece.egress) && passes(piece.ingress));
		found = {
			pieces,
			kind: passing.length === 0 ? "none" : passing.length === pieces.length ? "all" : "some",
			treated: passing.some((piece) => treatment(piece.egress) || treatment(piece.ingress)),
			passing,
			together: out === into,
			text: null,
		};
		known.set(key, found);
	}
	return found;
}

/** `TCP 80,90-95 · UDP 53` of some pieces. */
function portText(pieces) {
	const ranges = new Map();
	for (const { transport, first, last } of pieces) {
		const list = ranges.get(transport) ?? [];
		const from = Math.max(first, lowest(transport));
		const before = list.at(-1);
		if (before && before[1] + 1 === from) {
			before[1] = last;
		} else {
			list.push([from, last]);
		}
		ranges.set(transport, list);
	}
	const whole = (transport, list) =>
		list.length === 1 && list[0][0] === lowest(transport) && list[0][1] === data.transports[transport][1];
	const texts = [...ranges].map(([transport, list]) => {
		const numbers = list.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
		return [data.transports[transport][0], whole(transport, list) ? "any" : numbers];
	});
	if (texts.length > 2 && texts.every(([, ports]) => ports === "any")) {
		return `${texts.map(([name]) => name).join(",")} any`;
	}
	return texts.map((text) => text.join(" ")).join(" · ");
}

/** What passes, in words. */
function pairText(found) {
	if (!found) {
		return "no flow";
	}
	found.text ??= found.kind === "none" ? "nothing" : found.kind === "all" ? "everything" : portText(found.passing);
	return found.text + (found.treated ? " (proxy or handshake)" : "");
}

/** `443`, `8000-8100`, `tcp`, `tcp/443` or `443/tcp`; null for nothing, undefined for what is none of them. */
function parsePort(text) {
	const words = text.trim().toLowerCase().split("/").filter(Boolean);
	if (words.length === 0) {
		return null;
	}
	const wanted = { transport: -1, first: 0, last: 65535 };
	for (const word of words) {
		const range = /^(\d+)(?:-(\d+))?$/.exec(word);
		const transport = data.transports.findIndex(([name]) => name.toLowerCase() === word);
		if (range) {
			wanted.first = Number(range[1]);
			wanted.last = Number(range[2] ?? range[1]);
		} else if (transport >= 0) {
			wanted.transport = transport;
		} else {
			return undefined;
		}
	}
	return wanted;
}

/** Whether something that a port filter is about passes. */
function letsPort(found, wanted) {
	return found !== null && found.passing.some((piece) =>
		(wanted.transport < 0 || wanted.transport === piece.transport)
		&& piece.first <= wanted.last && wanted.first <= piece.last);
}

function nodeText(n) {
	return nodes[n].namespace === null ? nodes[n].title : `${nodes[n].namespace}/${nodes[n].title}`;
}

/** An element with a class and a text. */
function element(name, className, text) {
	const out = document.createElement(name);
	if (className) {
		out.className = className;
	}
	if (text !== undefined) {
		out.textContent = text;
	}
	return out;
}
