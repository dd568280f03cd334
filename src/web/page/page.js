// Times in the zone of the reader, ranges on the timeline, and the live view. Everything else works without this file.
(function () {
	"use strict";

	var MOST_ROWS = 200, AGAIN = 10000;

	function two(number) { return (number < 10 ? "0" : "") + number; }

	function shown(time) {
		return time.getFullYear() + "-" + two(time.getMonth() + 1) + "-" + two(time.getDate()) + " "
			+ two(time.getHours()) + ":" + two(time.getMinutes()) + ":" + two(time.getSeconds());
	}

	// Shows times in the reader's zone. UTC stays in the title.
	function localize(root) {
		root.querySelectorAll("time[datetime]").forEach(function (element) {
			var time = new Date(element.dateTime);
			if (!isNaN(time)) { element.textContent = shown(time); }
		});
	}
	localize(document);

	// Ranges on the timeline: dragged, or chosen with Shift and the arrow keys. They become "since" and "until" of the address.
	function ranges(svg) {
		var BAR = 10, FAR = 6; // the width of a bar in the drawing; how many pixels are a drag, and no click
		var bars = Array.from(svg.querySelectorAll("a")), count = +svg.dataset.bars, begin = +svg.dataset.begin, length = +svg.dataset.length;
		var says = svg.parentNode.querySelector("[role=status]"), shade = document.createElementNS(svg.namespaceURI, "rect");
		var from = null, to = null, pressed = null, place = 0, dragged = false;

		function time(bar) { return new Date((begin + bar * length) * 1000); }

		function address(bar) { return time(bar).toISOString().replace(".000Z", "Z"); }

		function barAt(event) {
			var box = svg.getBoundingClientRect();
			var bar = Math.floor((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width / BAR);
			return Math.max(0, Math.min(count - 1, bar));
		}

		function drop() {
			from = to = null;
			shade.remove();
			says.textContent = "";
		}

		function choose(one, other) {
			var first = Math.min(one, other), last = Math.max(one, other), events = 0, failures = 0;
			from = one;
			to = other;
			bars.forEach(function (bar) {
				if (+bar.dataset.bar >= first && +bar.dataset.bar <= last) {
					events += +bar.dataset.events;
					failures += +bar.dataset.failures;
				}
			});
			shade.setAttribute("x", first * BAR);
			shade.setAttribute("width", (last - first + 1) * BAR);
			svg.append(shade);
			says.textContent = shown(time(first)) + " to " + shown(time(last + 1)) + ": " + events + " events, " + failures
				+ " of them failures. " + (dragged ? "Let go to see them" : "Enter shows them") + "; Escape drops the range.";
		}

		function go() {
			var url = svg.dataset.range, first = Math.min(from, to), last = Math.max(from, to);
			location.assign(url + (url.indexOf("?") < 0 ? "?" : "&") + "since=" + address(first) + "&until=" + address(last + 1));
		}

		shade.setAttribute("class", "shade");
		shade.setAttribute("height", "100%");
		svg.classList.add("ranged");
		svg.parentNode.querySelector("[hidden]").hidden = false;

		svg.addEventListener("pointerdown", function (event) {
			dragged = false;
			if (event.button === 0 && event.isPrimary) {
				pressed = barAt(event);
				place = event.clientX;
			}
		});
		svg.addEventListener("pointermove", function (event) {
			if (event.buttons === 0) { pressed = null; }
			if (pressed === null || !dragged && Math.abs(event.clientX - place) < FAR) { return; }
			if (!dragged) {
				dragged = true;
				svg.setPointerCapture(event.pointerId);
			}
			choose(pressed, barAt(event));
		});
		svg.addEventListener("pointerup", function () {
			if (pressed !== null && dragged) { go(); }
			pressed = null;
		});
		svg.addEventListener("pointercancel", function () {
			pressed = null;
			drop();
		});
		// A drag over a link is no click on it, and does not carry it away.
		svg.addEventListener("click", function (event) { if (dragged) { event.preventDefault(); } }, true);
		svg.addEventListener("dragstart", function (event) { event.preventDefault(); });

		svg.addEventListener("keydown", function (event) {
			var at = bars.indexOf(event.target), step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
			if (event.key === "Enter" && from !== null) {
				go();
			} else if (step && event.shiftKey && at >= 0) {
				var bar = +bars[at].dataset.bar;
				choose(from === null ? bar : from, Math.max(0, Math.min(count - 1, (to === null ? bar : to) + step)));
			} else if (step && bars[at + step]) {
				drop();
				bars[at + step].focus();
			} else {
				return;
			}
			event.preventDefault();
		});
		svg.addEventListener("focusout", function () { if (pressed === null) { drop(); } });
		document.addEventListener("keydown", function (event) {
			if (event.key === "Escape" && from !== null) {
				pressed = null;
				drop();
			}
		});
		// The browser may show the page again as it was left.
		window.addEventListener("pageshow", drop);
	}
	document.querySelectorAll("svg[data-range]").forEach(ranges);

	var panel = document.querySelector("[data-live]");
	if (!panel || !window.EventSource) { return; }
	var button = panel.querySelector("button"), status = panel.querySelector("[role=status]"), list = document.querySelector("ol.lines[data-entries]");
	var source = null, newest = panel.dataset.newest, count = 0, timer = null, seen = Object.create(null);
	panel.hidden = false;

	function say(text) { status.textContent = text; }

	function stop(text) {
		if (source) { source.close(); source = null; }
		clearTimeout(timer);
		button.setAttribute("aria-pressed", "false");
		button.textContent = "Watch live";
		say(text || "");
	}

	function add(event) {
		if (event.lastEventId) {
			// What is read again after a lost connection may overlap what came before.
			if (seen[event.lastEventId]) { return; }
			seen[event.lastEventId] = true;
			newest = event.lastEventId;
		}
		// The server has escaped every text in it.
		var row = new DOMParser().parseFromString("<ol>" + event.data + "</ol>", "text/html").querySelector("li");
		if (!row) { return; }
		row.classList.add("new");
		localize(row);
		list.prepend(document.adoptNode(row));
		while (list.children.length > MOST_ROWS) { list.lastElementChild.remove(); }
		count += 1;
		say(count + (count === 1 ? " new entry" : " new entries"));
		setTimeout(function () { row.classList.remove("new"); }, 2000);
	}

	function start() {
		var url = panel.dataset.live;
		if (newest) { url += (url.indexOf("?") < 0 ? "?" : "&") + "after=" + encodeURIComponent(newest); }
		source = new EventSource(url);
		button.setAttribute("aria-pressed", "true");
		button.textContent = "Stop";
		say("Connecting…");
		source.onopen = function () { say(count ? count + " new entries" : "Waiting for new entries"); };
		source.addEventListener("entry", add);
		source.addEventListener("more", function (event) { say(event.data + " more entries: load the page again to see all"); });
		source.addEventListener("over", function () { stop("The session has ended: sign in again"); });
		source.onerror = function () {
			// The browser itself comes back after a lost connection, but not after a refusal.
			if (source && source.readyState === 2) {
				source = null;
				say("Not connected; trying again soon");
				timer = setTimeout(start, AGAIN);
			}
		};
	}

	button.addEventListener("click", function () {
		if (button.getAttribute("aria-pressed") === "true") { stop(); } else { start(); }
	});
})();
