// The graph: the drawing of everything, and what one node has to do with others.

class Drawing {
	/** `events` has `choose`, `node` and `hover` as the matrix has them, and `boxes(from, to)`. */
	constructor(overview, focus, events) {
		this.overview = overview;
		this.focus = focus;
		this.events = events;
		this.boxOf = new Int32Array(count).fill(-1);
		data.boxes.forEach((members, box) => members.forEach((n) => { this.boxOf[n] = box; }));
		this.edges = [...overview.querySelectorAll(".edge")];
		this.boxes = [...overview.querySelectorAll(".box")];
		// A picture as a whole would hide its parts from screen readers.
		overview.querySelector("svg").setAttribute("role", "group");
		for (const box of this.boxes) {
			box.setAttribute("tabindex", "0");
			box.setAttribute("role", "button");
			box.setAttribute("aria-label", box.querySelector("title").textContent);
		}
		overview.addEventListener("click", (event) => this.click(event.target));
		overview.addEventListener("keydown", (event) => {
			if ((event.key === "Enter" || event.key === " ") && event.target.closest(".box")) {
				event.preventDefault();
				this.click(event.target);
			}
		});
		overview.addEventListener("mouseover", (event) => this.over(event.target));
		overview.addEventListener("mouseleave", () => this.over(null));
		new ResizeObserver(() => this.wires()).observe(focus);
	}

	/** How large the whole drawing would be in the space that there is; 1 is its own size. */
	scale() {
		const { width, height } = this.overview.querySelector("svg").viewBox.baseVal;
		return Math.min(this.overview.clientWidth / width, this.overview.clientHeight / height);
	}

	/** Shows where the flows begin: the corner of a large drawing may be empty. */
	toStart() {
		const places = this.boxes.map((box) => [box, box.getBoundingClientRect()]);
		const left = Math.min(...places.map(([, place]) => place.left));
		const first = places.filter(([, place]) => place.left < left + 1);
		first[Math.floor(first.length / 2)]?.[0].scrollIntoView({ block: "center", inline: "nearest" });
		window.scrollTo(0, 0);
	}

	click(target) {
		const edge = target.closest(".edge");
		const box = target.closest(".box");
		if (edge) {
			this.events.boxes(data.boxes[edge.dataset.from], data.boxes[edge.dataset.to]);
		} else if (box) {
			this.events.box(data.boxes[box.dataset.box]);
		}
	}

	over(target) {
		const edge = target?.closest(".edge");
		const [from, to] = edge ? [data.boxes[edge.dataset.from], data.boxes[edge.dataset.to]] : [[], []];
		this.events.hover(from.length === 1 ? from[0] : undefined, to.length === 1 ? to[0] : undefined);
		const box = target?.closest(".box");
		this.light(edge ? [edge.dataset.from, edge.dataset.to] : null, box ? box.dataset.box : null);
	}

	/** Lights an edge by its two boxes, or all edges of one box. */
	light(edge, box) {
		const touches = (one) => (edge
			? one.dataset.from === edge[0] && one.dataset.to === edge[1]
			: one.dataset.from === box || one.dataset.to === box);
		const any = edge !== null || box !== null;
		const lit = new Set(edge ?? [box]);
		for (const one of this.edges) {
			const isLit = any && touches(one);
			one.classList.toggle("lit", isLit);
			if (isLit && box !== null) {
				lit.add(one.dataset.from).add(one.dataset.to);
			}
		}
		for (const one of this.boxes) {
			one.classList.toggle("lit", any && lit.has(one.dataset.box));
		}
		this.overview.classList.toggle("lighting", any);
	}

	/** Lights what stands for a pair of nodes. */
	lightPair(source, destination) {
		if (source === undefined || destination === undefined) {
			this.light(null, null);
		} else {
			this.light([`${this.boxOf[source]}`, `${this.boxOf[destination]}`], null);
		}
	}

	/** Scrolls to the box that a node is in. */
	reveal(n) {
		const box = this.boxes.find((one) => one.dataset.box === `${this.boxOf[n]}`);
		if (!this.overview.hidden) {
			box?.scrollIntoView({ block: "nearest", inline: "nearest" });
		}
	}

	/** Leaves what the filters let through as it is, and dims the rest. */
	filter(isFiltered, rows, columns, isShown) {
		const kept = new Set([...rows, ...columns].map((n) => `${this.boxOf[n]}`));
		const some = (edge) => data.boxes[edge.dataset.from].some((source) =>
			data.boxes[edge.dataset.to].some((destination) => isShown(source, destination)));
		this.boxes.forEach((box) => box.classList.toggle("dim", isFiltered && !kept.has(box.dataset.box)));
		this.edges.forEach((edge) => edge.classList.toggle("dim", isFiltered && !some(edge)));
	}

	/** Back to the drawing of everything. */
	showOverview() {
		this.overview.hidden = false;
		this.focus.hidden = true;
		this.about = null;
	}

	/** What some nodes have to do with others: who may reach them on the left, whom they may reach on the right. */
	showNodes(members) {
		this.about = members;
		const inside = new Set(members);
		const peers = (between) => {
			const found = [];
			for (let n = 0; n < count; n++) {
				const links = members.map((own) => between(n, own));
				const linked = links.filter(([source, destination]) =>
					(pair(source, destination)?.passing.length ?? 0) > 0 || changeOf(source, destination));
				if (linked.length > 0 && !(inside.has(n) && members.length > 1 && linked.every(([s, d]) => s === d))) {
					found.push([n, linked]);
				}
			}
			return found;
		};
		const from = this.list("May reach it", peers((n, own) => [n, own]));
		const to = this.list("It may reach", peers((n, own) => [own, n]));
		const middle = element("div", "middle");
		for (const n of members.slice(0, 30)) {
			const card = element("button", "card own");
			card.type = "button";
			card.append(element("span", "space", nodes[n].namespace ?? "outside"), element("span", "name", nodes[n].title));
			const labels = Object.entries(nodes[n].labels).map(([key, value]) => `${key}=${value}`);
			if (members.length === 1) {
				card.append(element("span", "labels", labels.join("  ")));
			}
			card.addEventListener("click", () => this.events.node(n));
			middle.append(card);
		}
		if (members.length > 30) {
			middle.append(element("p", "hint", `and ${members.length - 30} more`));
		}
		const wires = document.createElementNS("http://www.w3.org/2000/svg", "svg");
		wires.setAttribute("class", "wires");
		wires.setAttribute("aria-hidden", "true");
		this.focus.replaceChildren(wires, from, middle, to);
		this.overview.hidden = true;
		this.focus.hidden = false;
		this.focus.scrollTop = 0;
		this.wires();
	}

	list(heading, peers) {
		const column = element("div", "column");
		column.append(element("h3", "", `${heading} `));
		column.firstChild.append(element("small", "", `${peers.length}`));
		const list = element("ul");
		for (const [n, linked] of peers) {
			const [source, destination] = linked[0];
			const change = linked.map(([s, d]) => changeOf(s, d)).find(Boolean);
			const button = element("button", `card ${change ? `differs ${change.class}` : ""}`);
			button.type = "button";
			button.dataset.source = source;
			button.dataset.destination = destination;
			const texts = new Set(linked.map(([s, d]) => pairText(pair(s, d))));
			button.append(
				element("span", "space", nodes[n].namespace ?? "outside"),
				element("span", "name", nodes[n].title),
				element("span", "said", [...texts].slice(0, 2).join("; ") + (texts.size > 2 ? ` +${texts.size - 2}` : "")));
			button.addEventListener("click", () => this.events.choose(source, destination));
			button.addEventListener("mouseenter", () => this.events.hover(source, destination));
			button.addEventListener("mouseleave", () => this.events.hover());
			const item = element("li");
			item.append(button);
			list.append(item);
		}
		if (peers.length === 0) {
			list.append(element("li", "hint", "nobody"));
		}
		column.append(list);
		return column;
	}

	/** Lines from the cards of the left to the middle, and from there to the right. */
	wires() {
		const wires = this.focus.querySelector(".wires");
		const [left, right] = this.focus.querySelectorAll(".column");
		const middle = this.focus.querySelector(".middle");
		if (this.focus.hidden || !wires || !middle) {
			return;
		}
		const base = this.focus.getBoundingClientRect();
		const [dx, dy] = [this.focus.scrollLeft - base.left, this.focus.scrollTop - base.top];
		const centre = middle.firstElementChild.getBoundingClientRect();
		const y = centre.top + centre.height / 2 + dy;
		const wire = (x0, y0, x1, y1, className) => {
			const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
			const bend = (x0 + x1) / 2;
			path.setAttribute("d", `M${x0} ${y0}C${bend} ${y0} ${bend} ${y1} ${x1} ${y1}`);
			path.setAttribute("class", className);
			return path;
		};
		const paths = [];
		for (const [column, isSource] of [[left, true], [right, false]]) {
			for (const card of column.querySelectorAll("button")) {
				const at = card.getBoundingClientRect();
				const level = at.top + at.height / 2 + dy;
				paths.push(isSource
					? wire(at.right + dx, level, centre.left + dx, y, card.className)
					: wire(centre.right + dx, y, at.left + dx, level, card.className));
			}
		}
		wires.setAttribute("width", this.focus.scrollWidth);
		wires.setAttribute("height", this.focus.scrollHeight);
		wires.replaceChildren(...paths);
	}
}
