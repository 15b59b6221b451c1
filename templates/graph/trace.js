// The rules behind a pair.

/** Writes the rules that decide between two nodes. */
function showTrace(panel, source, destination) {
	const parts = [];
	const change = changeOf(source, destination);
	const found = pair(source, destination);
	if (change) {
		parts.push(changePart(change));
	}
	if (found) {
		const groups = grouped(found.pieces);
		parts.push(...groups.map((group) => groupPart(group, found, source, destination)));
	} else {
		parts.push(element("p", "hint", "One of the ends is no longer there."));
	}
	panel.replaceChildren(...parts);
	panel.scrollTop = 0;
}

/** Pieces with the same outcomes at both ends; what passes comes first. */
function grouped(pieces) {
	const groups = new Map();
	for (const piece of pieces) {
		const key = `${piece.egress},${piece.ingress}`;
		const group = groups.get(key) ?? { egress: piece.egress, ingress: piece.ingress, pieces: [] };
		group.pieces.push(piece);
		groups.set(key, group);
	}
	const isDropped = (group) => !(passes(group.egress) && passes(group.ingress));
	return [...groups.values()].sort((a, b) => isDropped(a) - isDropped(b));
}

function groupPart(group, found, source, destination) {
	const isPassing = passes(group.egress) && passes(group.ingress);
	const part = element("section", `flow ${isPassing ? "passes" : "drops"}`);
	const heading = element("h3");
	const isWhole = group.pieces.length === found.pieces.length;
	heading.append(
		element("span", "verdict", isPassing ? "passes" : "dropped"),
		element("span", "ports", isWhole ? "everything" : portText(group.pieces)));
	part.append(heading);
	const list = element("dl");
	const isOne = found.together && nodes[source].namespace !== null && nodes[destination].namespace !== null;
	if (isOne) {
		list.append(...endPart("both ends", group.egress));
	} else {
		list.append(...endPart(`egress of ${nodes[source].title}`, group.egress));
		list.append(...endPart(`ingress of ${nodes[destination].title}`, group.ingress));
	}
	part.append(list);
	return part;
}

/** What one end decides and by which rules. */
function endPart(name, outcome) {
	const term = element("dt", "", name);
	const detail = element("dd");
	if (outcome < 0) {
		detail.append(element("p", "reason", "outside of the cluster: no policy here"));
		return [term, detail];
	}
	const [isPassing, treated, rules] = data.outcomes[outcome];
	const denying = rules.filter((rule) => data.rules[rule][2] === "deny");
	let reason;
	if (isPassing) {
		reason = rules.length === 0 ? "open: no rule decides" : denying.length > 0 ? "passes in audit mode, denied by" : "allowed by";
	} else if (rules.length === 0) {
		reason = "dropped";
	} else {
		// A bundle does not tell what its rules do.
		const isolates = rules.some((rule) => data.rules[rule][2] !== null);
		reason = denying.length > 0 ? "denied by" : isolates ? "nothing allows it; isolated by" : "dropped by";
	}
	detail.append(element("p", "reason", reason));
	if (treated) {
		detail.append(element("p", "treated", treated));
	}
	if (rules.length > 0) {
		const list = element("ul", "rules");
		// Beside a rule that denies, others isolate: the reason says what the rest does.
		list.append(...rules.map((rule) => {
			const [object, path, action, place] = data.rules[rule];
			return ruleItem(object, path, action === "deny" ? action : "", place);
		}));
		detail.append(list);
	}
	return [term, detail];
}

function ruleItem(object, path, word, place) {
	const item = element("li");
	item.append(element("span", "object", object), " ", element("span", "path", path), " ");
	item.append(element("code", "place", place), " ", element("span", "word", word));
	return item;
}

function changePart(change) {
	const part = element("section", `change ${change.class}`);
	const heading = element("h3");
	heading.append(element("span", "verdict", change.class));
	part.append(heading);
	const list = element("dl");
	for (const [word, texts] of [["gained", change.gained], ["lost", change.lost]]) {
		if (texts.length > 0) {
			list.append(element("dt", "", word), element("dd", word, texts.join("\n")));
		}
	}
	const causes = element("ul", "rules");
	causes.append(...change.causes.map(([object, path, edit, place]) => ruleItem(object, path, edit, place)));
	const detail = element("dd");
	detail.append(causes);
	list.append(element("dt", "", "by"), detail);
	part.append(list);
	return part;
}
