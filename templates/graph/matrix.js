// The matrix: only the cells in sight are elements.

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
		this.head = 190;
		const share = Math.floor((this.grid.clientWidth - this.head) / Math.max(columns.length, 1));
		[this.width, this.height] = roomy ? [Math.min(Math.max(share, 44), 72), 24] : [19, 19];
		this.grid.classList.toggle("roomy", roomy);
		this.top = 116;
		this.sizer.style.width = `${this.head + columns.length * this.width}px`;
		this.sizer.style.height = `${this.top + rows.length * this.height}px`;
		this.grid.setAttribute("aria-rowcount", rows.length + 1);
		this.grid.setAttribute("aria-colcount", columns.length + 1);
		this.at = [Math.min(this.at[0], Math.max(rows.length - 1, 0)), Math.min(this.at[1], Math.max(columns.length - 1, 0))];
		this.window = "";
		this.draw();
	}

	later() {
		this.frame ??= requestAnimationFrame(() => {
			this.frame = undefined;
			this.draw();
		});
	}

	draw() {
		const first = (offset, size) => Math.max(0, Math.floor(offset / size) - 2);
		const last = (offset, length, size, all) => Math.min(all, Math.ceil((offset + length) / size) + 2);
		const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.grid;
		const [left, top] = [first(scrollLeft, this.width), first(scrollTop, this.height)];
		const right = last(scrollLeft, clientWidth - this.head, this.width, this.columns.length);
		const bottom = last(scrollTop, clientHeight - this.top, this.height, this.rows.length);
		const window = [left, top, right, bottom].join();
		if (window === this.window) {
			return;
		}
		this.window = window;
		this.bounds = { left, top, right, bottom };
		const hadFocus = this.grid.contains(document.activeElement) && document.activeElement !== this.grid;
		this.cells = new Map();
		const lines = [this.header(left, right)];
		for (let row = top; row < bottom; row++) {
			lines.push(this.line(row, left, right));
		}
		this.sizer.replaceChildren(...lines);
		this.tab(hadFocus);
		this.mark();
	}

	header(left, right) {
		const line = element("div", "heads");
		line.setAttribute("role", "row");
		line.setAttribute("aria-rowindex", 1);
		const corner = element("div", "corner", "from ↓   to →");
		corner.setAttribute("role", "columnheader");
		corner.setAttribute("aria-colindex", 1);
		line.append(corner);
		for (let column = left; column < right; column++) {
			const head = this.name(this.columns[column], "columnheader");
			head.setAttribute("aria-colindex", column + 2);
			head.style.left = `${this.head + column * this.width}px`;
			head.style.width = `${this.width}px`;
			head.dataset.column = column;
			head.classList.toggle("first", this.begins(this.columns, column));
			line.append(head);
		}
		return line;
	}

	line(row, left, right) {
		const line = element("div", "line");
		line.setAttribute("role", "row");
		line.setAttribute("aria-rowindex", row + 2);
		line.style.top = `${this.top + row * this.height}px`;
		line.style.height = `${this.height}px`;
		line.classList.toggle("first", this.begins(this.rows, row));
		const head = this.name(this.rows[row], "rowheader");
		head.setAttribute("aria-colindex", 1);
		head.dataset.row = row;
		line.append(head);
		for (let column = left; column < right; column++) {
			const cell = this.cell(row, column);
			this.cells.set(`${row},${column}`, cell);
			line.append(cell);
		}
		return line;
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
		const cell = element("div", "cell");
		cell.setAttribute("role", "gridcell");
		cell.setAttribute("aria-colindex", column + 2);
		cell.dataset.row = row;
		cell.dataset.column = column;
		cell.tabIndex = -1;
		cell.style.left = `${this.head + column * this.width}px`;
		cell.style.width = `${this.width}px`;
		cell.classList.add(found ? found.kind : "absent");
		cell.classList.toggle("treated", found?.treated === true);
		cell.classList.toggle("first", this.begins(this.columns, column));
		cell.classList.toggle("dim", !this.isShown(source, destination));
		if (change) {
			cell.classList.add("differs", change.class);
		}
		const said = pairText(found) + (change ? `, ${change.class}` : "");
		cell.setAttribute("aria-label", `${nodeText(source)} to ${nodeText(destination)}: ${said}`);
		if (this.height > 20 && found?.kind === "some") {
			const [one, more] = [found.passing[0], found.passing.length - 1];
			const numbers = one.first === one.last ? `${one.first}` : `${Math.max(one.first, lowest(one.transport))}…`;
			cell.append(element("span", "ports", more > 0 ? `${numbers} +${more}` : numbers));
		}
		return cell;
	}

	tab(focus) {
		const { left, top, right, bottom } = this.bounds;
		const inSight = this.at[0] >= top && this.at[0] < bottom && this.at[1] >= left && this.at[1] < right;
		// A cell out of sight cannot be tabbed to: then the first in sight can.
		const cell = this.cells.get(inSight ? this.at.join() : `${top},${left}`);
		this.grid.tabIndex = cell ? -1 : 0;
		if (cell) {
			cell.tabIndex = 0;
			if (focus && inSight) {
				cell.focus({ preventScroll: true });
			} else if (focus) {
				this.grid.focus({ preventScroll: true });
			}
		}
	}

	key(event) {
		const page = Math.max(1, Math.floor((this.grid.clientHeight - this.top) / this.height) - 1);
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
		this.window = "";
		this.draw();
		const cell = this.cells.get(this.at.join());
		cell?.focus({ preventScroll: true });
		this.hover(cell ?? null);
	}

	reveal(row, column) {
		const grid = this.grid;
		const [x, y] = [column * this.width, row * this.height];
		const [width, height] = [grid.clientWidth - this.head, grid.clientHeight - this.top];
		grid.scrollLeft = Math.min(x, Math.max(grid.scrollLeft, x + this.width - width));
		grid.scrollTop = Math.min(y, Math.max(grid.scrollTop, y + this.height - height));
	}

	click(event) {
		const cell = event.target.closest("[role=gridcell]");
		const head = event.target.closest("[data-node]");
		if (cell) {
			this.at = [Number(cell.dataset.row), Number(cell.dataset.column)];
			this.cells.forEach((other) => { other.tabIndex = -1; });
			cell.tabIndex = 0;
			cell.focus({ preventScroll: true });
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
		for (const head of this.sizer.querySelectorAll(".head")) {
			const n = Number(head.dataset.node);
			const side = head.dataset.row === undefined ? 1 : 0;
			head.classList.toggle("lit", lit?.[side] === n);
			head.classList.toggle("chosen", this.chosen?.[side] === n);
		}
		for (const cell of this.cells?.values() ?? []) {
			const [source, destination] = [this.rows[cell.dataset.row], this.columns[cell.dataset.column]];
			const isChosen = this.chosen?.[0] === source && this.chosen?.[1] === destination;
			cell.classList.toggle("cross", lit?.[0] === source || lit?.[1] === destination);
			cell.classList.toggle("chosen", isChosen);
			cell.setAttribute("aria-selected", isChosen);
		}
	}
}
