// The matrix: only the cells in sight are elements.

/** Width of the names of rows and height of those of columns, as in the style. */
const HEAD = 190;
const TOP = 116;

/** What all cells have. */
const EMPTY_CELL = document.createElement("div");
EMPTY_CELL.setAttribute("role", "gridcell");
EMPTY_CELL.setAttribute("tabindex", "-1");
EMPTY_CELL.setAttribute("aria-selected", "false");

class Matrix {
	/** `events` has `choose(source, destination)`, `node(n)` and `hover(source, destination)`. */
	constructor(grid, events) {
		this.grid = grid;
		this.sizer = grid.firstElementChild;
		this.events = events;
		this.rows = [];
		this.columns = [];
		this.isShown = () => true;
		this.at = [0, 0];
		this.chosen = null;
		this.wanted = null;
		grid.addEventListener("scroll", () => this.later());
		new ResizeObserver(() => this.later()).observe(grid);
		grid.addEventListener("click", (event) => this.click(event));
		grid.addEventListener("keydown", (event) => this.key(event));
		grid.addEventListener("mouseover", (event) => this.hover(event.target.closest("[role=gridcell]")));
		grid.addEventListener("mouseleave", () => this.hover(null));
		grid.addEventListener("focusin", (event) => {
			const cell = event.target.closest("[role=gridcell]");
			if (cell) {
				this.at = [Number(cell.dataset.row), Number(cell.dataset.column)];
			}
		});
	}

	/** Shows these nodes; `isShown` tells of which pairs. */
	show(rows, columns, isShown) {
		const roomy = columns.length <= 24;
		Object.assign(this, { rows, columns, isShown });
		const share = Math.floor((this.grid.clientWidth - HEAD) / Math.max(columns.length, 1));
		[this.width, this.height] = roomy ? [Math.min(Math.max(share, 40), 100), 24] : [19, 19];
		this.grid.classList.toggle("roomy", roomy);
		this.grid.style.setProperty("--cell-width", `${this.width}px`);
		this.grid.style.setProperty("--cell-height", `${this.height}px`);
		this.sizer.style.width = `${HEAD + columns.length * this.width}px`;
		this.sizer.style.height = `${TOP + rows.length * this.height}px`;
		this.grid.setAttribute("aria-rowcount", rows.length + 1);
		this.grid.setAttribute("aria-colcount", columns.length + 1);
		this.at = [Math.min(this.at[0], Math.max(rows.length - 1, 0)), Math.min(this.at[1], Math.max(columns.length - 1, 0))];
		this.band = element("div", "band");
		this.band.setAttribute("role", "presentation");
		this.heads = element("div", "heads");
		this.heads.setAttribute("role", "row");
		this.heads.setAttribute("aria-rowindex", 1);
		const corner = element("div", "corner", "from ↓   to →");
		corner.setAttribute("role", "columnheader");
		corner.setAttribute("aria-colindex", 1);
		this.heads.append(corner);
		this.lines = new Map();
		this.bounds = { left: 0, top: 0, right: 0, bottom: 0 };
		const hadFocus = this.sizer.contains(document.activeElement);
		this.sizer.replaceChildren(this.band, this.heads);
		this.draw(hadFocus);
	}

	later() {
		this.frame ??= requestAnimationFrame(() => {
			this.frame = undefined;
			this.draw(this.sizer.contains(document.activeElement));
		});
	}

	/** Makes what has come in sight and removes what has left; what stays is kept as it is. */
	draw(hadFocus) {
		const first = (offset, size) => Math.max(0, Math.floor(offset / size) - 2);
		const last = (offset, length, size, all) => Math.min(all, Math.ceil((offset + length) / size) + 2);
		const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.grid;
		const [left, top] = [first(scrollLeft, this.width), first(scrollTop, this.height)];
		const right = last(scrollLeft, clientWidth - HEAD, this.width, this.columns.length);
		const bottom = last(scrollTop, clientHeight - TOP, this.height, this.rows.length);
		const old = this.bounds;
		if (this.lines.size > 0 && old.left === left && old.top === top && old.right === right && old.bottom === bottom) {
			return;
		}
		this.bounds = { left, top, right, bottom };
		this.extend(this.heads, old, (column) => this.columnHead(column));
		for (const [row, line] of this.lines) {
			if (row < top || row >= bottom) {
				line.remove();
				this.lines.delete(row);
			} else {
				this.extend(line, old, (column) => this.cell(row, column));
			}
		}
		const fresh = (row) => {
			const line = this.line(row);
			this.extend(line, { left, right: left }, (column) => this.cell(row, column));
			this.lines.set(row, line);
			return line;
		};
		const kept = this.lines.size > 0 ? [Math.max(old.top, top), Math.min(old.bottom, bottom)] : [bottom, bottom];
		const above = document.createDocumentFragment();
		const below = document.createDocumentFragment();
		for (let row = top; row < kept[0]; row++) {
			above.append(fresh(row));
		}
		for (let row = kept[1]; row < bottom; row++) {
			below.append(fresh(row));
		}
		this.heads.after(above);
		this.sizer.append(below);
		this.tab(hadFocus);
		this.mark();
	}

	/** Brings the cells behind the first element of a row from the old columns to those in sight. */
	extend(line, old, make) {
		const { left, right } = this.bounds;
		const overlap = old.left < right && left < old.right;
		const [keptLeft, keptRight] = overlap ? [Math.max(old.left, left), Math.min(old.right, right)] : [right, right];
		if (overlap) {
			for (let n = old.left; n < keptLeft; n++) {
				line.children[1].remove();
			}
			for (let n = keptRight; n < old.right; n++) {
				line.lastElementChild.remove();
			}
		} else {
			while (line.children.length > 1) {
				line.lastElementChild.remove();
			}
		}
		const [before, after] = [[], []];
		for (let column = left; column < keptLeft; column++) {
			before.push(make(column));
		}
		for (let column = keptRight; column < right; column++) {
			after.push(make(column));
		}
		line.firstElementChild.after(...before);
		line.append(...after);
	}

	columnHead(column) {
		const head = this.name(this.columns[column], "columnheader");
		head.setAttribute("aria-colindex", column + 2);
		head.style.left = `${HEAD + column * this.width}px`;
		head.dataset.column = column;
		head.classList.toggle("first", this.begins(this.columns, column));
		return head;
	}

	line(row) {
		const line = element("div", "line");
		line.setAttribute("role", "row");
		line.setAttribute("aria-rowindex", row + 2);
		line.style.top = `${TOP + row * this.height}px`;
		line.classList.toggle("first", this.begins(this.rows, row));
		const head = this.name(this.rows[row], "rowheader");
		head.setAttribute("aria-colindex", 1);
		head.dataset.row = row;
		line.append(head);
		return line;
	}

	/** The element of a cell in sight. */
	find(row, column) {
		const { left, right } = this.bounds;
		return column >= left && column < right ? this.lines.get(row)?.children[column - left + 1] : undefined;
	}

	/** Whether a namespace begins here. */
	begins(list, at) {
		return at > 0 && nodes[list[at]].namespace !== nodes[list[at - 1]].namespace;
	}

	name(n, role) {
		const head = element("div", "head");
		head.setAttribute("role", role);
		head.dataset.node = n;
		head.title = `${nodes[n].names}${nodes[n].present ? "" : " (no longer there)"}`;
		head.classList.toggle("gone", !nodes[n].present);
		const label = element("span", "label");
		if (nodes[n].namespace !== null && hasNamespaces) {
			label.append(element("span", "space", `${nodes[n].namespace}/`));
		}
		label.append(nodes[n].title);
		head.append(label);
		return head;
	}

	cell(row, column) {
		const [source, destination] = [this.rows[row], this.columns[column]];
		const found = pair(source, destination);
		const change = changeOf(source, destination);
		const cell = EMPTY_CELL.cloneNode();
		const words = ["cell", found ? found.kind : "absent"];
		if (found?.treated) {
			words.push("treated");
		}
		if (this.begins(this.columns, column)) {
			words.push("first");
		}
		if (!this.isShown(source, destination)) {
			words.push("dim");
		}
		if (change) {
			words.push("differs", change.class);
		}
		cell.className = words.join(" ");
		cell.style.left = `${HEAD + column * this.width}px`;
		cell.dataset.row = row;
		cell.dataset.column = column;
		cell.setAttribute("aria-colindex", column + 2);
		const said = pairText(found) + (change ? `, ${change.class}` : "");
		cell.setAttribute("aria-label", `${nodeText(source)} to ${nodeText(destination)}: ${said}`);
		const text = this.height > 20 ? this.text(found, change) : "";
		if (text) {
			cell.append(element("span", "ports", text));
		}
		return cell;
	}

	/** The ports that came or went, else the first that pass. */
	text(found, change) {
		if (change) {
			const ports = (text) => text.split(" ")[1] ?? "";
			return [...change.gained.map((part) => `+${ports(part)}`), ...change.lost.map((part) => `−${ports(part)}`)].join(" ");
		}
		if (found?.kind !== "some") {
			return "";
		}
		const [one, more] = [found.passing[0], found.passing.length - 1];
		const numbers = one.first === one.last ? `${one.first}` : `${Math.max(one.first, lowest(one.transport))}…`;
		return more > 0 ? `${numbers} +${more}` : numbers;
	}

	/** One cell can be tabbed to: the one that has or had the focus, or the first in sight. */
	tab(focus) {
		const { left, top } = this.bounds;
		const own = this.find(...this.at);
		const cell = own ?? this.find(top, left);
		if (this.tabbed !== cell) {
			this.tabbed?.setAttribute("tabindex", "-1");
			cell?.setAttribute("tabindex", "0");
			this.tabbed = cell;
		}
		if (focus) {
			this.grid.tabIndex = -1;
			(own ?? this.grid).focus({ preventScroll: true });
		}
	}

	key(event) {
		const page = Math.max(1, Math.floor((this.grid.clientHeight - TOP) / this.height) - 1);
		const [rows, columns] = [this.rows.length, this.columns.length];
		const to = {
			ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
			PageUp: [-page, 0], PageDown: [page, 0],
			Home: event.ctrlKey ? [-rows, -columns] : [0, -columns], End: event.ctrlKey ? [rows, columns] : [0, columns],
		}[event.key];
		if (to) {
			event.preventDefault();
			this.go(this.at[0] + to[0], this.at[1] + to[1]);
		} else if (event.key === "Enter" || event.key === " ") {
			event.preventDefault();
			this.choose(...this.at);
		}
	}

	/** Moves the focus to a cell, or to the one next to it that there is. */
	go(row, column) {
		if (this.rows.length === 0 || this.columns.length === 0) {
			return;
		}
		const within = (value, length) => Math.min(Math.max(value, 0), length - 1);
		this.at = [within(row, this.rows.length), within(column, this.columns.length)];
		this.reveal(...this.at);
		this.draw(false);
		this.tab(true);
		this.hover(this.find(...this.at) ?? null);
	}

	reveal(row, column) {
		const grid = this.grid;
		const [x, y] = [column * this.width, row * this.height];
		const [width, height] = [grid.clientWidth - HEAD, grid.clientHeight - TOP];
		grid.scrollLeft = Math.min(x, Math.max(grid.scrollLeft, x + this.width - width));
		grid.scrollTop = Math.min(y, Math.max(grid.scrollTop, y + this.height - height));
	}

	click(event) {
		const cell = event.target.closest("[role=gridcell]");
		const head = event.target.closest("[data-node]");
		if (cell) {
			this.at = [Number(cell.dataset.row), Number(cell.dataset.column)];
			this.tab(true);
			this.choose(...this.at);
		} else if (head) {
			this.events.node(Number(head.dataset.node));
		}
	}

	choose(row, column) {
		if (pair(this.rows[row], this.columns[column]) || changeOf(this.rows[row], this.columns[column])) {
			this.events.choose(this.rows[row], this.columns[column]);
		}
	}

	hover(cell) {
		const place = cell ? [this.rows[cell.dataset.row], this.columns[cell.dataset.column]] : null;
		this.lit = place;
		this.mark();
		this.events.hover(place?.[0], place?.[1]);
	}

	/** Marks the pair that is chosen elsewhere, or null; and one that is pointed at elsewhere. */
	set(chosen, lit) {
		this.chosen = chosen;
		this.lit = lit ?? this.lit;
		this.mark();
	}

	mark() {
		const lit = this.lit;
		const column = lit ? this.columns.indexOf(lit[1]) : -1;
		this.band.hidden = column < 0;
		this.band.style.left = `${HEAD + column * this.width}px`;
		for (const head of this.heads.querySelectorAll(".head")) {
			head.classList.toggle("lit", lit?.[1] === Number(head.dataset.node));
			head.classList.toggle("chosen", this.chosen?.[1] === Number(head.dataset.node));
		}
		for (const [row, line] of this.lines) {
			line.classList.toggle("lit", lit?.[0] === this.rows[row]);
			line.classList.toggle("chosen", this.chosen?.[0] === this.rows[row]);
		}
		this.marked?.classList.remove("chosen");
		this.marked?.setAttribute("aria-selected", "false");
		this.marked = this.chosen && this.find(this.rows.indexOf(this.chosen[0]), this.columns.indexOf(this.chosen[1]));
		this.marked?.classList.add("chosen");
		this.marked?.setAttribute("aria-selected", "true");
	}
}
